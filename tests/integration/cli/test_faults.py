"""A server that is away, slow, broken or somebody else: one clear sentence and the documented exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from cli.client import Address, Client
from ecosystem.contract.errors import NotRunning, WorkerTimeout
from tests.integration.cli.conftest import COMMAND, run
from tests.support.api_stand_in import KEY, ApiStandIn, Reply, page, problem, view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Zap


def test_nobody_listens(zap: Zap) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        told = zap("list", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert told.code == 9
    assert "nothing answers" in told.err
    assert zap("list", "--url", "unix:///nowhere/at/all").code == 9
    assert zap("list", "--url", "http://host.invalid").code == 9


def test_wrong_key(zap: Zap) -> None:
    told = zap("list", "--key", "wrong", "--json")
    assert (told.code, told.problem["code"]) == (3, "api_key_unknown")


def test_unavailable_says_when_to_come_back(api: ApiStandIn, zap: Zap) -> None:
    answer = problem(503, "registry_down", "unavailable", "the database cannot be reached", retry_after_s=2.0)
    api.on("GET /sessions", answer)
    told = zap("list")
    assert told.code == 9
    assert "try again in 2 s" in told.err


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"[1]"])
def test_somebody_elses_page(body: bytes, api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, body))
    for words in (["list"], ["list", "--json"]):
        told = zap(*words)
        if words == ["list", "--json"] and body == b"[1]":
            assert told.json == [1]
            continue
        assert told.code == 70
        assert "Traceback" not in told.err


def test_an_answer_cut_short(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view()), cut=True))
    told = zap("list")
    assert told.code == 9
    assert "broke the answer off" in told.err


@pytest.fixture
def port_that(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that answers each connection with the parameter's bytes, or (None) never."""
    said: bytes | None = request.param
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if said is not None:
                    connection.recv(65536)
                    connection.sendall(said)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in held:
            connection.close()


@pytest.mark.parametrize("port_that", [b"SSH-2.0-x\r\n"], indirect=True)
def test_what_does_not_speak_http(port_that: int) -> None:
    with pytest.raises(NotRunning, match="does not speak HTTP"):
        Client(Address("http", "127.0.0.1", port_that), KEY).get("/sessions")


@pytest.mark.parametrize("port_that", [b""], indirect=True)
def test_what_hangs_up(port_that: int) -> None:
    with pytest.raises(NotRunning):
        Client(Address("http", "127.0.0.1", port_that), KEY).get("/sessions")


@pytest.mark.parametrize("port_that", [None], indirect=True)
def test_what_never_answers(port_that: int) -> None:
    with pytest.raises(WorkerTimeout) as caught:
        Client(Address("http", "127.0.0.1", port_that), KEY, timeout=0.2).get("/sessions")
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("port_that", [b"HTTP/1.1 200 OK\r\n\r\n"], indirect=True)
def test_plain_http_where_tls_was_asked_for(port_that: int, zap: Zap) -> None:
    told = zap("list", "--url", f"https://127.0.0.1:{port_that}")
    assert told.code == 9
    assert "no safe connection" in told.err


# --- the surroundings of the command


def test_without_utf8(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions/alpha", Reply(200, view(name="São 😀", push_name="Zé")))
    api.on("GET /sessions/alpha/history", Reply(200, {"history": []}))
    bare = environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = run(["describe", "alpha"], bare)
    assert told.returncode == 0, told.stderr
    assert b"Sao ??" in told.stdout, "the signs that look most like them, as wide as they are"
    assert told.stdout.isascii()
    document = run(["describe", "alpha", "--json"], bare)
    assert "São 😀" in document.stdout.decode(), "JSON is UTF-8 everywhere"


def test_in_a_pipe_there_are_no_colours(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view())))
    told = run(["list"], environ)
    assert told.returncode == 0
    assert b"\x1b" not in told.stdout
    assert told.stderr == b""


def test_a_reader_that_leaves_is_no_failure_to_talk_about(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(*(view(f"session-{n}", name="n" * 200) for n in range(2000)))))
    read, write = os.pipe()
    process = subprocess.Popen([*COMMAND, "list", "--json"], env=environ, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, b"")


def test_a_reader_that_was_never_there(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view())))
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen([*COMMAND, "list"], env=environ, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, b"")


def test_a_text_from_standard_input(api: ApiStandIn, environ: dict[str, str]) -> None:
    envelope = {"status": 200, "code": "SUCCESS", "message": "ok", "results": {"message_id": "3EB0"}}
    api.on("POST /api/alpha/send/message", Reply(200, envelope))
    assert run(["send", "alpha", "5511912345678", "-"], environ, "Olá\nvocê\n".encode()).returncode == 0
    assert api.asked[-1].body["message"] == "Olá\nvocê"


def test_no_key_at_all(environ: dict[str, str], tmp_path: Path) -> None:
    environ.pop("ZAPVISOR_KEY")
    told = run(["list"], environ)
    assert told.returncode == 3
    assert b"ZAPVISOR_KEY" in told.stderr

"""Logs: a session's or a program's, whole or followed through restarts of the server."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

from tests.integration.cli.conftest import COMMAND, run
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, page, problem, view
from tests.support.terminal import InTerminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cli.conftest import Zap


def test_a_sessions_log(api: ApiStandIn, environ: dict[str, str]) -> None:
    written = b'one\n{"level":"info","event":"x"}\n\xff\n'
    api.on("GET /sessions/alpha", Reply(200, view()))
    api.on("GET /sessions/alpha/logs", Reply(stream=iter(written.splitlines(keepends=True))))
    told = run(["logs", "alpha", "-n", "7"], environ)
    assert (told.returncode, told.stdout) == (0, written), "in a pipe, byte for byte"
    assert api.asked[-1].query == {"tail": "7"}


def test_a_log_on_a_terminal_is_readable_and_harmless(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions/alpha", Reply(200, view()))
    lines = [b'{"ts": 0, "level": "warning", "program": "wa:alpha", "event": "cut", "n": 1}\n', b"\x1b[2J\x07\xff\n"]
    api.on("GET /sessions/alpha/logs", Reply(stream=iter(lines)))
    with InTerminal([*COMMAND, "logs", "alpha"], environ) as terminal:
        assert terminal.finish() == 0
        assert [line.split(" ", 1)[-1] for line in terminal.grid.lines[:2]] == [
            "warning wa:alpha cut n=1", "\ufffd[2J\ufffd\ufffd",
        ]  # fmt: skip


def test_a_programs_log(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /programs/orchestrator/logs", lambda _: Reply(stream=iter([b"o\n"])))
    api.on("GET /programs/redis/logs", lambda _: Reply(stream=iter([b"r\n"])))
    assert zap("logs").out == "o\n"
    assert zap("logs", "redis").out == "r\n"
    api.on("GET /sessions/redis", Reply(200, view("redis")))
    api.on("GET /sessions/redis/logs", lambda _: Reply(stream=iter([b"session\n"])))
    assert zap("logs", "redis").out == "session\n", "a session of that name comes first"
    assert zap("logs", "redis", "--program").out == "r\n"


def _line(at: float, text: str) -> bytes:
    return b'{"ts": %r, "level": "info", "event": "%s"}\n' % (at, text.encode())


def test_the_logs_of_all_sessions_in_the_order_they_were_written(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha"), view("beta"))))
    alpha = [_line(1, "a1"), b"a library's\n", _line(4, "a4")]
    beta = [_line(2, "b2"), _line(3, "b3")]
    api.on("GET /sessions/alpha/logs", lambda _: Reply(stream=iter(alpha)))
    api.on("GET /sessions/beta/logs", lambda _: Reply(stream=iter(beta)))
    assert zap("logs", "all").out.encode() == b"".join([*alpha[:2], *beta, alpha[2]])
    assert zap("logs", "all", "--lines", "2", "--nostream").out.encode() == b"".join([beta[1], alpha[2]])
    assert [asked.query for asked in api.asked[-2:]] == [{"tail": "2"}] * 2
    assert zap("logs", "all", "-n", "0").out == ""
    api.on("GET /sessions", Reply(200, page()))
    assert (zap("logs", "all").out, zap("logs", "all").code) == ("", 0)


def test_the_logs_of_all_sessions_followed(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", lambda _: Reply(200, page(view("alpha"), view("beta"))))

    def endless(*lines: bytes) -> Iterator[bytes]:
        yield from lines
        api.stopping.wait(30)

    api.on("GET /sessions/alpha/logs", lambda _: Reply(stream=endless(_line(1, "a1"), _line(3, "a3"))))
    api.on("GET /sessions/beta/logs", lambda _: Reply(stream=endless(_line(2, "b2"))))
    process = subprocess.Popen([*COMMAND, "logs", "all", "-f", "-n", "5"], env=environ, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert {process.stdout.readline() for _ in range(3)} == {_line(1, "a1"), _line(2, "b2"), _line(3, "a3")}
    listed = next(asked for asked in api.asked if asked.path == "/sessions")
    assert listed.query["desired"] == "running"
    assert {asked.query["tail"] for asked in api.asked if asked.path.endswith("/logs")} == {"3"}
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")


def test_neither(api: ApiStandIn, zap: Zap) -> None:
    told = zap("logs", "nothing")
    assert told.code == 4
    assert "neither a session nor a program" in told.err


def test_followed_through_a_restart_of_the_server(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions/alpha", Reply(200, view()))

    def silent(_: Asked) -> Reply:
        def lines() -> Iterator[bytes]:
            yield b"three\n"
            api.stopping.wait(30)

        return Reply(stream=lines())

    api.on(
        "GET /sessions/alpha/logs",
        Reply(stream=iter([b"one\n", b"two\n"]), cut=True),
        problem(503, "backend_down", "unavailable", "coming up", retry_after_s=0.2),
        silent,
    )
    process = subprocess.Popen(
        [*COMMAND, "logs", "alpha", "-f"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]
    assert [asked.query.get("tail") for asked in api.asked[-3:]] == ["200", "0", "0"]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"coming up" in err
    assert b"Traceback" not in err

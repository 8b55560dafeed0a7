"""Addresses, keys, and what an answer that is no success stands for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import msgspec
import pytest

from cli.client import Address, Answer, checked_key, error_of, local_address, local_key, segment
from cli.output.problems import report
from ecosystem.contract.envelope import Envelope
from ecosystem.contract.errors import (
    EXIT_CODE,
    ApiKeyUnknown,
    DomainError,
    ErrorKind,
    InternalError,
    InvalidRequest,
    NotRunning,
    Problem,
    WorkerStarting,
    all_errors,
)
from ecosystem.contract.session import SessionView
from ecosystem.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:3000", Address("http", "127.0.0.1", 3000)),
        ("http://127.0.0.1:3000/", Address("http", "127.0.0.1", 3000)),
        ("https://fleet.example", Address("https", "fleet.example", 443)),
        ("https://fleet.example/zap/", Address("https", "fleet.example", 443, prefix="/zap")),
        ("http://[::1]:3000", Address("http", "::1", 3000)),
        ("unix:///run/z.sock", Address("unix", "localhost", 0, path="/run/z.sock")),
    ],
)
def test_address(url: str, address: Address) -> None:
    assert Address.parse(url) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    ["", "fleet", "ftp://x", "http://", "http://x:99999", "http://x:y", "unix://relative", "unix:", "http://x?q=1", "http://[::1"],
)  # fmt: skip
def test_unusable_address(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Address.parse(url)
    assert caught.value.field == "url"


def test_a_key_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Address.parse("http://user:secret@x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://fleet.example", True),
        ("https://fleet.example", False),
        ("http://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("unix:///x", False),
    ],
)
def test_exposed(url: str, exposed: bool) -> None:
    assert Address.parse(url).is_exposed is exposed


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "caf\u00e9", "x" * 513])
def test_unusable_key_is_not_repeated(key: str) -> None:
    with pytest.raises(ApiKeyUnknown) as caught:
        checked_key(key)
    assert not key or key not in str(caught.value)


def test_segment() -> None:
    assert segment("a/b %") == "a%2Fb%20%25"


# --- the local instance


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.run.mkdir()
    return home


def test_local_address(home: Home) -> None:
    home.instance.write_text('{"url": "http://127.0.0.1:3000", "pid": 7, "version": "1", "later": true}')
    assert str(local_address(home)) == "http://127.0.0.1:3000"


@pytest.mark.parametrize("content", [None, "", "{", '{"url": 3}', '{"url": "nonsense"}'])
def test_no_local_instance(home: Home, content: str | None) -> None:
    if content is not None:
        home.instance.write_text(content)
    with pytest.raises(NotRunning) as caught:
        local_address(home)
    assert caught.value.exit_code == 9
    assert caught.value.hint


def test_the_key_in_force_wins_over_the_generated_one(home: Home) -> None:
    assert local_key(home) is None
    home.admin_key.write_text("generated\n")
    assert local_key(home) == "generated"
    home.settings.write_text('{"home": "/x", "admin_api_key": "told"}')
    assert local_key(home) == "told"
    home.settings.write_text('{"home": "/x", "admin_api_key": null}')
    assert local_key(home) == "generated"


# --- errors


def as_answer(error: DomainError, headers: dict[str, str] | None = None) -> Answer:
    return Answer(error.status, msgspec.json.encode(error.problem("req-1")), headers or {})


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.code)
def test_every_error_survives_the_wire(cls: type[DomainError], capsys: pytest.CaptureFixture[str]) -> None:
    sent = cls("what happened", hint="do this", field="f", session_id="alpha", state="error", upstream_code="463")
    got = error_of(as_answer(sent))
    assert type(got) is cls
    assert got.problem() == sent.problem()
    assert report(got, as_json=False) == EXIT_CODE[cls.kind] != 0
    err = capsys.readouterr().err
    assert "what happened" in err
    assert cls.code in err
    assert "do this" in err
    assert report(got, as_json=True) == EXIT_CODE[cls.kind]
    assert msgspec.json.decode(capsys.readouterr().err, type=Problem) == sent.problem()


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.code)
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_every_error_survives_the_envelope(cls: type[DomainError], spelling: Callable[[str], str]) -> None:
    status = cls("x").status
    body = Envelope(status, spelling(cls.code), "what happened", {"hint": "do this", "field": "phone"})
    got = error_of(Answer(status, msgspec.json.encode(body), {}))
    assert (type(got), got.message, got.hint, got.field) == (cls, "what happened", "do this", "phone")


def test_unknown_code_keeps_its_kind() -> None:
    body = {
        "status": 409,
        "code": "new_thing",
        "kind": "conflict",
        "title": "t",
        "detail": "d",
        "error": "d",
        "retryable": False,
    }
    got = error_of(Answer(409, json.dumps(body).encode(), {}))
    assert (got.code, got.kind, got.exit_code) == ("new_thing", ErrorKind.CONFLICT, 5)


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (301, 2), (400, 2), (401, 3), (403, 3), (404, 4), (409, 5), (418, 2), (422, 2), (429, 6), (500, 70), (502, 8),
        (503, 9), (504, 10),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"\xff"])
def test_answers_of_something_else(status: int, exit_code: int, body: bytes) -> None:
    got = error_of(Answer(status, body, {}))
    assert (got.exit_code, got.code) == (exit_code, f"http_{status}")
    assert str(status) in got.message


def test_retry_after_header_counts_where_the_document_says_nothing() -> None:
    assert error_of(Answer(503, b"", {"retry-after": "7"})).retry_after_s == 7
    assert error_of(as_answer(WorkerStarting(retry_after_s=2), {"retry-after": "7"})).retry_after_s == 2
    assert error_of(Answer(503, b"", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})).retry_after_s is None


def test_an_answer_of_another_version_is_no_traceback() -> None:
    with pytest.raises(InternalError):
        Answer(200, b'{"session_id": "alpha"}', {}).decode(SessionView)


# --- how failures are told


def test_unexpected_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(RuntimeError("boom"), as_json=False) == 70
    assert "RuntimeError: boom" in capsys.readouterr().err
    assert report(RuntimeError("boom"), as_json=True) == 70
    assert json.loads(capsys.readouterr().err)["code"] == "internal"


def test_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(FileNotFoundError(2, "No such file", "/x/y.png"), as_json=False) == 1
    assert capsys.readouterr().err == "error: No such file /x/y.png (internal)\n"


def test_click_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(click.ClickException("bad"), as_json=True) == 1
    assert json.loads(capsys.readouterr().err)["detail"] == "bad"


def test_what_a_server_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(InvalidRequest("\x1b[2Jgone"), as_json=False)
    assert "\x1b" not in capsys.readouterr().err

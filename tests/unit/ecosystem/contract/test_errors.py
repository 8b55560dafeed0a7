"""The tree of errors: every class one documented code, its kind the HTTP status and the exit code."""

from __future__ import annotations

import gc
import re

import msgspec
import pytest

from ecosystem.contract.errors import (
    EXIT_CODE,
    HTTP_STATUS,
    RETRYABLE,
    ApiKeyMissing,
    BodyTooLarge,
    DomainError,
    ErrorKind,
    InternalError,
    MalformedBody,
    MethodNotAllowed,
    PortsExhausted,
    Problem,
    RegistryDown,
    SessionIdRequired,
    SessionNotFound,
    all_errors,
    from_problem,
)
from ecosystem.contract.naming_errors import NamesDisagree, WebSocketRequired

EVERY = pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)
DOCUMENTED = {
    "invalid": (422, 2),
    "unauthenticated": (401, 3),
    "forbidden": (403, 3),
    "not_found": (404, 4),
    "conflict": (409, 5),
    "rate_limited": (429, 6),
    "exhausted": (503, 7),
    "rejected": (502, 8),
    "unavailable": (503, 9),
    "timeout": (504, 10),
    "unsupported": (501, 11),
    "internal": (500, 70),
}


def test_tables_are_complete_and_as_documented() -> None:
    assert {str(kind): (HTTP_STATUS[kind], EXIT_CODE[kind]) for kind in ErrorKind} == DOCUMENTED


def test_codes_are_unique() -> None:
    codes = [cls.code for cls in all_errors()]
    assert len(codes) > 40
    assert sorted(codes) == sorted(set(codes))


@EVERY
def test_each_class_has_a_code_of_its_own(cls: type[DomainError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)
    assert "code" in vars(cls) or cls is InternalError


@EVERY
def test_each_class_says_what_it_means(cls: type[DomainError]) -> None:
    sentence = (vars(cls).get("__doc__") or "").strip()
    assert sentence, "the docstring is the default message"
    assert str(cls()) == cls().message == sentence.splitlines()[0]


@EVERY
def test_kind_decides_status_exit_code_and_retry(cls: type[DomainError]) -> None:
    error = cls()
    exceptions = {
        MalformedBody: 400,
        BodyTooLarge: 413,
        MethodNotAllowed: 405,
        SessionIdRequired: 400,
        NamesDisagree: 400,
        WebSocketRequired: 426,
    }
    assert error.status == exceptions.get(cls, HTTP_STATUS[cls.kind])
    assert error.exit_code == EXIT_CODE[cls.kind]
    assert error.retryable is (cls.kind in RETRYABLE)
    assert error.retry_after_s is None or error.retryable, "only what may succeed later has a Retry-After"


@EVERY
def test_problem_and_back(cls: type[DomainError]) -> None:
    error = cls(
        "what happened",
        hint="what to do",
        field="phone",
        session_id="alpha",
        state="disconnected",
        retry_after_s=3,
        upstream_code="463",
    )
    wire = msgspec.json.encode(error.problem(request_id="r-1"))
    back = from_problem(msgspec.json.decode(wire, type=Problem))
    assert type(back) is cls
    assert vars(back) == vars(error)


def test_problem_repeats_the_detail_for_old_clients() -> None:
    body = msgspec.json.decode(msgspec.json.encode(SessionNotFound().problem()))
    assert body["detail"] == body["error"] == "Session not found"
    assert body["status"] == 404
    assert body["hint"] == "GET /sessions lists them all"
    assert "state" not in body, "what is not known is left out"


@pytest.mark.parametrize("kind", ErrorKind)
def test_an_unknown_code_keeps_its_kind(kind: ErrorKind) -> None:
    problem = Problem(
        status=418,
        code="from_the_future",
        kind=kind,
        title="T",
        detail="tea",
        error="tea",
        retryable=False,
        hint="wait",
    )
    error = from_problem(problem)
    assert (error.code, error.kind, error.exit_code, error.message, error.hint) == (
        "from_the_future",
        kind,
        EXIT_CODE[kind],
        "tea",
        "wait",
    )


def test_an_unknown_code_does_not_join_the_catalogue() -> None:
    before = all_errors()
    kept = from_problem(
        Problem(status=500, code="stray", kind=ErrorKind.INTERNAL, title="", detail="d", error="d", retryable=False)
    )
    gc.collect()
    assert kept.code == "stray"
    assert all_errors() == before


def test_no_error_class_lives_outside_the_catalogue() -> None:
    import cli.root
    import ecosystem.settings
    import orchestrator
    import worker

    assert all((cli.root, ecosystem.settings, orchestrator, worker))
    known = set(all_errors())
    todo = list(DomainError.__subclasses__())
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        assert cls in known or cls.__module__ == "foreign", f"{cls.__module__}.{cls.__name__} has no documented code"


def test_own_retry_after_wins_over_the_default() -> None:
    assert RegistryDown().retry_after_s == 2
    assert RegistryDown(retry_after_s=0).retry_after_s == 0
    assert ApiKeyMissing().retry_after_s is None
    assert PortsExhausted().retry_after_s is None, "an operator has to act: coming back does not help"


def test_an_empty_message_falls_back() -> None:
    assert SessionNotFound("").message == "Session not found"

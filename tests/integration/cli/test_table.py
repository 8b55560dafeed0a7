"""Rules that hold for every command: one table of calls, and a server that refuses in each documented way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.answers import ANSWERS, schema_of
from cli.root import main
from ecosystem.contract.errors import EXIT_CODE, HTTP_STATUS, RETRYABLE, ErrorKind
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, problem
from tests.support.command_table import SAMPLES, WITHOUT_SERVER
from tests.unit.cli.test_help import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cli.conftest import Zap

KINDS = {
    ErrorKind.INVALID: 2, ErrorKind.UNAUTHENTICATED: 3, ErrorKind.FORBIDDEN: 3, ErrorKind.NOT_FOUND: 4, ErrorKind.CONFLICT: 5,
    ErrorKind.RATE_LIMITED: 6, ErrorKind.EXHAUSTED: 7, ErrorKind.REJECTED: 8, ErrorKind.UNAVAILABLE: 9,
    ErrorKind.TIMEOUT: 10, ErrorKind.UNSUPPORTED: 11, ErrorKind.INTERNAL: 70,
}  # fmt: skip
"""Section 8 of the architecture, spelled out."""


class Refusing(ApiStandIn):
    """Answers every request with the same failure."""

    kind = ErrorKind.FORBIDDEN

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return problem(HTTP_STATUS[self.kind], f"made_up_{self.kind}", self.kind, "no, because", hint="do this")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusing]:
    with Refusing() as stand_in:
        monkeypatch.setenv("ZAPVISOR_URL", stand_in.url)
        yield stand_in


def test_the_tables_know_every_command() -> None:
    faults = {words for words in map(" ".join, VERBS) if words.startswith("sandbox fault ")}
    verbs = {words for words in map(" ".join, VERBS) if not words.startswith("session ")}
    assert verbs - faults | {"sandbox fault list", "sandbox fault clear"} == set(ANSWERS)
    assert set(SAMPLES) | WITHOUT_SERVER | faults == verbs


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_command_has_a_schema(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(schema_of(" ".join(path)), dict)
    assert main(["schema", *path]) == 0
    assert capsys.readouterr().out.startswith("{")


@pytest.mark.parametrize("words", SAMPLES)
def test_a_refusal_ends_with_the_documented_code(words: str, refusing: Refusing, zap: Zap) -> None:
    told = zap(*words.split(), *SAMPLES[words], "--url", refusing.url, "--json")
    assert told.code == EXIT_CODE[ErrorKind.FORBIDDEN] == 3
    assert told.problem["code"] == "made_up_forbidden"
    assert told.out in ("", "[]\n"), "nothing was done, so nothing is told on standard output"
    told = zap(*words.split(), *SAMPLES[words], "--url", refusing.url)
    assert told.code == 3
    assert "no, because (made_up_forbidden)\n  hint: do this" in told.err


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_of_failure_has_its_code(kind: ErrorKind, refusing: Refusing, zap: Zap) -> None:
    refusing.kind = kind
    for words in (("list",), ("start", "alpha"), ("send", "alpha", "5511900000001", "x"), ("key", "list")):
        told = zap(*words, "--url", refusing.url, "--json")
        assert told.code == EXIT_CODE[kind] == KINDS[kind], words
        assert told.problem["retryable"] == (kind in RETRYABLE)

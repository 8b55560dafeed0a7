"""`--quiet`, where all goes well: every command says what was asked for, or nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from cli.answers import answer_of, type_of
from ecosystem.contract.webhook import WebhookPayload
from orchestrator.api.descriptions import TABLE
from tests.support.api_stand_in import ApiStandIn, Asked, Reply
from tests.support.command_table import SAMPLES
from tests.support.examples_of import example_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cli.conftest import Zap

PATTERNS: Final = [
    (route.partition(" ")[0], re.compile(re.sub(r"\{\w+\}", "[^/]+", route.partition(" ")[2])), described)
    for route, described in TABLE.items()
]


class Obliging(ApiStandIn):
    """Answers every request well, with an example of what the route promises."""

    shape: object = None
    """What routes answer that are in no table: those of the sandbox."""

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.path.endswith("/messages") and asked.method == "GET":
            return Reply(200, {"messages": []})
        if asked.path == "/events":
            return Reply(200, stream=iter([f"id: 1\ndata: {PAYLOAD}\n\n".encode()]))
        for method, pattern, described in PATTERNS:
            if method == asked.method and pattern.fullmatch(asked.path):
                status = next(status for status in described.answers if status < 300)
                return Reply(status, _body(described.answers[status]))
        return Reply(200, example_of(self.shape))


PAYLOAD: Final = msgspec.json.encode(example_of(WebhookPayload)).decode()


def _body(shape: object) -> Any:
    return None if shape is None else b"a line\n" if shape is str else example_of(shape)


MORE: Final = {
    "events": ("-n", "1"),
    "qr": ("--once",),
    "pair": ("--no-wait",),
    "delete": ("--wait", "1"),
    "logs": ("--program",),
}
"""What a command needs to come to an end here."""
SILENT: Final = frozenset(
    {
        "update", "start", "stop", "restart", "logout", "delete", "reload", "flush", "reset", "signal", "save", "resurrect",
        "policy set", "policy reset", "proxy set", "proxy remove", "proxy test", "webhook update", "webhook enable",
        "webhook disable", "webhook delete", "webhook test", "key revoke", "key rotate-secret", "sandbox phone add",
        "sandbox fault clear", "sandbox fault drop", "sandbox inbox",
    }
)  # fmt: skip
"""They do something, or (the last one) there is nothing to tell; the others answer a question, or name what they made."""


@pytest.fixture
def obliging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Obliging]:
    with Obliging() as stand_in:
        monkeypatch.setenv("ZAPVISOR_URL", stand_in.url)
        yield stand_in


@pytest.mark.parametrize("words", SAMPLES)
def test_quiet_says_only_what_was_asked_for(words: str, obliging: Obliging, zap: Zap) -> None:
    obliging.shape = type_of(answer_of(words))
    told = zap(*words.split(), *SAMPLES[words], *MORE.get(words, ()), "--url", obliging.url, "--quiet")
    assert told.code == 0, told
    assert told.err == ""
    assert "\x1b" not in told.out
    assert (told.out == "") is (words in SILENT), told.out

"""The snippets of the guide verify what is really sent, and refuse what is not. Those whose interpreter is here are run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ecosystem.contract.webhook import WebhookFormat
from orchestrator.webhooks.payload import Recipient, build
from tests.unit.orchestrator.webhooks.build import event

GUIDE: Final = Path(__file__).resolve().parents[3] / "docs/guides/webhooks.md"
SECRET: Final = "a secret with ü"


class Language(NamedTuple):
    """How to run a snippet: what follows it reads {secret, headers, body} and prints true or false."""

    command: list[str]
    call: str
    lower_headers: bool


LANGUAGES: Final = {
    "python": Language(
        [sys.executable, "-c"],
        """
import json, sys
given = json.load(sys.stdin)
print(str(is_genuine(given["secret"], given["headers"], given["body"].encode())).lower())
""",
        lower_headers=False,
    ),
    "javascript": Language(
        ["node", "-e"],
        """
const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
console.log(isGenuine(given.secret, given.headers, Buffer.from(given.body)));
""",
        lower_headers=True,
    ),
    "php": Language(
        ["php", "-r"],
        """
$given = json_decode(file_get_contents('php://stdin'), true);
echo is_genuine($given['secret'], $given['headers'], $given['body']) ? 'true' : 'false';
""",
        lower_headers=False,
    ),
}
PRESENT: Final = [name for name, language in LANGUAGES.items() if shutil.which(language.command[0])]


def snippet(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0]).removeprefix("<?php")


def verdict(
    language: str, *, age_s: float = 0, secret: str = SECRET, body: str | None = None, signature: str | None = None
) -> str:
    """What the snippet says of a request that was sent `age_s` ago and changed on its way."""
    how = LANGUAGES[language]
    now = datetime.now(UTC) - timedelta(seconds=age_s)
    sent = build(
        event(data={"text": "olá 👋"}), Recipient(WebhookFormat.ZAPVISOR, SECRET, {}), delivery="7", attempt=1, now=now
    )
    headers = sent.headers | ({"X-Zapvisor-Signature": signature} if signature is not None else {})
    given = {
        "secret": secret,
        "body": sent.body.decode() if body is None else body,
        "headers": {name.lower() if how.lower_headers else name: value for name, value in headers.items()},
    }
    program = [*how.command, snippet(language) + how.call]
    done = subprocess.run(program, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def test_the_guide_has_a_snippet_for_each_language() -> None:
    assert all(snippet(language) for language in LANGUAGES)
    assert "python" in PRESENT


@pytest.mark.parametrize("language", PRESENT)
def test_snippets_accept_what_is_sent_and_nothing_else(language: str) -> None:
    assert verdict(language) == "true"
    assert verdict(language, secret="another") == "false"
    assert verdict(language, body='{"text": "changed"}') == "false"
    assert verdict(language, age_s=3600) == "false"
    assert verdict(language, signature="v1=00") == "false"

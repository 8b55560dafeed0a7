"""Every command with `--json` against a running instance: what it prints is what its schema promises, and no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs
import pytest

from cli.answers import ANSWERS, answer_of, schema_of
from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANA, BIA, CAL = "5511900000001", "5521900000002", "5531900000003"


NOT_CALLED = {"menu", "monit", "unstartup"}
"""The first two draw a terminal full, the last one would change this machine."""


class Told(NamedTuple):
    """What a command printed with `--json`, and how it ended."""

    code: int
    out: str


class Script:
    """Runs commands one after the other and keeps what each said, by its words in the table."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.told: dict[str, Told] = {}

    def __call__(self, words: str, *more: str, code: int | None = 0) -> Any:
        """What `zapvisor WORDS MORE --json` prints. Raises AssertionError when it ends with another code (None: any)."""
        done = self.instance.zap(*words.split(), *more, "--json", check=False, timeout=180)
        assert code is None or done.returncode == code, (words, done.stdout, done.stderr)
        self.told[words] = Told(done.returncode, done.stdout)
        return json.loads(done.stdout) if answer_of(words).shape and not answer_of(words).lines else done.stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    """The life of an instance, in every command there is."""
    config: Path = tmp_path_factory.mktemp("config")
    with Instance(XDG_CONFIG_HOME=str(config)) as instance:
        run = Script(instance)
        run("up", "--sandbox", "--detach")
        run("doctor", code=None)  # its findings are this machine's
        _sessions(run)
        _sandbox(run)
        _webhooks(run)
        _keys(run)
        _command(run)
        run("stop", "alpha", "--wait", "30")
        run("start", "alpha", "--wait", "30")
        run("restart", "alpha", "--wait", "30")
        run("logout", "alpha", "--yes")
        run("delete", "alpha", "beta", "--yes", "--wait", "30")
        run("down")
        yield run


def _sessions(run: Script) -> None:
    run("create", "alpha", "--label", "sales", "--metadata", "city=Recife")
    run("create", "beta")
    run("sandbox phone add", ANA, "--name", "Ana")
    run.instance.zap("sandbox", "phone", "add", BIA)
    run.instance.zap("sandbox", "phone", "add", CAL)
    run("qr", "alpha")
    run("sandbox scan", ANA, "alpha")
    code = run("pair", "beta", BIA)
    run("sandbox code", BIA, code["code"])
    for session in ("alpha", "beta"):
        run.instance.wait_status(session, "authenticated")
    run("list")
    run("describe", "alpha")
    run("history", "alpha")
    assert [each["labels"] for each in run("update", "label:sales", "--label", "vip")] == [["sales", "vip"]]
    run("status")
    run("health")
    for verb in ("flush", "reset", "reload"):
        run(verb, "alpha")
    run("signal", "CONT", "alpha")
    run("save")
    run("resurrect")
    run("startup")  # shows the unit; nothing is installed
    run("server")
    run("processes")
    run("alerts", "--all")
    run("policy set", "alpha", "--max-memory", "300M", "--stop-exit-codes", "0,143", "--cron-restart", "0 4 * * *")
    run("policy show", "alpha")
    run("policy reset", "alpha")
    run("proxy set", "beta", "socks5://127.0.0.1:9")
    run("proxy show", "beta")
    run("proxy test", "beta", code=1)
    run("proxy remove", "beta")
    run.instance.wait_status("alpha", "authenticated")


def _sandbox(run: Script) -> None:
    run("send", "alpha", CAL, "hello")
    run("sandbox say", CAL, "alpha", "hello back")
    until("it came", lambda: run("sandbox inbox", CAL))
    group = run("sandbox group create", CAL, "Team", ANA)["id"]
    run("sandbox group list")
    run("sandbox group change", group, CAL, "--name", "Staff")
    call = run("sandbox call", CAL, "alpha")["id"]
    run("sandbox hang-up", CAL, call)
    run("sandbox contact", CAL, "alpha", "Ana from work")
    run("sandbox typing", CAL, "alpha")
    run("sandbox online", CAL)
    channel = run("sandbox newsletter create", CAL, "News")["id"]
    run("sandbox newsletter list")
    run("sandbox newsletter follow", channel, "alpha")
    post = run("sandbox newsletter post", channel, "Good morning")["id"]
    run("sandbox newsletter count", channel, post, "--views", "7")
    run("sandbox newsletter mute", channel, "alpha")
    run("sandbox newsletter leave", channel, "alpha")
    run("sandbox history", ANA, CAL, "Hello", "How are you?")
    poll = ("-d", f'{{"phone": "{CAL}", "question": "Lunch?", "options": ["Pizza", "Pasta"], "max_answer": 1}}')
    sent = run("api", "POST", "/api/alpha/send/poll", *poll)
    until("the poll is there", lambda: len(run("sandbox inbox", CAL)) > 1)
    run("sandbox vote", CAL, json.loads(sent)["results"]["message_id"], "Pizza")
    run("sandbox fault hold_acks")
    assert run("sandbox fault list")["faults"]
    run("sandbox fault clear")
    run("sandbox phone list")
    run("events", "-n", "3", "--after", "0-0", "--session", "alpha")
    run("logs", "alpha", "-n", "5")


def _webhooks(run: Script) -> None:
    hook = run("webhook create", "http://127.0.0.1:9/nobody")["id"]
    run("webhook list")
    run("webhook describe", hook)
    run("webhook update", hook, "--name", "x")
    run("webhook disable", hook)
    run("webhook enable", hook)
    run("webhook test", hook, code=1)
    run.instance.zap("sandbox", "say", CAL, "alpha", "for the webhook")
    until("an event waits", lambda: run("webhook deliveries", hook)["deliveries"])
    run("webhook stats")
    run("webhook dead-letters")
    run("webhook replay", hook, "--state", "dead")
    run("webhook delete", hook, "--yes")


def _keys(run: Script) -> None:
    key = run("key create", "crm", "--session", "alpha")["id"]
    run("key list")
    key = run("key rotate", key)["id"]
    run("key revoke", key, "--yes")
    run("key rotate-secret")
    run("key whoami")
    run("audit")


def _command(run: Script) -> None:
    run("api", "GET", "/status")
    run("completion", "bash")
    run("schema", "list")
    run("context add", "there", "https://fleet.example", "--no-key")
    run("context list")
    run("context use", "there")
    run("context show")
    run("context remove", "there", "--yes")


@pytest.mark.parametrize("words", [words for words in ANSWERS if ANSWERS[words].shape and words not in NOT_CALLED])
def test_json_is_what_the_schema_says(words: str, script: Script) -> None:
    answer = answer_of(words)
    told = script.told[words]
    documents = told.out.splitlines() if answer.lines else [told.out]
    assert documents
    schema = schema_of(words)
    # A line of a log carries what the program has to say: only that has no list of names.
    validator = jsonschema_rs.validator_for(schema if words == "logs" else _closed(schema))
    for document in documents:
        mistakes = [
            f"{mistake.instance_path}: {mistake.message}" for mistake in validator.iter_errors(json.loads(document))
        ]
        assert not mistakes, document


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that takes no field it does not name: what is printed must be documented."""
    shapes = [schema, *schema.get("$defs", {}).values()]
    for shape in shapes:
        if "properties" in shape:
            shape["additionalProperties"] = False
    return schema


def test_what_promises_no_schema(script: Script) -> None:
    assert {words for words, answer in ANSWERS.items() if not answer.shape} == {"menu", "monit", "api", "schema"}
    assert json.loads(script.told["api"].out)["sandbox"] is True
    assert "$defs" in json.loads(script.told["schema"].out)
    for words in ("menu", "monit"):
        refused = script.instance.zap(words, "--json", check=False)
        assert refused.returncode == 2
        assert json.loads(refused.stderr)["kind"] == "invalid"


def test_every_command_was_called(script: Script) -> None:
    assert set(ANSWERS) - set(script.told) == NOT_CALLED

"""Log lines: their shape, their fields, and what must never be in them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem import logs, tracing

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: every test leaves it as it was."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.raiseExceptions)
    yield
    root.handlers[:], logging.raiseExceptions = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_the_event_and_its_fields() -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=False, program="worker", stream=stream)
    logging.getLogger("worker.session").info(
        "session_started", extra={"session": "alpha", "seconds": 1.5, "tags": ("a", 2)}
    )
    (line,) = json_lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "program": "worker",
        "logger": "worker.session",
        "event": "session_started",
        "session": "alpha",
        "seconds": 1.5,
        "tags": ["a", 2],
    }


def test_a_line_says_for_which_request_it_was_written() -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=False, program="worker", stream=stream)
    token = tracing.REQUEST.set("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    try:
        logging.getLogger("x").info("during")
        logging.getLogger("x").info("its_own", extra={"request_id": "other"})
    finally:
        tracing.REQUEST.reset(token)
    logging.getLogger("x").info("after")
    ids = [line.get("request_id") for line in json_lines(stream)]
    assert ids == ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "other", None]


def test_levels_and_a_second_setup() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.setup(level="warning", pretty=False, program="a", stream=first)
    logging.getLogger("x").info("unseen")
    logging.getLogger("x").warning("seen")
    logs.setup(level="debug", pretty=False, program="b", stream=second)
    logging.getLogger("x").debug("now")
    assert [line["event"] for line in json_lines(first)] == ["seen"]
    assert [line["program"] for line in json_lines(second)] == ["b"]
    with pytest.raises(ValueError, match="level must be one of"):
        logs.setup(level="loud", pretty=None, program="c")


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    printed = {}
    for name, stream, pretty in (
        ("pipe", io.StringIO(), True),
        ("terminal", Terminal(), None),
        ("json", io.StringIO(), None),
    ):
        logs.setup(level="info", pretty=pretty, program="p", stream=stream)
        logging.getLogger("x").info("event", extra={"a": "b c"})
        printed[name] = stream.getvalue()
    assert "\x1b" not in printed["pipe"]
    assert 'p: event a="b c"' in printed["pipe"]
    assert "\x1b[32m" in printed["terminal"]
    assert printed["json"].startswith("{")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    logs.setup(level="info", pretty=None, program="p", stream=plain)
    logging.getLogger("x").info("event")
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize("pretty", [True, False])
def test_an_exception_is_one_record_without_secrets(pretty: bool) -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=pretty, program="p", stream=stream)
    try:
        raise RuntimeError("cannot reach redis://:hunter2@127.0.0.1:6379/0")
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    text = stream.getvalue()
    assert "Traceback" in text
    assert "hunter2" not in text
    assert "redis://:***@127.0.0.1:6379/0" in text
    if not pretty:
        assert len(text.splitlines()) == 1


SECRETS = {
    "redis://:s3cr3t-pw@host:6379/0": "redis://:***@host:6379/0",
    "rediss://user:s3cr3t-pw@host": "rediss://user:***@host",
    "postgresql://u:s3cr3t-pw@db.example/zap?sslmode=require": "postgresql://u:***@db.example/zap?sslmode=require",
    "postgresql://u:s3cr3t-pw@with@at@db/zap": "postgresql://u:***@db/zap",
    "Authorization: Bearer s3cr3t-pw": "Authorization: Bearer ***",
    "'Authorization': 'Basic s3cr3t-pw=='": "'Authorization': 'Basic ***'",
    "authorization=s3cr3t-pw": "authorization=***",
    "X-API-Key: s3cr3t-pw": "X-API-Key: ***",
    "the key zpv_s3cr3t-pw_123 was refused": "the key zpv_*** was refused",
    "host=db password=s3cr3t-pw user=x": "host=db password=*** user=x",
    "bearer s3cr3t-pw-longer": "bearer ***",
}


@pytest.mark.parametrize(("secret", "shown"), SECRETS.items())
def test_secrets_are_blacked_out(secret: str, shown: str) -> None:
    assert logs.redact(secret) == shown


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_blacked_out_wherever_they_stand(secret: str) -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=False, program="p", stream=stream)
    log = logging.getLogger("x")
    log.info("in the message %s", secret)
    log.info("event", extra={"url": secret, "deep": {"list": [secret]}, "object": ValueError(secret)})
    assert "s3cr3t-pw" not in stream.getvalue()


@pytest.mark.parametrize(
    "plain",
    [
        "http://127.0.0.1:3000/sessions",
        "unix:///var/lib/zapvisor/run/redis/redis.sock",
        "postgresql://zapvisor@/zapvisor?host=%2Frun&port=5432",
        "basic auth is possible",
        "at 12:30:01 mail@example.org",
    ],
)
def test_what_is_no_secret_stays(plain: str) -> None:
    assert logs.redact(plain) == plain


@given(st.text(), st.text() | st.integers() | st.binary() | st.floats())
def test_every_record_is_exactly_one_line_of_json(message: str, value: object) -> None:
    record = logging.makeLogRecord({"name": "x", "levelno": 20, "levelname": "INFO", "msg": message, "value": value})
    line = logs.JsonFormatter("p").format(record)
    assert "\n" not in line
    json.loads(line)


@given(st.text())
def test_a_console_line_cannot_be_forged(value: str) -> None:
    record = logging.makeLogRecord({"name": "x", "levelno": 20, "levelname": "INFO", "msg": value, "field": value})
    line = logs.ConsoleFormatter("p", colours=False).format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_it_is_light() -> None:
    """The zygote loads it: nothing heavy may come along, and no thread."""
    script = (
        "import sys, os, ecosystem.logs, ecosystem.lifeline\n"
        "heavy = {'asyncio', 'aiohttp', 'ssl', 'psycopg', 'redis', 'supervisor', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy), len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[] 1"


# --- lines that wait for each other


def test_lines_of_answers_are_written_together() -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=False, program="p", stream=stream)
    answers, other = logging.getLogger(logs.ANSWERS), logging.getLogger("other")

    async def serve() -> None:
        answers.info("one")
        answers.info("two")
        assert stream.getvalue() == ""
        other.info("three")
        assert [line["event"] for line in json_lines(stream)] == ["one", "two", "three"], "nothing overtakes"
        answers.info("four")
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(logs.TOGETHER_S * 2, later.set)
        await later.wait()
        assert len(json_lines(stream)) == 4
        for _ in range(logs.TOGETHER_MAX):
            answers.info("many")
        assert len(json_lines(stream)) == 4 + logs.TOGETHER_MAX
        answers.info("last")

    asyncio.run(serve())
    assert len(json_lines(stream)) == 4 + logs.TOGETHER_MAX, "its loop ended first"
    answers.info("without a loop")
    assert [line["event"] for line in json_lines(stream)[-2:]] == ["last", "without a loop"]


async def test_what_still_waits_at_the_end_is_written() -> None:
    stream = io.StringIO()
    logs.setup(level="info", pretty=False, program="p", stream=stream)
    logging.getLogger(logs.ANSWERS).info("one")
    assert stream.getvalue() == ""
    logging.getLogger().handlers[0].flush()
    assert [line["event"] for line in json_lines(stream)] == ["one"]


@given(st.text())
def test_the_short_way_hides_what_the_long_way_hides(text: str) -> None:
    """A mark is in whatever a pattern finds."""
    long_way = text
    for pattern, replacement in logs._SECRETS:
        long_way = pattern.sub(replacement, long_way)
    assert logs.redact(text) == long_way

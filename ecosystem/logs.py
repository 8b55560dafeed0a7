"""Logging, set up once by each program's main: JSON lines for machines, coloured lines for people, secrets blacked out.

A record's message is the event's name (`worker_started`); its fields come with `extra={...}`. Light: the zygote loads it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from ecosystem import tracing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

ANSWERS: Final = "http"
"""The logger of HTTP answers (see web). Under load they are hundreds a second: their lines are written together."""
TOGETHER_S: Final = 0.05
"""How long such a line may wait for others; any other line is written at once, and those that wait before it."""
TOGETHER_MAX: Final = 100
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}
_HIDDEN: Final = "***"
_MARKS: Final = ("://", "authorization", "bearer", "basic", "api", "passw", "secret", "token", "zpv_")
"""One of them stands in every text that holds what is blacked out."""
_SECRETS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), rf"\g<kept>{_HIDDEN}")
    for pattern in (
        # The password of a URL runs up to the last `@` before the host ends: a password may hold an unescaped one.
        r"(?P<kept>[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)[^\s/\"']+(?=@)",
        r"(?P<kept>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token|digest)\s+)?)[^\s\"',;}]+",
        r"(?P<kept>\b(?:bearer|basic)\s+)(?=[a-z0-9+/_.~=-]{8,})[a-z0-9+/_.~=-]+",
        r"(?P<kept>\bx-api-key[\"']?\s*[:=]\s*[\"']?)[^\s\"',;}]+",
        r"(?P<kept>\b(?:password|passwd|secret|api_?key|token)=)[^\s&\"',;}]+",
        r"(?P<kept>\bzpv_)[a-z0-9_-]{6,}",
    )
)


def redact(text: str) -> str:
    """`text` without passwords of URLs, credentials of an Authorization header and API keys."""
    # Beyond ASCII upper and lower case are not what lower() says: such a text is looked at thoroughly.
    if text.isascii():
        lower = text.lower()
        if not any(mark in lower for mark in _MARKS):
            return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def setup(*, level: str, pretty: bool | None, program: str, stream: TextIO | None = None) -> None:
    """Sends every logger's records from `level` up to `stream` (standard error unless given), in place of what was set up before.

    `pretty` None: lines for people on a terminal, JSON elsewhere. May be called again, as a forked child does.
    Raises ValueError for an unknown level.
    """
    if level not in _LEVELS:
        raise ValueError(f"level must be one of {', '.join(_LEVELS)}, not {level!r}")
    target = stream if stream is not None else sys.stderr
    terminal = target.isatty()
    formatter: logging.Formatter
    if pretty or (pretty is None and terminal):
        formatter = ConsoleFormatter(program, colours=terminal and not os.environ.get("NO_COLOR"))
    else:
        formatter = JsonFormatter(program)
    handler = Lines(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a full disk under the log must not become a traceback per line


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines to a stream: those of HTTP answers a few at a time, where a loop runs that can do so later."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._due_on: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """As in StreamHandler."""
        try:
            self._waiting.append(self.format(record) + self.terminator)
            may_wait = record.name == ANSWERS and record.levelno < logging.WARNING
            if not may_wait or len(self._waiting) >= TOGETHER_MAX or not self._write_later():
                self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Writes what waits. A stream that takes nothing any more is nobody's concern here."""
        self.acquire()
        try:
            waiting, self._waiting = "".join(self._waiting), []
            with contextlib.suppress(OSError, ValueError):
                self.stream.write(waiting)
                super().flush()
        finally:
            self.release()

    def _write_later(self) -> bool:
        """Whether the loop that runs here will write what waits."""
        # Not imported here: where there is a loop, somebody has done so.
        loop = sys.modules["asyncio"]._get_running_loop() if "asyncio" in sys.modules else None
        if loop is not None and loop is not self._due_on:
            loop.call_later(TOGETHER_S, self._write_due)
            self._due_on = loop
        return loop is not None

    def _write_due(self) -> None:
        self._due_on = None
        self.flush()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, program, logger, event, then the record's own fields."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "program": self._program,
            "logger": record.name,
            "event": redact(record.getMessage()),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, _clean(value))
        if (trace := _trace(self, record)) is not None:
            line["exception"] = trace
        return _encode(line)


class ConsoleFormatter(logging.Formatter):
    """Lines for people: time, level, program, event, fields as name=value."""

    def __init__(self, program: str, *, colours: bool) -> None:
        super().__init__()
        self._program = program
        self._paint: Callable[[str, str], str] = _paint if colours else _plain

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = self._paint(f"{record.levelname.lower():<8}", _COLOURS.get(record.levelno, "0"))
        fields = "".join(
            f" {self._paint(name + '=', '2')}{_shown(value)}" for name, value in sorted(_fields(record).items())
        )
        line = f"{self._paint(when, '2')} {level} {self._program}: {_one_line(redact(record.getMessage()))}{fields}"
        trace = _trace(self, record)
        return line if trace is None else f"{line}\n{trace}"


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    if (request := tracing.REQUEST.get()) is not None:
        found.setdefault("request_id", request)
    return found


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_info is None or record.exc_info[0] is None:
        return redact(record.exc_text) if record.exc_text else None
    return redact(formatter.formatException(record.exc_info))


def _clean(value: object) -> object:
    """A field as JSON can carry it, without secrets at any depth."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return redact(str(value))


def _shown(value: object) -> str:
    text = _one_line(redact(str(value)))
    return f'"{text}"' if " " in text else text


def _one_line(text: str) -> str:
    """Control characters escaped: a value from outside must not forge a line of its own, nor drive the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def _encode(line: dict[str, object]) -> str:
    try:
        return msgspec.json.encode(line).decode()
    except (UnicodeEncodeError, OverflowError, ValueError):
        # Lone surrogates (file names) and integers beyond 64 bits have no JSON of their own.
        return msgspec.json.encode({name: ascii(value) for name, value in line.items()}).decode()


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _plain(text: str, _: str) -> str:
    return text

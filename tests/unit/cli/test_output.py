"""What people and programs get to see."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import figures
from cli.output.loglines import readable
from cli.output.records import as_table, cell, rows_of, title
from cli.output.screen import Column, Screen, clean, speaks_unicode, width_of
from ecosystem.contract.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = [
    Column("ID"),
    Column("STATUS", coloured=True),
    Column("PHONE", expendable=1),
    Column("PID", expendable=2, right=True),
]
ROWS = [("alpha", "authenticated", "5511912345678", "4711"), ("b", "error", "-", "-")]


def screen(*, terminal: bool = False, colour: bool = False, unicode: bool = True, quiet: bool = False) -> Screen:
    return Screen(json=False, quiet=quiet, terminal=terminal, colour=colour, unicode=unicode)


def drawn(
    made: Screen,
    monkeypatch: pytest.MonkeyPatch,
    columns: int = 80,
    rows: Sequence[Sequence[str]] = ROWS,
    encoding: str = "utf-8",
) -> str:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    made.table(COLUMNS, rows)
    sys.stdout.flush()
    return raw.getvalue().decode(encoding)


def test_table_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(screen(), monkeypatch, columns=10).splitlines()
    assert [line.split() for line in lines] == [
        ["ID", "STATUS", "PHONE", "PID"],
        ["alpha", "authenticated", "5511912345678", "4711"],
        ["b", "error", "-", "-"],
    ]


def test_columns_in_a_pipe_stand_below_each_other_whatever_the_script() -> None:
    assert [width_of(text) for text in ("abc", "São", "Sa\u0303o", "\u65e5\u672c", "")] == [3, 3, 3, 4, 0]


def test_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(screen(terminal=True), monkeypatch, columns=80)
    assert "PID" in whole
    assert "─" in whole
    narrow = drawn(screen(terminal=True), monkeypatch, columns=42)
    assert "PID" not in narrow, "the most expendable column goes first"
    assert "PHONE" in narrow
    narrower = drawn(screen(terminal=True), monkeypatch, columns=25)
    assert "PHONE" not in narrower
    for text, columns in ((whole, 80), (narrow, 42), (narrower, 25)):
        assert all(len(line) <= columns for line in text.splitlines())


def test_table_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[32mauthenticated" in drawn(screen(terminal=True, colour=True), monkeypatch)
    assert "\x1b" not in drawn(screen(terminal=True), monkeypatch)


def test_table_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("alpha", "error", "São Paulo 😀", "1")]
    out = drawn(screen(terminal=True, unicode=False), monkeypatch, rows=rows, encoding="ascii")
    assert "Sao Paulo ??" in out, "as wide as it was"
    assert out.isascii()


def test_table_tames_what_strangers_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    out = drawn(screen(terminal=True), monkeypatch, rows=[("a", "b", "\x1b[2J\u202eevil[bold]\nx", "1")])
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold] x" in out


@given(st.text())
def test_clean_leaves_nothing_that_steers(text: str) -> None:
    assert not any((ord(char) < 32 and char not in "\t\n") or 127 <= ord(char) < 160 for char in clean(text))


def test_json_is_the_documents_own(capsys: pytest.CaptureFixture[str]) -> None:
    made = screen()
    made.data(b'{"a":1,"name":"S\xc3\xa3o"}')
    made.data({"b": [1]})
    made.data_line({"c": 1})
    out = capsys.readouterr().out
    assert out == '{\n  "a": 1,\n  "name": "São"\n}\n{\n  "b": [\n    1\n  ]\n}\n{"c":1}\n'


def test_json_that_is_none() -> None:
    with pytest.raises(InternalError):
        screen().data(b"<html>")


def test_quiet_says_only_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    made = screen(quiet=True)
    made.done("done")
    made.note("by the way")
    made.line("answer")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("answer\n", "")


def test_fields(capsys: pytest.CaptureFixture[str]) -> None:
    screen().fields([("id", "alpha"), ("nothing", None), ("metadata", "a=1\nb=2"), ("bad", "\x1b[0m")])
    assert capsys.readouterr().out == "id        alpha\nmetadata  a=1\n          b=2\nbad       \ufffd[0m\n"


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False)]
)
def test_speaks_unicode(encoding: str, expected: bool) -> None:
    assert speaks_unicode(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is expected


@pytest.mark.parametrize(
    ("environ", "terminal", "colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"TERM": "xterm"}, False, False),
    ],
)
def test_colours_only_on_a_terminal(
    environ: dict[str, str], terminal: bool, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    assert Screen.of_process(json=False, quiet=False).colour is colour


# --- figures, records, log lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3661, "1h 1m"),
        (90061, "1d 1h"),
        (86400, "1d 0h"),
        (-1, "0s"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(None, "-"), (0, "0 KiB"), (1 << 20, "1.0 MiB"), (15_000_000, "14.3 MiB"), (3 << 30, "3.00 GiB")]
)
def test_memory(size: int | None, text: str) -> None:
    assert figures.memory(size) == text


def test_moment_names_its_zone() -> None:
    shown = figures.moment(datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert shown is not None
    assert datetime.strptime(shown, "%Y-%m-%d %H:%M:%S %z") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert figures.moment(None) is None


def test_records() -> None:
    assert rows_of(b'{"n": 1, "rows": [{"a": 1}], "other": [{"b": 2}]}') == [{"a": 1}]
    assert rows_of(b'[{"a": 1}]') == [{"a": 1}]
    assert rows_of(b'{"rows": []}') == rows_of(b"3") == []
    with pytest.raises(InternalError):
        rows_of(b"<html>")
    columns, cells = as_table([{"name": "x", "memory_bytes": 1 << 20, "gone": None}, {"name": "y", "uptime_s": 61}])
    assert [column.title for column in columns] == ["NAME", "MEMORY", "UPTIME"]
    assert cells == [("x", "1.0 MiB", "-"), ("y", "-", "1m 1s")]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("a", True, "yes"),
        ("a", 1.5, "1.5"),
        ("a", [1, "b"], "1, b"),
        ("a", {"n_bytes": 1 << 20, "by": {"x": 1, "y": 0}}, "n 1.0 MiB, x 1"),
        ("a", "", "-"),
        ("a", [], "-"),
    ],
)
def test_cell(name: str, value: object, text: str) -> None:
    assert cell(name, value) == text


def test_moments_in_records() -> None:
    shown = cell("created_at", "2026-11-20T10:00:00.123456Z")
    assert datetime.strptime(shown, "%Y-%m-%d %H:%M:%S %z") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert cell("at", "yesterday") == "yesterday"
    assert cell("members", {"5511": "", "5521": "admin"}) == "5511, 5521 admin"


def test_title() -> None:
    assert title("next_retry_s") == "NEXT RETRY"


def test_log_line_of_json() -> None:
    line = json.dumps(
        {"ts": 1_700_000_000, "level": "INFO", "program": "orchestrator", "logger": "x", "event": "started",
         "session": "alpha", "why": "two words", "n": 3, "none": None}
    ).encode()  # fmt: skip
    assert readable(line, screen()).split(" ", 1)[1] == 'info    orchestrator started session=alpha why="two words" n=3'


@pytest.mark.parametrize("line", [b"plain text", b"{broken", b"[1]", b'{"no":"event"}', b"3"])
def test_log_line_of_another_kind(line: bytes) -> None:
    assert readable(line, screen()) == line.decode()


@given(st.binary(max_size=60))
def test_no_log_line_steers_the_terminal(line: bytes) -> None:
    assert "\x1b" not in readable(line, screen())

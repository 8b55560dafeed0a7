"""The tail of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.process import logfile
from orchestrator.process.logfile import _seek_tail

if TYPE_CHECKING:
    from pathlib import Path


@given(
    lines=st.lists(st.integers(0, 30), max_size=40),
    tail=st.integers(0, 50),
    ends=st.booleans(),
    block=st.integers(1, 64),
)
def test_the_tail_is_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[int], tail: int, ends: bool, block: int
) -> None:
    text = [b"x" * length + b"\n" for length in lines]
    if text and not ends:
        text[-1] = b"unfinished"
    path = tmp_path_factory.mktemp("tail") / "log"
    path.write_bytes(b"".join(text))
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(logfile, "BLOCK_BYTES", block)
        _seek_tail(file, tail)
        assert file.read() == b"".join(text[-tail:] if tail else [])


async def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    assert [block async for block in logfile.read_lines(tmp_path / "none", tail=5, follow=False)] == []


async def test_an_unfinished_line_is_ended(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb")
    assert b"".join([block async for block in logfile.read_lines(tmp_path / "log", tail=5, follow=False)]) == b"a\nb\n"


async def test_following_survives_growth_rotation_and_truncation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "POLL_S", 0.01)
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    stream = logfile.read_lines(path, tail=10, follow=True)
    assert await anext(stream) == b"one\n"
    with path.open("ab") as file:
        file.write(b"two\nthr")
    assert await anext(stream) == b"two\n"
    with path.open("ab") as file:
        file.write(b"ee\n")
    assert await anext(stream) == b"three\n"
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"four\n")
    assert await anext(stream) == b"four\n"
    path.write_bytes(b"5\n")
    assert await anext(stream) == b"5\n"
    await stream.aclose()  # type: ignore[attr-defined]

"""The tail of a log."""

from __future__ import annotations

import os
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


def written(folder: Path, sizes: dict[str, int]) -> None:
    """Logs of these sizes in bytes, the first the oldest."""
    for place, (name, size) in enumerate(sizes.items()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
        os.utime(file, (1_700_000_000 + place, 1_700_000_000 + place))


def test_the_cap_takes_the_oldest_rotated_parts_first_and_no_more_than_needed(tmp_path: Path) -> None:
    written(tmp_path, {"a.log.2": 10, "sessions/b.log.1": 10, "a.log.1": 10, "a.log": 10, "sessions/b.log": 10})
    assert logfile.cap(tmp_path, most_bytes=50) == []
    assert logfile.cap(tmp_path, most_bytes=35) == [tmp_path / "a.log.2", tmp_path / "sessions/b.log.1"]
    assert sorted(file.name for file in tmp_path.rglob("*.log*")) == ["a.log", "a.log.1", "b.log"]


def test_the_cap_never_takes_a_log_that_is_being_written(tmp_path: Path) -> None:
    written(tmp_path, {"a.log": 100, "a.log.1": 1, "supervisord.out.log": 100})
    assert logfile.cap(tmp_path, most_bytes=0) == [tmp_path / "a.log.1"]
    assert (tmp_path / "a.log").stat().st_size == 100


def test_the_cap_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert logfile.cap(tmp_path / "none", most_bytes=0) == []


@given(sizes=st.lists(st.integers(0, 50), max_size=8), most=st.integers(0, 300))
def test_after_the_cap_it_fits_or_nothing_is_left_to_take(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int
) -> None:
    folder = tmp_path_factory.mktemp("cap")
    written(folder, {"a.log": 20, **{f"a.log.{place + 1}": size for place, size in enumerate(sizes)}})
    removed = logfile.cap(folder, most_bytes=most)
    left = logfile.rotated(folder / "a.log")
    assert not left or sum(file.stat().st_size for file in folder.iterdir()) <= most
    # Without the last one it took it would not have fitted.
    assert not removed or 20 + sum(sizes) - sum(size_of(file, sizes) for file in removed[:-1]) > most


def size_of(file: Path, sizes: list[int]) -> int:
    return sizes[int(file.suffix[1:]) - 1]


def test_an_emptied_log_goes_on_where_its_writer_appends(tmp_path: Path) -> None:
    written(tmp_path, {"a.log.10": 7, "a.log.2": 5, "a.log": 30, "a.log.new": 3, "b.log.1": 9})
    path = tmp_path / "a.log"
    assert [file.name for file in logfile.rotated(path)] == ["a.log.2", "a.log.10"]
    with path.open("ab", buffering=0) as writer:
        assert logfile.empty(path) == 42
        writer.write(b"next\n")
    assert path.read_bytes() == b"next\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.new", "b.log.1"]


def test_emptying_what_is_not_there_frees_nothing(tmp_path: Path) -> None:
    assert logfile.empty(tmp_path / "none") == 0

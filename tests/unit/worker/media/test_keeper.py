"""Which fetched files go, and which stay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.worker import Retention
from worker.media.keeper import IN_USE_S, prune

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
HOUR = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files of 100 bytes that were last used one to four hours ago, one in use, and one being fetched."""
    for chat, name, unused_s in (
        ("ann", "one.jpg", HOUR),
        ("ann", "two.jpg", 2 * HOUR),
        ("bea", "three.ogg", 3 * HOUR),
        ("cat", "four.pdf", 4 * HOUR),
        ("cat", "now.pdf", IN_USE_S / 2),
        ("cat", "five.pdf.part", 9 * HOUR),
    ):
        path = tmp_path / chat / "2026-01-01" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (NOW - unused_s, NOW - unused_s))
    return tmp_path


def left(root: Path) -> set[str]:
    return {path.name for path in root.glob("*/*/*")}


EVERY = {"one.jpg", "two.jpg", "three.ogg", "four.pdf", "now.pdf", "five.pdf.part"}


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Retention(), set()),
        (Retention(media_s=5 * HOUR), set()),
        (Retention(media_s=2.5 * HOUR), {"three.ogg", "four.pdf"}),
        (Retention(media_bytes=500), set()),
        (Retention(media_bytes=499), {"four.pdf"}),
        (Retention(media_bytes=250), {"four.pdf", "three.ogg", "two.jpg"}),
        (Retention(media_s=3.5 * HOUR, media_bytes=399), {"four.pdf", "three.ogg"}),
        (Retention(media_s=1, media_bytes=1), {"one.jpg", "two.jpg", "three.ogg", "four.pdf"}),
    ],
)
def test_what_goes(root: Path, keep: Retention, gone: set[str]) -> None:
    assert prune(root, keep, now=NOW) == len(gone)
    assert left(root) == EVERY - gone
    assert prune(root, keep, now=NOW) == 0


def test_empty_folders_go_too(root: Path) -> None:
    prune(root, Retention(media_s=2.5 * HOUR), now=NOW)
    assert not (root / "bea").exists()
    assert (root / "cat").exists()
    assert root.exists()


def test_a_folder_that_was_never_made(tmp_path: Path) -> None:
    assert prune(tmp_path / "none", Retention(media_s=1), now=NOW) == 0

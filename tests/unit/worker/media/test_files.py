"""Names and places of files that come from outside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from ecosystem.contract.errors import MediaExpired
from ecosystem.contract.events import Media
from worker.media.files import MediaFolder
from worker.media.scratch import plain_name
from worker.media.tools import WAVEFORM_BARS, bars

if TYPE_CHECKING:
    from pathlib import Path


class Known(msgspec.Struct):
    id: str = "3EB0AA"
    chat: str = "4915100000002@s.whatsapp.net"
    timestamp_ms: int = 1_767_225_600_000
    media: Media | None = Media(kind="image", mimetype="image/jpeg")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.doc", "y.doc"),
        ("a\r\nb", "ab"),
        ("", "file"),
        ("/", "file"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_names(text: str, name: str) -> None:
    assert plain_name(text) == name


def test_a_place_follows_from_the_message(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    assert folder.path_of(Known()) == tmp_path / "4915100000002" / "2026-01-01" / "3EB0AA.jpg"


@pytest.mark.parametrize("evil", ["../../x", "a/b", "..", "a\0b", "x" * 100, ""])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, evil: str) -> None:
    path = MediaFolder(tmp_path).path_of(Known(id=evil, chat=f"{evil}@lid"))
    assert path.parent.parent.parent == tmp_path
    assert "\0" not in str(path)


@pytest.mark.parametrize(
    ("media", "suffix"),
    [
        (Media(kind="audio", mimetype="audio/ogg; codecs=opus"), ".ogg"),
        (Media(kind="document", mimetype="application/x-unheard", filename="a.CAD"), ".cad"),
        (Media(kind="document", mimetype="application/x-unheard", filename="a./../x"), ".bin"),
        (None, ".bin"),
    ],
)
def test_extensions(tmp_path: Path, media: Media | None, suffix: str) -> None:
    assert MediaFolder(tmp_path).path_of(Known(media=media)).suffix == suffix


async def test_fetched_once_and_whole_or_not_at_all(tmp_path: Path) -> None:
    folder, calls = MediaFolder(tmp_path), 0

    async def fails(target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, b"half")
        raise MediaExpired

    async def fetch(target: Path) -> None:
        nonlocal calls
        calls += 1
        await asyncio.to_thread(target.write_bytes, b"whole")

    with pytest.raises(MediaExpired):
        await folder.get(Known(), fails)
    assert [path for path in await asyncio.to_thread(lambda: list(tmp_path.rglob("*"))) if path.suffix] == []
    first, second = await asyncio.gather(folder.get(Known(), fetch), folder.get(Known(), fetch))
    assert (first, calls) == (second, 1)
    assert await asyncio.to_thread(first.read_bytes) == b"whole"


def test_bars_of_silence_and_of_a_ramp() -> None:
    assert bars(b"") == bars(bytes(2000)) == bytes(WAVEFORM_BARS)
    ramp = b"".join(number.to_bytes(2, "little", signed=True) for number in range(6400))
    found = bars(ramp)
    assert len(found) == WAVEFORM_BARS
    assert list(found) == sorted(found)
    assert found[-1] == 100
    assert len(bars(b"\1\0\2\0")) == WAVEFORM_BARS

"""Conversions with the real tools, and without them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.errors import ConversionFailed, FfmpegMissing
from tests.support import media_files
from worker.media import convert, kinds, tools

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Any]:
    async def write(data: bytes) -> Path:
        path = tmp_path / "source"
        await asyncio.to_thread(path.write_bytes, data)
        return path

    return write


@pytest.fixture
def no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_ffmpeg")
async def test_without_ffmpeg_what_needs_it_says_so(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    path = await put(b"x")
    for attempt in (
        convert.sound(path, kinds.WAV, tmp_path, voice_note=False, field="audio"),
        convert.sound(path, kinds.MP3, tmp_path, voice_note=True, field="audio"),
        convert.video(path, kinds.MATROSKA, tmp_path, hd=False, compress=False, field="video"),
        convert.video(path, kinds.MP4, tmp_path, hd=False, compress=True, field="video"),
        convert.sticker(path, kinds.MP4, tmp_path, field="sticker"),
    ):
        with pytest.raises(FfmpegMissing) as caught:
            await attempt
        assert (caught.value.status, caught.value.field) == (501, caught.value.field or "missing")


@pytest.mark.usefixtures("no_ffmpeg")
async def test_without_ffmpeg_what_does_not_need_it_goes_out(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    path = await put(media_files.png(30, 20))
    still = await convert.image(path, kinds.PNG, tmp_path, hd=False, compress=False, field="image")
    assert (still.path, still.width, still.height) == (path, 30, 20)
    assert (await convert.sticker(path, kinds.PNG, tmp_path, field="sticker")).animated is False
    heard = await convert.sound(path, kinds.MP3, tmp_path, voice_note=False, field="audio")
    assert (heard.path, heard.mimetype, heard.seconds) == (path, "audio/mpeg", 0)
    moving = await convert.video(path, kinds.MP4, tmp_path, hd=False, compress=False, field="video")
    assert (moving.path, moving.mimetype, moving.thumbnail) == (path, "video/mp4", b"")


async def test_a_video_with_odd_sides_is_made_smaller_and_even(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    path = await put(media_files.mkv(1405, 301))
    moving = await convert.video(path, kinds.MATROSKA, tmp_path, hd=False, compress=True, field="video")
    assert (moving.width, moving.height % 2, moving.mimetype) == (848, 0, "video/mp4")
    small = await convert.video(path, kinds.MATROSKA, tmp_path, hd=True, compress=False, field="video")
    assert small.width == 1280


async def test_a_playlist_is_no_video(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    """ffmpeg would follow it to any file; it is told which container to expect."""
    path = await put(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert await asyncio.to_thread(kinds.sniff, path) is None
    with pytest.raises(ConversionFailed):
        await convert.video(path, kinds.MP4, tmp_path, hd=False, compress=False, field="video")


async def test_pictures_that_are_none_or_too_much(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    bomb = await asyncio.to_thread(media_files.picture, 9000, 9000, "PNG")
    for data in (b"\x89PNG\r\n\x1a\n broken", media_files.png(9, 9)[:40], bomb):
        path = await put(data)
        with pytest.raises(ConversionFailed):
            await convert.image(path, kinds.PNG, tmp_path, hd=True, compress=False, field="image")


async def test_a_picture_lying_on_its_side_is_put_upright(put: Callable[[bytes], Any], tmp_path: Path) -> None:
    path = await put(await asyncio.to_thread(media_files.turned, 60, 20))
    still = await convert.image(path, kinds.JPEG, tmp_path, hd=True, compress=False, field="image")
    assert (still.width, still.height) == (20, 60)


async def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "TIMEOUT_S", 0.2)
    with pytest.raises(ConversionFailed, match="took longer"):
        await tools.run("sleep", ["30"], field="video")

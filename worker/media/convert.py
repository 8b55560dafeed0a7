"""Makes files what WhatsApp shows best: pictures with a thumbnail, MP4 videos, Opus voice notes, WebP stickers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import ConversionFailed, FfmpegMissing
from worker.media import kinds, tools
from worker.media.tools import Order

if TYPE_CHECKING:
    from worker.media.kinds import FileType

HD_EDGE: Final = 2560
COMPRESSED_EDGE: Final = 1600
HD_QUALITY, COMPRESSED_QUALITY, PLAIN_QUALITY = 90, 70, 85
VIDEO_EDGE: Final = 1280
COMPRESSED_VIDEO_EDGE: Final = 848
STICKER_SECONDS: Final = 8
_OPUS: Final = ("-map", "0:a:0", "-vn", "-ac", "1", "-ar", "48000", "-c:a", "libopus", "-b:a", "32k", "-f", "ogg")
_OGG_OPUS: Final = "audio/ogg; codecs=opus"


class Still(msgspec.Struct, frozen=True):
    """A picture that is ready. Sizes in pixels, `thumbnail` a JPEG."""

    path: Path
    mimetype: str
    width: int
    height: int
    thumbnail: bytes


class Moving(msgspec.Struct, frozen=True):
    """A video that is ready; without ffmpeg nothing is known but the file."""

    path: Path
    mimetype: str
    seconds: int = 0
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""


class Heard(msgspec.Struct, frozen=True):
    """A recording that is ready."""

    path: Path
    mimetype: str
    seconds: int = 0
    voice_note: bool = False
    waveform: bytes = b""


class Cut(msgspec.Struct, frozen=True):
    """A sticker that is ready."""

    path: Path
    width: int
    height: int
    animated: bool


async def image(path: Path, kind: FileType, folder: Path, *, hd: bool, compress: bool, field: str) -> Still:
    """JPEG and PNG stay as they are unless `hd` or `compress` asks for a size; `hd` goes first. Raises ConversionFailed."""
    target, edge, quality = folder / "image.jpg", 0, PLAIN_QUALITY
    if hd:
        edge, quality = HD_EDGE, HD_QUALITY
    elif compress:
        edge, quality = COMPRESSED_EDGE, COMPRESSED_QUALITY
    stays = not edge and kind in (kinds.JPEG, kinds.PNG)
    order = Order(
        source=str(path),
        target=None if stays else str(target),
        edge=edge,
        quality=quality,
        thumbnail=tools.THUMBNAIL_EDGE,
    )
    found = await tools.picture(order, field=field)
    return Still(
        path if stays else target,
        kind.mimetype if stays else "image/jpeg",
        found.width,
        found.height,
        found.thumbnail,
    )


async def video(path: Path, kind: FileType, folder: Path, *, hd: bool, compress: bool, field: str) -> Moving:
    """H.264 in MP4; what is that already stays as it is. Raises FfmpegMissing unless it may stay, ConversionFailed."""
    wanted = hd or compress
    try:
        probe = await tools.probe(path, kind, field=field)
    except FfmpegMissing:
        if wanted or kind != kinds.MP4:
            raise
        return Moving(path, kind.mimetype)
    seen = probe.first("video")
    if seen is None:
        raise ConversionFailed(f"{field} has no moving picture", field=field)
    if wanted or kind != kinds.MP4 or seen.codec_name != "h264" or seen.pix_fmt not in ("yuv420p", "yuvj420p"):
        path = await _transcoded(path, kind, folder, hd=hd or not compress, field=field)
        probe = await tools.probe(path, kinds.MP4, field=field)
        seen = probe.first("video") or seen
    thumbnail = await _first_frame(path, folder, field=field)
    return Moving(path, kinds.MP4.mimetype, probe.seconds, seen.width, seen.height, thumbnail)


async def _transcoded(path: Path, kind: FileType, folder: Path, *, hd: bool, field: str) -> Path:
    """H.264, 8 bit 4:2:0, even sides, never made larger."""
    target, edge, quality = folder / "video.mp4", VIDEO_EDGE if hd else COMPRESSED_VIDEO_EDGE, "23" if hd else "28"
    fit = (
        f"scale='min({edge},iw)':'min({edge},ih)':force_original_aspect_ratio=decrease,"
        "scale=trunc(iw/2)*2:trunc(ih/2)*2"
    )
    await tools.ffmpeg(
        path, kind,
        [
            "-map", "0:v:0", "-map", "0:a:0?", "-vf", fit, "-c:v", "libx264", "-preset", "veryfast", "-crf", quality,
            "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", "-threads", "2", "-f", "mp4",
            f"file:{target}",
        ],
        field=field,
    )  # fmt: skip
    return target


async def _first_frame(path: Path, folder: Path, *, field: str) -> bytes:
    frame = folder / "frame.jpg"
    await tools.ffmpeg(
        path,
        kinds.MP4,
        ["-map", "0:v:0", "-frames:v", "1", "-f", "image2", "-update", "1", f"file:{frame}"],
        field=field,
    )
    return (await tools.picture(Order(source=str(frame), thumbnail=tools.THUMBNAIL_EDGE), field=field)).thumbnail


async def sound(path: Path, kind: FileType, folder: Path, *, voice_note: bool, field: str) -> Heard:
    """A voice note is Opus in Ogg, with its waveform; any other recording stays as it is where WhatsApp plays that.

    Raises FfmpegMissing unless it may stay, ConversionFailed.
    """
    try:
        probe = await tools.probe(path, kind, field=field)
    except FfmpegMissing:
        if voice_note or kind not in kinds.SOUNDS_AS_THEY_ARE:
            raise
        return Heard(path, kind.mimetype)
    heard = probe.first("audio")
    if heard is None:
        raise ConversionFailed(f"{field} has no sound", field=field)
    is_opus = kind == kinds.OGG and heard.codec_name == "opus"
    if not voice_note and (is_opus or kind in kinds.SOUNDS_AS_THEY_ARE):
        return Heard(path, _OGG_OPUS if is_opus else kind.mimetype, probe.seconds)
    if not (is_opus and heard.channels == 1):
        target = folder / "sound.ogg"
        await tools.ffmpeg(path, kind, [*_OPUS, f"file:{target}"], field=field)
        path, probe = target, await tools.probe(target, kinds.OGG, field=field)
    waveform = await tools.waveform(path, kinds.OGG, field=field) if voice_note else b""
    return Heard(path, _OGG_OPUS, probe.seconds, voice_note, waveform)


async def sticker(path: Path, kind: FileType, folder: Path, *, field: str) -> Cut:
    """A WebP of 512 x 512. Raises FfmpegMissing for a video, ConversionFailed."""
    target = folder / "sticker.webp"
    if kind in kinds.VIDEOS and kind != kinds.GIF:
        frames = folder / "frames.gif"
        await tools.ffmpeg(
            path, kind,
            ["-t", str(STICKER_SECONDS), "-an", "-vf", "fps=12,scale=512:512:force_original_aspect_ratio=decrease",
             "-f", "gif", f"file:{frames}"],
            field=field,
        )  # fmt: skip
        path = frames
    found = await tools.picture(Order(source=str(path), target=str(target), format="sticker"), field=field)
    return Cut(target, found.width, found.height, found.animated)

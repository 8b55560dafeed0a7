"""Runs what reads and converts files: ffmpeg, ffprobe, and our own picture program; bounded in number and time."""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import ConversionFailed, FfmpegMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.media.kinds import FileType

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 180.0
TOGETHER_MAX: Final = 2
THUMBNAIL_EDGE: Final = 100
WAVEFORM_BARS: Final = 64
_WAVEFORM_RATE: Final = 4000
_WAVEFORM_MAX_BYTES: Final = _WAVEFORM_RATE * 2 * 3600
_PICTURE: Final = Path(__file__).parent / "picture" / "__main__.py"
_QUIET: Final = ("-nostdin", "-hide_banner", "-loglevel", "error")
_LOCAL: Final = ("-protocol_whitelist", "file,pipe")
"""A media file may name others: only files, and with the container given (`-f`) no playlist among them."""

_together: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


class Picture(msgspec.Struct, frozen=True):
    """What became of a picture; sizes in pixels, `thumbnail` a JPEG."""

    width: int = 0
    height: int = 0
    animated: bool = False
    thumbnail: bytes = b""


class Order(msgspec.Struct, frozen=True):
    """What worker.media.picture is to do."""

    source: str
    target: str | None = None
    format: str = "jpeg"
    edge: int = 0
    quality: int = 85
    thumbnail: int = 0


class _Outcome(msgspec.Struct, frozen=True):
    width: int = 0
    height: int = 0
    animated: bool = False
    thumbnail: str = ""
    error: str = ""


class Stream(msgspec.Struct, frozen=True):
    """One stream of a file, as ffprobe tells."""

    codec_type: str = ""
    codec_name: str = ""
    width: int = 0
    height: int = 0
    pix_fmt: str = ""
    channels: int = 0


class _Format(msgspec.Struct, frozen=True):
    duration: str = "0"


class Probe(msgspec.Struct, frozen=True):
    """What is in an audio or video file."""

    streams: list[Stream] = []
    format: _Format = _Format()

    @property
    def seconds(self) -> int:
        """Its length, rounded up."""
        with contextlib.suppress(ValueError, OverflowError):
            return max(0, -int(-float(self.format.duration) // 1))
        return 0

    def first(self, kind: str) -> Stream | None:
        """Its first stream of that kind: `video` or `audio`."""
        return next((stream for stream in self.streams if stream.codec_type == kind), None)


async def run(
    program: str, arguments: Sequence[str], *, stdin: bytes = b"", field: str, limit: int = 16 << 20
) -> bytes:
    """What a program writes to stdout. Raises ConversionFailed naming `field`; FileNotFoundError: there is no such program."""
    loop = asyncio.get_running_loop()
    slots = _together.setdefault(loop, asyncio.Semaphore(TOGETHER_MAX))
    async with slots:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=limit,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            raise ConversionFailed(f"{field} took longer than {TIMEOUT_S:.0f} s to convert", field=field) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
    if process.returncode:
        detail = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit {process.returncode}"]
        log.info("conversion_failed", extra={"program": Path(program).name, "error": detail[0][:300]})
        raise ConversionFailed(f"{field} could not be read or converted", field=field)
    return out


async def picture(order: Order, *, field: str) -> Picture:
    """Has a picture read, scaled and converted. Raises ConversionFailed."""
    answer = await run(sys.executable, ["-I", str(_PICTURE)], stdin=msgspec.json.encode(order), field=field)
    outcome = msgspec.json.decode(answer, type=_Outcome)
    if outcome.error:
        log.info("conversion_failed", extra={"program": "picture", "error": outcome.error[:300]})
        raise ConversionFailed(f"{field} is not a picture that can be read", field=field)
    return Picture(outcome.width, outcome.height, outcome.animated, base64.b64decode(outcome.thumbnail))


async def ffmpeg(
    source: Path, kind: FileType, arguments: Sequence[str], *, field: str, before: Sequence[str] = ()
) -> bytes:
    """Runs ffmpeg on a file of a known type; stdout. Raises FfmpegMissing, ConversionFailed."""
    container = ("-f", kind.demuxer) if kind.demuxer else ()
    try:
        return await run(
            "ffmpeg",
            [*_QUIET, "-y", *_LOCAL, *container, *before, "-i", f"file:{source}", *arguments],
            field=field,
            limit=_WAVEFORM_MAX_BYTES,
        )
    except FileNotFoundError:
        raise FfmpegMissing(field=field, hint="install ffmpeg on the machine the session runs on") from None


async def probe(source: Path, kind: FileType, *, field: str) -> Probe:
    """What ffprobe says of a file. Raises FfmpegMissing, ConversionFailed."""
    container = ("-f", kind.demuxer) if kind.demuxer else ()
    entries = "format=duration:stream=codec_type,codec_name,width,height,pix_fmt,channels"
    try:
        found = await run(
            "ffprobe",
            ["-hide_banner", "-loglevel", "error", *_LOCAL, *container, "-show_entries", entries, "-of", "json",
             f"file:{source}"],
            field=field,
        )  # fmt: skip
    except FileNotFoundError:
        raise FfmpegMissing(field=field, hint="install ffmpeg on the machine the session runs on") from None
    return msgspec.json.decode(found, type=Probe)


async def waveform(source: Path, kind: FileType, *, field: str) -> bytes:
    """How loud a recording is over time: 64 values from 0 to 100, the loudest 100. Raises FfmpegMissing, ConversionFailed."""
    raw = await ffmpeg(
        source, kind,
        ["-t", "3600", "-map", "0:a:0", "-ac", "1", "-ar", str(_WAVEFORM_RATE), "-f", "s16le", "pipe:1"], field=field,
    )  # fmt: skip
    return await asyncio.to_thread(bars, raw)


def bars(raw: bytes) -> bytes:
    """64 mean levels of 16-bit samples, scaled to the loudest."""
    samples = array.array("h", raw[: len(raw) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    if not samples:
        return bytes(WAVEFORM_BARS)
    levels = []
    for number in range(WAVEFORM_BARS):
        start = number * len(samples) // WAVEFORM_BARS
        part = samples[start : max(start + 1, (number + 1) * len(samples) // WAVEFORM_BARS)]
        levels.append(sum(map(abs, part)) / len(part))
    loudest = max(levels) or 1
    return bytes(round(level * 100 / loudest) for level in levels)

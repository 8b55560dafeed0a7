"""What a file is, by its first bytes: what its sender says about it is not believed."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES: Final = 4096


class FileType(msgspec.Struct, frozen=True):
    """A type WhatsApp or ffmpeg can do something with; `demuxer` is ffmpeg's name for the container."""

    mimetype: str
    demuxer: str = ""


JPEG: Final = FileType("image/jpeg", "image2")
PNG: Final = FileType("image/png", "image2")
WEBP: Final = FileType("image/webp")
GIF: Final = FileType("image/gif", "gif")
MP4: Final = FileType("video/mp4", "mov")
QUICKTIME: Final = FileType("video/quicktime", "mov")
MATROSKA: Final = FileType("video/x-matroska", "matroska")
AVI: Final = FileType("video/x-msvideo", "avi")
M4A: Final = FileType("audio/mp4", "mov")
OGG: Final = FileType("audio/ogg", "ogg")
MP3: Final = FileType("audio/mpeg", "mp3")
WAV: Final = FileType("audio/wav", "wav")
FLAC: Final = FileType("audio/flac", "flac")
AMR: Final = FileType("audio/amr", "amr")
AAC: Final = FileType("audio/aac", "aac")
WMA: Final = FileType("audio/x-ms-wma", "asf")

IMAGES: Final = (JPEG, PNG, WEBP)
STICKERS: Final = (JPEG, PNG, WEBP, GIF)
VIDEOS: Final = (MP4, QUICKTIME, MATROSKA, AVI, GIF)
SOUNDS: Final = (OGG, MP3, M4A, MP4, WAV, FLAC, AMR, AAC, WMA, MATROSKA)
SOUNDS_AS_THEY_ARE: Final = (MP3, M4A, AMR, AAC)
"""What WhatsApp plays without help; Ogg only with Opus in it."""

_STARTS: Final[tuple[tuple[bytes, FileType], ...]] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"OggS", OGG),
    (b"ID3", MP3),
    (b"fLaC", FLAC),
    (b"#!AMR", AMR),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", WMA),
)
_RIFFS: Final = {b"WEBP": WEBP, b"AVI ": AVI, b"WAVE": WAV}
_BRANDS: Final = {b"qt  ": QUICKTIME, b"M4A ": M4A, b"M4B ": M4A}


def type_of(head: bytes) -> FileType | None:
    """The type of a file that begins like this; None for any other."""
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF":
        return _RIFFS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], MP4)
    # Without any tag in front: an ADTS frame has layer 0 where an MPEG audio frame has its layer.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return AAC if head[1] & 0x06 == 0 else MP3
    return None


def sniff(path: Path) -> FileType | None:
    """The type of a file. Blocks. Raises OSError."""
    with path.open("rb") as file:
        return type_of(file.read(HEAD_BYTES))


def document_type(filename: str, sniffed: FileType | None, told: str | None) -> str:
    """What a document is called on WhatsApp: by its name, else by its bytes, else by what its sender says."""
    by_name = mimetypes.guess_type(filename, strict=False)[0]
    if by_name:
        return by_name
    if sniffed is not None:
        return sniffed.mimetype
    return told if told and "/" in told else "application/octet-stream"

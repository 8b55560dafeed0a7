"""What a file is by its first bytes."""

from __future__ import annotations

import pytest

from worker.media import kinds
from worker.media.kinds import FileType, document_type, type_of


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", kinds.JPEG),
        (b"\x89PNG\r\n\x1a\n....", kinds.PNG),
        (b"GIF89a", kinds.GIF),
        (b"RIFF....WEBPVP8 ", kinds.WEBP),
        (b"RIFF....AVI LIST", kinds.AVI),
        (b"RIFF....WAVEfmt ", kinds.WAV),
        (b"RIFF....ACONanih", None),
        (b"\0\0\0\x20ftypisom", kinds.MP4),
        (b"\0\0\0\x20ftypqt  ", kinds.QUICKTIME),
        (b"\0\0\0\x20ftypM4A ", kinds.M4A),
        (b"\x1a\x45\xdf\xa3", kinds.MATROSKA),
        (b"OggS", kinds.OGG),
        (b"ID3\x04", kinds.MP3),
        (b"\xff\xfb\x90\x00", kinds.MP3),
        (b"\xff\xf1\x50\x80", kinds.AAC),
        (b"fLaC", kinds.FLAC),
        (b"#!AMR\n", kinds.AMR),
        (b"%PDF-1.7", None),
        (b"#EXTM3U\nfile:///etc/passwd", None),
        (b"<svg xmlns=", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_types(head: bytes, kind: FileType | None) -> None:
    assert type_of(head) == kind


def test_containers_ffmpeg_is_told() -> None:
    """With the container given, no playlist can be taken for a video."""
    assert all(kind.demuxer for kind in (*kinds.VIDEOS, *kinds.SOUNDS))


@pytest.mark.parametrize(
    ("name", "sniffed", "told", "found"),
    [
        ("a.pdf", None, "x/y", "application/pdf"),
        ("a", kinds.PNG, "x/y", "image/png"),
        ("a", None, "x/y", "x/y"),
        ("a", None, "nonsense", "application/octet-stream"),
        ("a", None, None, "application/octet-stream"),
    ],
)
def test_what_a_document_is_called(name: str, sniffed: FileType | None, told: str | None, found: str) -> None:
    assert document_type(name, sniffed, told) == found

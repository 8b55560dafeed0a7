"""Files to and from WhatsApp's media host. Source: whatsmeow `upload.go`, `download.go`.

The library encrypts and decrypts in memory, a whole file at a time; on this side files stay files.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.errors import (
    DomainError,
    MediaExpired,
    MediaNotFound,
    SessionNotAuthenticated,
    UploadFailed,
    WhatsAppTimeout,
)
from worker.engine.failures import understand
from worker.engine.natives import neonize
from worker.engine.outgoing import Uploaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.engine.protocol import Client


class MediaKind(IntEnum):
    """The library's numbers; the kind decides the keys. A sticker is an image."""

    IMAGE = 0
    VIDEO = 1
    AUDIO = 2
    DOCUMENT = 3


_UPLOAD_MEANINGS: Final[dict[str, type[DomainError]]] = {
    "websocket": SessionNotAuthenticated,
    "timed out": WhatsAppTimeout,
    "deadline": WhatsAppTimeout,
    "upload failed": UploadFailed,
    "failed to": UploadFailed,
}
_DOWNLOAD_MEANINGS: Final[dict[str, type[DomainError]]] = {
    "status code 403": MediaExpired,
    "status code 404": MediaExpired,
    "status code 410": MediaExpired,
    "any attachments": MediaNotFound,
    "no url present": MediaNotFound,
    "refresh media connections": WhatsAppTimeout,
}


def upload(client: Client, path: Path, kind: MediaKind) -> Uploaded:
    """Encrypts and uploads a file. Raises UploadFailed, SessionNotAuthenticated, WhatsAppTimeout, OSError."""
    answer = neonize.UploadReturnFunction.FromString(client.upload(path, int(kind)))
    if answer.Error:
        raise understand(answer.Error, _UPLOAD_MEANINGS)
    found = answer.UploadResponse
    return Uploaded(
        url=found.url,
        direct_path=found.DirectPath,
        media_key=found.MediaKey,
        file_sha256=found.FileSHA256,
        file_enc_sha256=found.FileEncSHA256,
        size_bytes=found.FileLength,
    )


def download(client: Client, content: bytes, target: Path) -> None:
    """The file of a message's content into `target`, decrypted, its hashes checked.

    Raises MediaExpired, MediaNotFound, WhatsAppRejected (it was tampered with), WhatsAppTimeout, OSError.
    """
    error = client.download(content, target)
    if error:
        raise understand(error, _DOWNLOAD_MEANINGS)


TRANSFERS: Final[frozenset[Callable[..., Any]]] = frozenset({upload, download})
"""Operations that may take minutes."""

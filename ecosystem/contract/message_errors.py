"""Errors of sending and of messages. Import them from `ecosystem.contract.errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class MediaTooLarge(DomainError):
    """The file is larger than the limit."""

    kind = ErrorKind.INVALID
    code = "media_too_large"


class MediaTypeNotAllowed(DomainError):
    """A file of that type cannot be sent this way."""

    kind = ErrorKind.INVALID
    code = "media_type_not_allowed"


class MediaBusy(DomainError):
    """As many large files as may be are under way in the fleet already."""

    kind = ErrorKind.RATE_LIMITED
    code = "media_busy"
    default_retry_after_s = 10.0


class MediaUrlUnreachable(DomainError):
    """The file could not be fetched from that URL."""

    kind = ErrorKind.INVALID
    code = "media_url_unreachable"


class ConversionFailed(DomainError):
    """The file could not be read or converted."""

    kind = ErrorKind.INVALID
    code = "conversion_failed"


class IdempotencyKeyReused(DomainError):
    """That Idempotency-Key was used with another request."""

    kind = ErrorKind.INVALID
    code = "idempotency_key_reused"


class MessageNotYours(DomainError):
    """Only messages of this account can be changed."""

    kind = ErrorKind.FORBIDDEN
    code = "message_not_yours"


class MediaNotFound(DomainError):
    """The message has no file that could be downloaded."""

    kind = ErrorKind.NOT_FOUND
    code = "media_not_found"


class MediaExpired(DomainError):
    """WhatsApp does not keep that file any more."""

    kind = ErrorKind.NOT_FOUND
    code = "media_expired"


class EditWindowOver(DomainError):
    """The time in which the message could be edited is over."""

    kind = ErrorKind.CONFLICT
    code = "edit_window_over"


class PushNameMissing(DomainError):
    """This account has no name yet; WhatsApp wants one before a presence is shown."""

    kind = ErrorKind.CONFLICT
    code = "push_name_missing"


class UploadFailed(DomainError):
    """WhatsApp's media host did not take the file."""

    kind = ErrorKind.REJECTED
    code = "upload_failed"


class SendUnconfirmed(DomainError):
    """Nobody can say yet whether that message went out: the process was interrupted while it was sent."""

    kind = ErrorKind.TIMEOUT
    code = "send_unconfirmed"
    default_retry_after_s = 10.0


class FfmpegMissing(DomainError):
    """ffmpeg is not installed on this machine."""

    kind = ErrorKind.UNSUPPORTED
    code = "ffmpeg_missing"

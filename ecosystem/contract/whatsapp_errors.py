"""What WhatsApp says no to about people, groups, newsletters and calls. Part of the catalogue: import from `errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class InviteLinkInvalid(DomainError):
    """That invite link is not valid, or was revoked."""

    kind = ErrorKind.INVALID
    code = "invite_link_invalid"


class InvalidImage(DomainError):
    """WhatsApp does not take this picture."""

    kind = ErrorKind.INVALID
    code = "invalid_image"


class UserNotFound(DomainError):
    """WhatsApp does not know this person."""

    kind = ErrorKind.NOT_FOUND
    code = "user_not_found"


class PictureNotFound(DomainError):
    """There is no profile picture."""

    kind = ErrorKind.NOT_FOUND
    code = "picture_not_found"


class NewsletterNotFound(DomainError):
    """Newsletter not found"""

    kind = ErrorKind.NOT_FOUND
    code = "newsletter_not_found"


class NotInGroup(DomainError):
    """This account is not a member of the group."""

    kind = ErrorKind.CONFLICT
    code = "not_in_group"


class NotGroupAdmin(DomainError):
    """Only an admin of the group may do this."""

    kind = ErrorKind.CONFLICT
    code = "not_group_admin"


class CallEnded(DomainError):
    """The call does not ring any more."""

    kind = ErrorKind.CONFLICT
    code = "call_ended"


class AppStateNotReady(DomainError):
    """The phone has not shared the key for settings yet."""

    kind = ErrorKind.UNAVAILABLE
    code = "app_state_not_ready"
    default_retry_after_s = 5.0


class PictureHidden(DomainError):
    """This person hides their profile picture."""

    kind = ErrorKind.REJECTED
    code = "picture_hidden"

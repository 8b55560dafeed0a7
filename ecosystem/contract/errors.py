"""The one tree of errors: each class is one documented code; its kind decides the HTTP status and the exit code."""

from __future__ import annotations

import functools

# Kept together: callers find the root, the tables and every class here.
# isort: off
from ecosystem.contract.access_errors import (
    ApiKeyExists as ApiKeyExists,
    ApiKeyExpired as ApiKeyExpired,
    ApiKeyNotFound as ApiKeyNotFound,
    ApiKeyRevoked as ApiKeyRevoked,
    CsrfTokenWrong as CsrfTokenWrong,
    ForeignOrigin as ForeignOrigin,
    RateLimited as RateLimited,
    SendRate as SendRate,
    SessionForbidden as SessionForbidden,
    SignInExpired as SignInExpired,
    SignInThrottled as SignInThrottled,
)
from ecosystem.contract.command_errors import (
    ConfigUnusable as ConfigUnusable,
    ContextExists as ContextExists,
    ContextNotFound as ContextNotFound,
)
from ecosystem.contract.naming_errors import (
    NamesDisagree as NamesDisagree,
    WebSocketRequired as WebSocketRequired,
)
from ecosystem.contract.operation_errors import (
    ProxyFailed as ProxyFailed,
    ProxyNotSet as ProxyNotSet,
    SingleSession as SingleSession,
)
from ecosystem.contract.problem import (
    EXIT_CODE as EXIT_CODE,
    HTTP_STATUS as HTTP_STATUS,
    RETRYABLE as RETRYABLE,
    DomainError as DomainError,
    ErrorKind as ErrorKind,
    Problem as Problem,
)
from ecosystem.contract.message_errors import (
    ConversionFailed as ConversionFailed,
    EditWindowOver as EditWindowOver,
    FfmpegMissing as FfmpegMissing,
    IdempotencyKeyReused as IdempotencyKeyReused,
    MediaBusy as MediaBusy,
    MediaExpired as MediaExpired,
    MediaNotFound as MediaNotFound,
    MediaTooLarge as MediaTooLarge,
    MediaTypeNotAllowed as MediaTypeNotAllowed,
    MediaUrlUnreachable as MediaUrlUnreachable,
    MessageNotYours as MessageNotYours,
    PushNameMissing as PushNameMissing,
    SendUnconfirmed as SendUnconfirmed,
    UploadFailed as UploadFailed,
)
from ecosystem.contract.sandbox_errors import (
    DeviceNotFound as DeviceNotFound,
    FaultNotApplicable as FaultNotApplicable,
    PairingCodeRefused as PairingCodeRefused,
    PairingTimeout as PairingTimeout,
    PhoneExists as PhoneExists,
    PhoneNotFound as PhoneNotFound,
    QrExpired as QrExpired,
    SandboxOff as SandboxOff,
    SandboxStateUnusable as SandboxStateUnusable,
    UnknownFault as UnknownFault,
)
from ecosystem.contract.whatsapp_errors import (
    AppStateNotReady as AppStateNotReady,
    CallEnded as CallEnded,
    InvalidImage as InvalidImage,
    InviteLinkInvalid as InviteLinkInvalid,
    NewsletterNotFound as NewsletterNotFound,
    NotGroupAdmin as NotGroupAdmin,
    NotInGroup as NotInGroup,
    PictureHidden as PictureHidden,
    PictureNotFound as PictureNotFound,
    UserNotFound as UserNotFound,
)

# isort: on


class InternalError(DomainError):
    """Something went wrong inside Zapvisor."""


# --- invalid -----------------------------------------------------------------


class InvalidRequest(DomainError):
    """The request is not valid."""

    kind = ErrorKind.INVALID
    code = "invalid_request"


class MalformedBody(DomainError):
    """The request body could not be parsed."""

    kind = ErrorKind.INVALID
    code = "malformed_body"
    http_status = 400


class BodyTooLarge(DomainError):
    """The request body is larger than the limit."""

    kind = ErrorKind.INVALID
    code = "body_too_large"
    http_status = 413


class MethodNotAllowed(DomainError):
    """That method does not exist on this path."""

    kind = ErrorKind.INVALID
    code = "method_not_allowed"
    http_status = 405


class SessionIdRequired(DomainError):
    """session_id is required"""

    kind = ErrorKind.INVALID
    code = "session_id_required"
    http_status = 400


class InvalidSessionId(DomainError):
    """The session id is not valid."""

    kind = ErrorKind.INVALID
    code = "invalid_session_id"


class ReservedSessionId(DomainError):
    """That word is part of the API and cannot be a session id."""

    kind = ErrorKind.INVALID
    code = "reserved_session_id"


class InvalidPhone(DomainError):
    """The phone number is not valid."""

    kind = ErrorKind.INVALID
    code = "invalid_phone"


class InvalidJid(DomainError):
    """The WhatsApp address is not valid."""

    kind = ErrorKind.INVALID
    code = "invalid_jid"


class RecipientNotOnWhatsApp(DomainError):
    """The recipient is not on WhatsApp."""

    kind = ErrorKind.INVALID
    code = "recipient_not_on_whatsapp"


class InvalidSettings(DomainError):
    """A setting is not valid."""

    kind = ErrorKind.INVALID
    code = "invalid_settings"


# --- unauthenticated, forbidden ----------------------------------------------


class ApiKeyMissing(DomainError):
    """This request needs an API key."""

    kind = ErrorKind.UNAUTHENTICATED
    code = "api_key_missing"


class ApiKeyUnknown(DomainError):
    """The API key is not known."""

    kind = ErrorKind.UNAUTHENTICATED
    code = "api_key_unknown"


class ScopeMissing(DomainError):
    """The API key does not allow this."""

    kind = ErrorKind.FORBIDDEN
    code = "scope_missing"


# --- not found -----------------------------------------------------------------


class RouteNotFound(DomainError):
    """There is nothing at this path."""

    kind = ErrorKind.NOT_FOUND
    code = "route_not_found"


class SessionNotFound(DomainError):
    """Session not found"""

    kind = ErrorKind.NOT_FOUND
    code = "session_not_found"
    default_hint = "GET /sessions lists them all"


class ChatNotFound(DomainError):
    """Chat not found"""

    kind = ErrorKind.NOT_FOUND
    code = "chat_not_found"


class MessageNotFound(DomainError):
    """Message not found"""

    kind = ErrorKind.NOT_FOUND
    code = "message_not_found"


class WebhookNotFound(DomainError):
    """Webhook not found"""

    kind = ErrorKind.NOT_FOUND
    code = "webhook_not_found"
    default_hint = "GET /webhooks lists them all"


class DeliveryNotFound(DomainError):
    """Delivery not found"""

    kind = ErrorKind.NOT_FOUND
    code = "delivery_not_found"


class GroupNotFound(DomainError):
    """Group not found"""

    kind = ErrorKind.NOT_FOUND
    code = "group_not_found"


# --- conflict --------------------------------------------------------------------


class SessionExists(DomainError):
    """A session with that id exists already."""

    kind = ErrorKind.CONFLICT
    code = "session_exists"


class SessionStopped(DomainError):
    """The session is stopped."""

    kind = ErrorKind.CONFLICT
    code = "session_stopped"


class SessionNotAuthenticated(DomainError):
    """Session not connected"""

    kind = ErrorKind.CONFLICT
    code = "session_not_authenticated"


class SessionAlreadyAuthenticated(DomainError):
    """The session is paired already."""

    kind = ErrorKind.CONFLICT
    code = "session_already_authenticated"


class SessionLoggedOut(DomainError):
    """The session was logged out; it has to be paired again."""

    kind = ErrorKind.CONFLICT
    code = "session_logged_out"


class PairingNotReady(DomainError):
    """There is no pairing in progress."""

    kind = ErrorKind.CONFLICT
    code = "pairing_not_ready"


class PairingExpired(DomainError):
    """The time for pairing is over."""

    kind = ErrorKind.CONFLICT
    code = "pairing_expired"


class IllegalAction(DomainError):
    """The action is not possible in the session's present state."""

    kind = ErrorKind.CONFLICT
    code = "illegal_action"


class IllegalTransition(DomainError):
    """A session cannot change between these two states."""

    kind = ErrorKind.CONFLICT
    code = "illegal_transition"


class AlreadyRunning(DomainError):
    """An instance with that home runs already."""

    kind = ErrorKind.CONFLICT
    code = "already_running"


# --- exhausted -------------------------------------------------------------------


class PortsExhausted(DomainError):
    """Every port of the range is taken."""

    kind = ErrorKind.EXHAUSTED
    code = "ports_exhausted"


class SessionLimit(DomainError):
    """The limit of sessions is reached."""

    kind = ErrorKind.EXHAUSTED
    code = "session_limit"


# --- rate limited ----------------------------------------------------------------


class WhatsAppRateOverlimit(DomainError):
    """WhatsApp asks this account to send more slowly."""

    kind = ErrorKind.RATE_LIMITED
    code = "whatsapp_rate_overlimit"
    default_retry_after_s = 60.0


# --- rejected ----------------------------------------------------------------------


class WhatsAppRejected(DomainError):
    """WhatsApp refused the request."""

    kind = ErrorKind.REJECTED
    code = "whatsapp_rejected"


class SessionBanned(DomainError):
    """WhatsApp has banned this number for a time."""

    kind = ErrorKind.REJECTED
    code = "session_banned"


class AccountRestricted(DomainError):
    """WhatsApp does not let this account write first to new contacts (463)."""

    kind = ErrorKind.REJECTED
    code = "account_restricted"


class ClientOutdated(DomainError):
    """WhatsApp refuses this version of the client (405)."""

    kind = ErrorKind.REJECTED
    code = "client_outdated"


# --- unavailable, timeout -----------------------------------------------------------


class NotRunning(DomainError):
    """Zapvisor is not running."""

    kind = ErrorKind.UNAVAILABLE
    code = "not_running"


class WorkerStarting(DomainError):
    """The session's worker is starting."""

    kind = ErrorKind.UNAVAILABLE
    code = "worker_starting"
    default_retry_after_s = 1.0


class WorkerLost(DomainError):
    """The session's worker does not answer."""

    kind = ErrorKind.UNAVAILABLE
    code = "worker_lost"
    default_retry_after_s = 2.0


class RegistryDown(DomainError):
    """The database cannot be reached."""

    kind = ErrorKind.UNAVAILABLE
    code = "registry_down"
    default_retry_after_s = 2.0


class RedisDown(DomainError):
    """Redis cannot be reached."""

    kind = ErrorKind.UNAVAILABLE
    code = "redis_down"
    default_retry_after_s = 2.0


class BackendDown(DomainError):
    """The process manager cannot be reached."""

    kind = ErrorKind.UNAVAILABLE
    code = "backend_down"
    default_retry_after_s = 2.0


class WorkerTimeout(DomainError):
    """The session's worker took too long to answer."""

    kind = ErrorKind.TIMEOUT
    code = "worker_timeout"
    default_retry_after_s = 1.0


class WhatsAppTimeout(DomainError):
    """WhatsApp took too long to answer."""

    kind = ErrorKind.TIMEOUT
    code = "whatsapp_timeout"
    default_retry_after_s = 5.0


class StartTimeout(DomainError):
    """Zapvisor did not come up in time."""

    kind = ErrorKind.TIMEOUT
    code = "start_timeout"


# --- unsupported -----------------------------------------------------------------------


class NotSupportedByEngine(DomainError):
    """The WhatsApp engine cannot do this."""

    kind = ErrorKind.UNSUPPORTED
    code = "not_supported_by_engine"


def all_errors() -> list[type[DomainError]]:
    """Every error class of this catalogue, parents before children, in definition order."""
    found: list[type[DomainError]] = [DomainError]
    for cls in found:
        found.extend(
            sub for sub in cls.__subclasses__() if sub.__module__.startswith("ecosystem.contract.") and sub not in found
        )
    return found[1:]


def from_problem(problem: Problem) -> DomainError:
    """The error an HTTP answer stands for; an unknown code becomes a class of its own with that problem's kind."""
    known = next((cls for cls in all_errors() if cls.code == problem.code), None)
    return (known or _foreign(problem.kind, problem.code))(
        problem.detail,
        hint=problem.hint,
        field=problem.field,
        session_id=problem.session_id,
        state=problem.state,
        retry_after_s=problem.retry_after_s,
        upstream_code=problem.upstream_code,
    )


@functools.lru_cache(maxsize=64)
def _foreign(kind: ErrorKind, code: str) -> type[DomainError]:
    """A class for a code of a newer version. It belongs to another module so that `all_errors` never shows it."""
    return type("UnknownError", (DomainError,), {"__module__": "foreign", "__doc__": code, "kind": kind, "code": code})

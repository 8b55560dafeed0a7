"""Errors of keys, sign-in and limits; re-exported by `errors`, where callers find every class."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind

# --- unauthenticated, forbidden ------------------------------------------------


class ApiKeyExpired(DomainError):
    """The API key has expired."""

    kind = ErrorKind.UNAUTHENTICATED
    code = "api_key_expired"


class ApiKeyRevoked(DomainError):
    """The API key was revoked."""

    kind = ErrorKind.UNAUTHENTICATED
    code = "api_key_revoked"


class SignInExpired(DomainError):
    """The sign-in is over: sign in again."""

    kind = ErrorKind.UNAUTHENTICATED
    code = "sign_in_expired"


class SessionForbidden(DomainError):
    """The API key belongs to another session."""

    kind = ErrorKind.FORBIDDEN
    code = "session_forbidden"


class CsrfTokenWrong(DomainError):
    """The request lacks the token that shows that it comes from our own page."""

    kind = ErrorKind.FORBIDDEN
    code = "csrf_token_wrong"


class ForeignOrigin(DomainError):
    """Another web site may not do this with your sign-in."""

    kind = ErrorKind.FORBIDDEN
    code = "foreign_origin"


# --- not found, conflict -------------------------------------------------------


class ApiKeyNotFound(DomainError):
    """API key not found"""

    kind = ErrorKind.NOT_FOUND
    code = "api_key_not_found"


class ApiKeyExists(DomainError):
    """That key is in use already."""

    kind = ErrorKind.CONFLICT
    code = "api_key_exists"


# --- rate limited --------------------------------------------------------------


class RateLimited(DomainError):
    """Too many requests."""

    kind = ErrorKind.RATE_LIMITED
    code = "rate_limited"
    default_retry_after_s = 1.0


class SendRate(DomainError):
    """Too many messages."""

    kind = ErrorKind.RATE_LIMITED
    code = "send_rate"
    default_retry_after_s = 1.0


class SignInThrottled(DomainError):
    """Too many failed sign-ins from this address."""

    kind = ErrorKind.RATE_LIMITED
    code = "sign_in_throttled"
    default_retry_after_s = 60.0

"""Errors of operating sessions: proxies, single-session mode. Part of the catalogue: import from `errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class ProxyNotSet(DomainError):
    """The session has no proxy."""

    kind = ErrorKind.NOT_FOUND
    code = "proxy_not_set"


class ProxyFailed(DomainError):
    """The session's proxy cannot be used: it is dead, refuses the login, or is required and not set."""

    kind = ErrorKind.REJECTED
    code = "proxy_failed"


class SingleSession(DomainError):
    """This instance runs one session, `default` (SINGLE_SESSION_MODE)."""

    kind = ErrorKind.CONFLICT
    code = "single_session"

"""What every failure has: a kind, which decides the HTTP status and the exit code, and a body for an HTTP answer."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

import msgspec


class ErrorKind(StrEnum):
    """What sort of failure it is; see `HTTP_STATUS`, `EXIT_CODE` and `RETRYABLE`."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMITED = "rate_limited"
    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


HTTP_STATUS: Final[dict[ErrorKind, int]] = {
    ErrorKind.INVALID: 422,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.EXHAUSTED: 503,
    ErrorKind.REJECTED: 502,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.UNSUPPORTED: 501,
    ErrorKind.INTERNAL: 500,
}

EXIT_CODE: Final[dict[ErrorKind, int]] = {
    ErrorKind.INVALID: 2,
    ErrorKind.UNAUTHENTICATED: 3,
    ErrorKind.FORBIDDEN: 3,
    ErrorKind.NOT_FOUND: 4,
    ErrorKind.CONFLICT: 5,
    ErrorKind.RATE_LIMITED: 6,
    ErrorKind.EXHAUSTED: 7,
    ErrorKind.REJECTED: 8,
    ErrorKind.UNAVAILABLE: 9,
    ErrorKind.TIMEOUT: 10,
    ErrorKind.UNSUPPORTED: 11,
    ErrorKind.INTERNAL: 70,
}

RETRYABLE: Final[frozenset[ErrorKind]] = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT})


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error answer of the control API (`application/problem+json`, RFC 9457).

    `error` repeats `detail`: clients written for the single-session API read that member.
    """

    status: int
    code: str
    kind: ErrorKind
    title: str
    detail: str
    error: str
    retryable: bool
    type: str = "about:blank"
    hint: str | None = None
    field: str | None = None
    session_id: str | None = None
    state: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    upstream_code: str | None = None


class DomainError(Exception):
    """Root of every failure Zapvisor reports; subclasses fix `kind` and `code`, their docstring is the default message.

    `hint` says what to do next; `field` names the offending input; `retry_after_s` is in seconds.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL
    code: ClassVar[str] = "internal"
    http_status: ClassVar[int | None] = None
    default_retry_after_s: ClassVar[float | None] = None
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        field: str | None = None,
        session_id: str | None = None,
        state: str | None = None,
        retry_after_s: float | None = None,
        upstream_code: str | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or self.code).strip().splitlines()[0]
        self.hint = hint if hint is not None else self.default_hint
        self.field = field
        self.session_id = session_id
        self.state = state
        self.retry_after_s = retry_after_s if retry_after_s is not None else self.default_retry_after_s
        self.upstream_code = upstream_code
        super().__init__(self.message)

    @property
    def status(self) -> int:
        """The HTTP status this error is answered with."""
        return self.http_status or HTTP_STATUS[self.kind]

    @property
    def exit_code(self) -> int:
        """The exit code a command ends with."""
        return EXIT_CODE[self.kind]

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without a change."""
        return self.kind in RETRYABLE

    def problem(self, request_id: str | None = None) -> Problem:
        """This error as the body of an HTTP answer."""
        return Problem(
            status=self.status,
            code=self.code,
            kind=self.kind,
            title=self.code.replace("_", " ").capitalize(),
            detail=self.message,
            error=self.message,
            retryable=self.retryable,
            hint=self.hint,
            field=self.field,
            session_id=self.session_id,
            state=self.state,
            request_id=request_id,
            retry_after_s=self.retry_after_s,
            upstream_code=self.upstream_code,
        )

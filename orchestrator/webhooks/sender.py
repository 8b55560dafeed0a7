"""One request to a target: bounded in time and size, never redirected, its end always an Answer."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from ecosystem.outgoing import AddressRefused, check_literal, guarded_session

if TYPE_CHECKING:
    from yarl import URL

    from orchestrator.webhooks.payload import Request

KEEPALIVE_S: Final = 30.0
ANSWER_LIMIT_BYTES: Final = 16 << 10
"""An answer's body is read, so that the connection can be used again, and thrown away; a longer one costs the connection."""
ANSWER_READ_S: Final = 2.0
_ERROR_LIMIT: Final = 200


class Answer(msgspec.Struct, frozen=True):
    """What came back. `code` None: nothing did, and `error` says why in words that hold no secret."""

    code: int | None
    took_ms: int
    error: str | None = None
    retry_after_s: float | None = None


class Sender:
    """A client with kept-alive connections; make it inside the loop that uses it."""

    def __init__(self) -> None:
        # Connections are not shared between the two: one to a private address must be of no use to who may not open it.
        # There is no limit for all targets together (0): those of silent ones would take every place. Each has its own.
        self._sessions = {
            allow: guarded_session(allow_private=allow, limit=0, keepalive_s=KEEPALIVE_S) for allow in (True, False)
        }

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def post(self, url: URL, request: Request, *, timeout_s: float, allow_private: bool) -> Answer:
        """Sends `request`; raises nothing but CancelledError."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await self._post(url, request, began, allow_private)
                except aiohttp.ServerDisconnectedError:
                    # A kept connection the server had just closed looks like this: once more, on a fresh one.
                    return await self._post(url, request, began, allow_private)
        except Exception as error:
            return Answer(None, _ms_since(began), _reason(error, timeout_s))

    async def _post(self, url: URL, request: Request, began: float, allow_private: bool) -> Answer:
        check_literal(url, allow_private=allow_private)
        async with self._sessions[allow_private].post(
            url, data=request.body, headers=request.headers, allow_redirects=False, timeout=aiohttp.ClientTimeout()
        ) as answer:
            took_ms = _ms_since(began)
            await _drain(answer)
            return Answer(
                answer.status,
                took_ms,
                None if answer.status < 300 else f"HTTP {answer.status}",
                retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC)),
            )


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """The status is what counts: a body that is too long, too slow or broken takes nothing from it."""
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_READ_S):
            left = ANSWER_LIMIT_BYTES
            while left > 0 and (block := await answer.content.read(left)):
                left -= len(block)
    if not answer.content.at_eof():
        answer.close()


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """The seconds a Retry-After asks for (RFC 9110, 10.2.3: seconds or a date); None when there is none that can be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _ms_since(began: float) -> int:
    return math.ceil((time.monotonic() - began) * 1000)


def _reason(error: Exception, timeout_s: float) -> str:
    """Why there was no answer: the kind of failure, without addresses or headers."""
    cause = error.__cause__ or error
    text: str
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        text = f"no answer within {timeout_s:g} s"
    elif isinstance(cause, AddressRefused) or isinstance(error, AddressRefused):
        text = str(cause if isinstance(cause, AddressRefused) else error)
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        text = "the host's name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        text = "the certificate is not valid"
    elif isinstance(error, aiohttp.ClientSSLError):
        text = "TLS failed"
    elif isinstance(error, aiohttp.ClientConnectorError):
        text = f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
    elif isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError | aiohttp.ClientOSError):
        text = "the connection was closed before an answer"
    elif isinstance(error, aiohttp.ClientError):
        text = f"the answer could not be read ({type(error).__name__})"
    else:
        text = type(error).__name__
    return text[:_ERROR_LIMIT]

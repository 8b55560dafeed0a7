"""Answers that may stay open for days end soon after the key they were asked with is good no longer.

A request is decided once, when it comes. What goes on after that is looked at again every half second, on the memory of keys: no
query, and nothing where no such answer is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSCloseCode, web

from ecosystem.contract.errors import DomainError, RateLimited, ScopeMissing, SessionForbidden
from ecosystem.web import request_id
from orchestrator.access.caller import Kind
from orchestrator.access.guard import GUARD, caller_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from orchestrator.access.caller import Caller

LOOK_S: Final = 0.5
FAREWELL_S: Final = 1.0
"""How long a client that reads nothing may take to be told why its answer ends."""
PLACES_MAX: Final = 30
"""How many answers a key may keep open: one key's must not take the places of all others."""
CLOSE_CODE: Final = WSCloseCode.POLICY_VIOLATION
"""RFC 6455, 7.4.1; the reason is the error's code."""
_LOG: Final = logging.getLogger(__name__)


class NoLongerAdmitted(Exception):
    """The key of an open answer is good no longer; `error` is what a request with it gets now."""

    def __init__(self, error: DomainError) -> None:
        super().__init__(error.code)
        self.error = error

    @property
    def told(self) -> dict[str, Any]:
        """What the client is told."""
        return {"code": self.error.code, "message": self.error.message}


@contextlib.contextmanager
def a_place(request: web.Request) -> Iterator[None]:
    """For the time an answer stays open; the admin key has as many as there are. Raises RateLimited."""
    guard, caller = request.app[GUARD], caller_of(request)
    if caller.kind is Kind.ADMIN:
        yield
        return
    if guard.lasting[caller.key_id] >= PLACES_MAX:
        raise RateLimited(f"{PLACES_MAX} streams are open with this key", hint="close one of them")
    guard.lasting[caller.key_id] += 1
    try:
        yield
    finally:
        guard.lasting[caller.key_id] -= 1
        if not guard.lasting[caller.key_id]:
            del guard.lasting[caller.key_id]


@contextlib.asynccontextmanager
async def while_admitted(request: web.Request) -> AsyncIterator[None]:
    """Interrupts the block once whoever asked may no longer. Raises NoLongerAdmitted."""
    guard, caller, loop = request.app[GUARD], caller_of(request), asyncio.get_running_loop()
    ended: DomainError | None = None
    timer: asyncio.TimerHandle | None = None

    def look(bounds: asyncio.Timeout) -> None:
        nonlocal ended, timer
        try:
            _check(guard.standing(request), caller)
        except DomainError as error:
            ended = error
            bounds.reschedule(loop.time())
        else:
            timer = loop.call_later(LOOK_S, look, bounds)

    try:
        async with asyncio.timeout(None) as bounds:
            timer = loop.call_later(LOOK_S, look, bounds)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError:
        if ended is None:
            raise
        _LOG.info("stream_ended", extra={"request_id": request_id(request), "code": ended.code})
        raise NoLongerAdmitted(ended) from None


def _check(now: Caller, before: Caller) -> None:
    """Raises SessionForbidden, ScopeMissing for a key that may do less than it could."""
    if now.session_id != before.session_id:
        raise SessionForbidden
    if not set(now.scopes) >= set(before.scopes):
        raise ScopeMissing("the API key may do less than when this began")


async def farewell(response: web.StreamResponse, said: bytes) -> None:
    """The last words of an answer; a client that does not read them is cut off."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await response.write(said)
            await response.write_eof()
            return
    response.force_close()


async def close(socket: web.WebSocketResponse, end: NoLongerAdmitted) -> None:
    """Closes a WebSocket, saying why."""
    with contextlib.suppress(ConnectionError):
        await socket.close(code=CLOSE_CODE, message=end.error.code.encode())

"""Showing a session's QR code and getting a pairing code for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import (
    DomainError,
    InternalError,
    PairingExpired,
    PairingNotReady,
    SessionAlreadyAuthenticated,
    SessionStopped,
)
from ecosystem.contract.ids import parse_phone
from ecosystem.contract.session import PairingCode, QrCode, Reason, SessionState, SessionView

if TYPE_CHECKING:
    from orchestrator.sessions.service import SessionOrchestrator

POLL_S: Final = 0.2
_MAY_PAIR_SOON: Final = frozenset(
    {Reason.STARTING, Reason.CONNECTING, Reason.PAIRING, Reason.NETWORK, Reason.BACKING_OFF}
)


class Pairing:
    """Both ways to pair. `code_holds_s` is how long a pairing code can be typed."""

    def __init__(self, sessions: SessionOrchestrator, *, code_holds_s: float) -> None:
        self._sessions = sessions
        self._code_holds_s = code_holds_s

    async def qr(self, session_id: str, *, wait_s: float = 0, after_seq: int | None = None) -> QrCode:
        """The code being shown; with `after_seq` one of another number than that.

        Raises SessionNotFound, SessionStopped, SessionAlreadyAuthenticated, PairingExpired, PairingNotReady (also when none came
        within `wait_s`), RedisDown, RegistryDown.
        """
        end = time.monotonic() + wait_s
        while True:
            view = await self._loaded(session_id)
            refusal = self._refusal(view)
            if refusal is None or isinstance(refusal, PairingNotReady):
                code = await self._sessions.observer.qr(session_id)
                # A new process counts from 1 again: another number is a newer code, whichever is larger.
                if refusal is None and code is not None and code.seq != after_seq:
                    return code
                refusal = refusal or _not_ready(view)
            waits = isinstance(refusal, PairingNotReady) and view.reason in _MAY_PAIR_SOON
            if not waits or time.monotonic() >= end:
                raise refusal
            await asyncio.sleep(min(POLL_S, max(0.0, end - time.monotonic())))

    async def code(self, session_id: str, phone: str) -> PairingCode:
        """A code to type on the phone. Raises InvalidPhone, what `qr` raises, and what the worker answers."""
        number = parse_phone(phone)
        view = await self._loaded(session_id)
        refusal = self._refusal(view)
        if refusal is not None:
            raise refusal
        results = await self._sessions.call(session_id, "GET", "/app/login-with-code", {"phone": number})
        code = results.get("pair_code") if isinstance(results, dict) else None
        if not isinstance(code, str) or not code:
            raise InternalError("the worker answered without a pairing code", session_id=session_id)
        return PairingCode(session_id=session_id, phone=number, code=code, expires_in_s=self._code_holds_s)

    async def _loaded(self, session_id: str) -> SessionView:
        """The session now; one that nobody used for long is started again."""
        self._sessions.reach.touch(session_id)
        view = await self._sessions.get(session_id)
        return await self._sessions.start(session_id) if view.reason is Reason.UNLOADED else view

    def _refusal(self, view: SessionView) -> DomainError | None:
        """Why there is nothing to pair in this state; None when there is."""
        try:
            self._sessions.check_open(view)
        except SessionStopped as error:
            return error
        if view.status is SessionState.AUTHENTICATED:
            return SessionAlreadyAuthenticated(
                session_id=view.session_id, state=view.status, hint="log it out first to pair it with another phone"
            )
        if view.reason is Reason.PAIRING_EXPIRED:
            return PairingExpired(
                session_id=view.session_id, state=view.status, hint="start the session for a new code"
            )
        return None if view.reason is Reason.PAIRING else _not_ready(view)


def _not_ready(view: SessionView) -> PairingNotReady:
    return PairingNotReady(
        f"there is no pairing in progress: the session is {view.status} ({view.reason})",
        session_id=view.session_id,
        state=view.status,
        hint=view.next_step,
    )

"""Ends of a connection that the engine does not leave by itself: their reason, and why the session cannot act in them."""

from __future__ import annotations

import datetime as dt
import random
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import (
    ClientOutdated,
    DomainError,
    PairingExpired,
    SessionBanned,
    SessionLoggedOut,
    SessionNotAuthenticated,
)
from ecosystem.contract.ids import DEFAULT_SESSION
from ecosystem.contract.session import Reason, SessionState
from worker.engine import protocol as say
from worker.rests import AFTER_BAN_S

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS: Final = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d+->")
"""Our own end of a socket: another number at every try, and of no use to anybody."""
_PROXY_WORDS: Final = ("proxyconnect", "socks connect", "proxy authentication", "username/password")


SILENCES: Final[dict[str, str]] = {
    "silent": "the engine did not report anything after its start",
    "login": "paired or nearly so, but the engine did not log in",
}
"""Timer of a session → what it means when it runs out."""


class End(msgspec.Struct, frozen=True):
    """One end. `until`: when it is over by itself, as far as WhatsApp told."""

    reason: Reason
    detail: str | None
    until: dt.datetime | None = None


def _banned(event: say.Banned) -> End:
    if not event.seconds:
        return End(Reason.BANNED, event.code)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=event.seconds)
    wait = dt.timedelta(seconds=1 + random.random() * min(AFTER_BAN_S, event.seconds / 10))  # noqa: S311 -- jitter
    return End(Reason.BANNED, f"{event.code} until {until.isoformat(timespec='seconds')}", until + wait)


_ENDS: Final[dict[type[Any], Callable[[Any], End]]] = {
    say.PairingRefused: lambda event: End(Reason.PAIRING_FAILED, event.error),
    say.LoggedOut: lambda event: End(
        Reason.LOGGED_OUT, f"{'at login' if event.on_connect else 'by the phone'}: {event.detail}"
    ),
    say.Replaced: lambda _: End(Reason.REPLACED, "another connection uses this session's keys"),
    say.Banned: _banned,
    say.Outdated: lambda _: End(Reason.OUTDATED, "WhatsApp refuses this version of the client (405)"),
    say.Refused: lambda event: End(Reason.REFUSED, event.detail),
}
ENDS: Final = tuple(_ENDS)
"""The engine's events that are ends."""


def end_of(event: Any) -> End:
    """The end an event of ENDS stands for."""
    return _ENDS[type(event)](event)


def why_unreachable(error: str, *, proxied: bool) -> tuple[Reason, str]:
    """Reason and text of a connection that did not come about."""
    text = _PORTS.sub("", error)[:300]
    through_proxy = proxied and any(word in text.lower() for word in _PROXY_WORDS)
    return (Reason.PROXY_FAILED if through_proxy else Reason.NETWORK), text


def why_not(session_id: str, state: SessionState, reason: Reason, detail: str | None) -> DomainError:
    """Why a session in this state cannot do what only a logged-in one can."""
    about: dict[str, Any] = {"session_id": session_id, "state": str(state)}
    again = "reconnect to pair again"
    if reason is Reason.LOGGED_OUT:
        return SessionLoggedOut(hint=again, **about)
    if reason is Reason.BANNED:
        return SessionBanned(detail, **about)
    if reason is Reason.OUTDATED:
        return ClientOutdated(detail, **about)
    if reason is Reason.PAIRING_EXPIRED:
        return PairingExpired(hint=again, **about)
    hint = "scan the QR code or use a pairing code" if state is SessionState.CONNECTED else None
    if hint and session_id == DEFAULT_SESSION:
        hint += f"; a request that names no session is for {DEFAULT_SESSION}: X-Device-Id names another one"
    return SessionNotAuthenticated(hint=hint, **about)

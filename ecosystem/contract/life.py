"""Events about a session's own life: made, connected, gone; part of the catalogue in `events`.

Each follows from a change of state or from an act of the operator. What a worker knows of itself it tells itself; what only the
orchestrator can know (made, deleted, a worker that is gone) the orchestrator tells: see `EventSource`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.alerts import ALERT_TYPES, AlertEnded, AlertRaised
from ecosystem.contract.happenings import Person
from ecosystem.contract.session import Reason, SessionState
from ecosystem.contract.webhook_events import WEBHOOK_TYPES, WebhookDeadLetters

if TYPE_CHECKING:
    from collections.abc import Callable


class SessionStateChanged(msgspec.Struct, frozen=True):
    """`session.state`: the session entered a state, and why."""

    old: SessionState
    new: SessionState
    reason: Reason
    detail: str | None = None


class SessionCreated(msgspec.Struct, frozen=True):
    """`session.created`: somebody made the session; `running`: and wants it to run."""

    name: str
    labels: list[str]
    running: bool


class SessionConnected(msgspec.Struct, frozen=True):
    """`session.connected`: the session is logged in at WhatsApp and may send."""

    reason: Reason


class SessionDisconnected(msgspec.Struct, frozen=True):
    """`session.disconnected`: the session is not logged in any more (`old`: what it was), or came to rest."""

    old: SessionState
    reason: Reason
    detail: str | None = None


class SessionFailed(msgspec.Struct, frozen=True):
    """`session.error`: the session cannot go on, or its worker is gone or starts again and again. `reason` says why."""

    reason: Reason
    detail: str | None = None


class SessionLoggedOut(msgspec.Struct, frozen=True):
    """`session.logged_out`: the account unlinked this session, or an API call did; it has to be paired again."""

    detail: str | None = None


class SessionBanned(msgspec.Struct, frozen=True):
    """`session.banned`: WhatsApp banned the account; `detail` has its code, and until when where it told."""

    detail: str | None = None


class SessionOutdated(msgspec.Struct, frozen=True):
    """`session.outdated`: WhatsApp refuses this version of the client; Zapvisor needs an update."""

    detail: str | None = None


class SessionReplaced(msgspec.Struct, frozen=True):
    """`session.replaced`: another connection uses this session's keys, and WhatsApp ended this one."""

    detail: str | None = None


class SessionDeleted(msgspec.Struct, frozen=True):
    """`session.deleted`: the session is gone; this is its last event. `account`: whom it was last paired with."""

    name: str
    account: Person | None = None


Life = (
    SessionStateChanged
    | SessionCreated
    | SessionConnected
    | SessionDisconnected
    | SessionFailed
    | SessionLoggedOut
    | SessionBanned
    | SessionOutdated
    | SessionReplaced
    | SessionDeleted
    | AlertRaised
    | AlertEnded
    | WebhookDeadLetters
)

LIFE_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    "session.state": SessionStateChanged,
    "session.created": SessionCreated,
    "session.connected": SessionConnected,
    "session.disconnected": SessionDisconnected,
    "session.error": SessionFailed,
    "session.logged_out": SessionLoggedOut,
    "session.banned": SessionBanned,
    "session.outdated": SessionOutdated,
    "session.replaced": SessionReplaced,
    "session.deleted": SessionDeleted,
    **ALERT_TYPES,
    **WEBHOOK_TYPES,
}

_NAMED: Final[dict[Reason, Callable[[str | None], Life]]] = {
    Reason.LOGGED_OUT: SessionLoggedOut,
    Reason.BANNED: SessionBanned,
    Reason.OUTDATED: SessionOutdated,
    Reason.REPLACED: SessionReplaced,
}
"""Reasons with an event of their own."""

RESTING: Final = frozenset({SessionState.DISCONNECTED, SessionState.ERROR})
"""States a session may be left in by a worker that ended in good order."""


def told_with(change: SessionStateChanged) -> list[Life]:
    """The events that go with a change of state, in order, the change itself first."""
    old, new, reason, detail = change.old, change.new, change.reason, change.detail
    told: list[Life] = [change]
    if new is SessionState.AUTHENTICATED and old is not new:
        told.append(SessionConnected(reason))
    left = old is SessionState.AUTHENTICATED and new is not old
    if left or (new is SessionState.DISCONNECTED and old is not new):
        told.append(SessionDisconnected(old, reason, detail))
    if new in RESTING and reason in _NAMED:
        told.append(_NAMED[reason](detail))
    if new is SessionState.ERROR:
        told.append(SessionFailed(reason, detail))
    return told


def ended_silently(last: SessionState | None, change: SessionStateChanged) -> SessionStateChanged | None:
    """What is missing before a new process's first change of state, where the one before it died without a word.

    `last`: the state that was told last of all; None: nothing was told yet.
    """
    if last is None or last in RESTING or change.old is last:
        return None
    return SessionStateChanged(
        last, SessionState.DISCONNECTED, Reason.WORKER_LOST, "the process before this one ended without a word"
    )

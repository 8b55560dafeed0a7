"""Which alerts stand, from what is seen of the fleet: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.alerts import AlertKind
from ecosystem.contract.session import Health, Reason, SessionState
from orchestrator.reconcile.merge import Shown
from orchestrator.reconcile.strain import Bounds
from orchestrator.registry.diagnosis import FLEET, Raised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.registry.targethealth import TargetHealth

BY_REASON: Final[dict[Reason, AlertKind]] = {
    Reason.CRASH_LOOP: AlertKind.RESTART_LOOP,
    Reason.DEAF: AlertKind.DEAF,
    Reason.BANNED: AlertKind.BANNED,
    Reason.LOGGED_OUT: AlertKind.LOGGED_OUT,
    Reason.REPLACED: AlertKind.REPLACED,
    Reason.RESTRICTED: AlertKind.RESTRICTED,
    Reason.PROXY_FAILED: AlertKind.PROXY,
    Reason.DISK_FULL: AlertKind.DISK,
}
"""Reasons that are worth an alert at once."""
TITLES: Final[dict[AlertKind, str]] = {
    AlertKind.DOWN: "the session is not connected",
    AlertKind.RESTART_LOOP: "the session's worker dies again and again",
    AlertKind.DEAF: "WhatsApp stays silent on the session's connection",
    AlertKind.BANNED: "WhatsApp has banned the session's number",
    AlertKind.LOGGED_OUT: "the session was unlinked and has to be paired again",
    AlertKind.REPLACED: "another client uses the session's login",
    AlertKind.RESTRICTED: "WhatsApp refuses messages to new people",
    AlertKind.OUTDATED: "WhatsApp refuses this version: upgrade Zapvisor",
    AlertKind.PROXY: "the session's proxy does not work",
    AlertKind.DISK: "the disk is nearly full",
    AlertKind.BACKLOG: "events of the session wait in its outbox",
    AlertKind.MEMORY: "the session's worker uses much memory",
    AlertKind.CPU: "the session's worker keeps the processor busy",
    AlertKind.SLOW: "the session answers slowly",
    AlertKind.WEBHOOK: "a webhook does not get its events",
}
_QUIET: Final = frozenset({Reason.PAIRING, Reason.PAIRED, Reason.PAIRING_EXPIRED, Reason.UNLOADED, Reason.OUTDATED})
"""Not logged in, and nothing is wrong; or told for the whole fleet."""


class Limits(msgspec.Struct, frozen=True):
    """From when on something is worth an alert."""

    down_s: float = 300.0
    backlog: int = 1000
    deaths: int = 3
    disk_free_bytes: int = 512 << 20
    strain: Bounds = Bounds()


class Condition(msgspec.Struct, frozen=True):
    """One session that is wanted running. `down_s`: how long it has not been logged in; `deaths`: within the window;
    `strained`: which bounds its worker has been over for long, each with a sentence."""

    session_id: str
    shown: Shown
    health: Health | None
    down_s: float
    deaths: int
    waiting: int
    paired: bool
    strained: dict[AlertKind, str] = {}


def standing(
    conditions: Sequence[Condition],
    disk_free_bytes: int | None,
    limits: Limits,
    targets: Sequence[TargetHealth] = (),
) -> list[Raised]:
    """Every alert that stands now, at most one a kind and session."""
    found: dict[tuple[AlertKind, str], Raised] = {}
    for one in (
        *_of_fleet(conditions, disk_free_bytes, limits),
        *(a for each in targets for a in _of_target(each, limits)),
        *(a for each in conditions for a in _of(each, limits)),
    ):
        found.setdefault((one.kind, one.session_id), one)
    return list(found.values())


def _of_fleet(conditions: Sequence[Condition], free: int | None, limits: Limits) -> Iterator[Raised]:
    outdated = [one.session_id for one in conditions if one.shown.reason is Reason.OUTDATED]
    if outdated:
        yield Raised(AlertKind.OUTDATED, FLEET, TITLES[AlertKind.OUTDATED], f"refused: {_names(outdated)}")
    if free is not None and free < limits.disk_free_bytes:
        yield Raised(AlertKind.DISK, FLEET, TITLES[AlertKind.DISK], f"{free >> 20} MiB are free")


def _of(one: Condition, limits: Limits) -> Iterator[Raised]:
    shown = one.shown
    kind = BY_REASON.get(shown.reason)
    if kind is None and one.health is Health.DEAF:
        kind = AlertKind.DEAF
    if kind is not None:
        yield _raised(kind, one.session_id, shown.detail)
    if one.deaths >= limits.deaths:
        yield _raised(AlertKind.RESTART_LOOP, one.session_id, f"{one.deaths} deaths lately")
    down = shown.status is not SessionState.AUTHENTICATED and shown.reason not in _QUIET
    if kind is None and down and one.paired and one.down_s >= limits.down_s:
        yield _raised(
            AlertKind.DOWN, one.session_id, f"{shown.reason}: {shown.detail}" if shown.detail else shown.reason
        )
    if one.waiting >= limits.backlog:
        yield _raised(AlertKind.BACKLOG, one.session_id, f"{one.waiting} events wait")
    for strain, said in one.strained.items():
        yield _raised(strain, one.session_id, said)


def _of_target(one: TargetHealth, limits: Limits) -> Iterator[Raised]:
    """Of a webhook of every session it is the fleet's."""
    name = f"{one.name} ({one.id})" if one.name else one.id
    said = None
    if one.gone:
        said = f"{name} answered 410 Gone and gets nothing until it is enabled again"
    elif one.dead_lately:
        said = f"{name}: events were given up; see `zapvisor webhook dead-letters`"
    elif one.tripped and one.unheard_s >= limits.down_s:
        said = f"{name} takes nothing: {one.last_error or 'no answer'}"
    if said is not None:
        yield _raised(AlertKind.WEBHOOK, one.session_id or FLEET, said)


def _raised(kind: AlertKind, session_id: str, detail: str | None) -> Raised:
    return Raised(kind, session_id, TITLES[kind], detail)


def _names(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more"

"""A session as every answer shows it, and what the operator can do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from ecosystem.contract.ids import Jid, jid_user
from ecosystem.contract.session import Reason, SessionView
from orchestrator.observed import Unknown
from orchestrator.sessions.repairs import REPAIRS

if TYPE_CHECKING:
    from ecosystem.contract.heartbeat import Heartbeat
    from ecosystem.contract.worker import WorkerProcess
    from orchestrator.observed import Beat
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.rows import SessionRow

NEXT_STEPS: Final[dict[Reason, str | None]] = {
    Reason.CREATED: "start the session",
    Reason.STARTING: "wait: the worker is starting",
    Reason.STOPPED: "start the session",
    Reason.STOPPED_BY_OPERATOR: "start the session: its process was stopped with supervisorctl",
    Reason.CONNECTING: "wait: it is connecting to WhatsApp",
    Reason.PAIRING: "scan the QR code, or ask for a pairing code",
    Reason.PAIRED: "wait: it is logging in",
    Reason.ONLINE: None,
    Reason.NETWORK: "wait: it reconnects by itself; check the network if it does not",
    Reason.PAIRING_EXPIRED: "start the session to get a new QR code",
    Reason.LOGGED_OUT: "start the session to pair it again",
    Reason.REPLACED: "another client uses the same login: stop that one, then start the session",
    Reason.BANNED: "wait: it logs in again by itself when the ban is over; send less after it",
    Reason.OUTDATED: "WhatsApp refuses this version: upgrade Zapvisor, then start the session",
    Reason.REFUSED: "WhatsApp refused the login: the detail says why; start the session to try at once",
    Reason.PAIRING_FAILED: "pairing failed: start the session and pair again",
    Reason.ENGINE_ENDED: "wait: the worker is replaced by itself",
    Reason.WORKER_LOST: "wait: a worker that stays silent is replaced by itself",
    Reason.BACKING_OFF: "wait: it is started again after a pause; its log says why it died",
    Reason.CRASH_LOOP: "read the session's log, repair the cause, then start the session",
    Reason.BAD_SPEC: "read the session's log, correct the settings, then start the session",
    Reason.STORE_UNUSABLE: "check the disk and the session's folder, then start the session",
    Reason.FOLDER_LOCKED: "end the other process that holds the session's folder; the rest happens by itself",
    Reason.SUPERSEDED: "another worker runs this session: end it, then start the session",
    Reason.PORTS_EXHAUSTED: "stop a session, or raise MAX_SESSIONS or SPARE_PORTS",
    Reason.DEAF: "wait: it is connected anew by itself, then its worker is replaced; check the network if it stays",
    Reason.RESTRICTED: "write only to people who wrote first until WhatsApp lifts the restriction",
    Reason.CRASHED: "wait: it is started again by itself; its log says why it died",
    Reason.HUNG: "wait: a worker that gives no sign of life is replaced by itself",
    Reason.RENEWING: "nothing: a fresh worker takes over, and is back within a second",
    Reason.MEMORY_LIMIT: "wait: a fresh worker starts; raise the limit if that happens often",
    Reason.DISK_FULL: "make room on the disk; the rest happens by itself",
    Reason.PROXY_FAILED: "check the session's proxy: `zapvisor proxy test` tells what is wrong with it",
    Reason.UNLOADED: "nothing: the next request for it starts it again",
    Reason.DELETING: "wait: it is being deleted",
    Reason.UNKNOWN: "look at /health and the logs",
}


def make_view(row: SessionRow, fleet: Fleet, beat: Beat | Unknown | None) -> SessionView:
    """The view of a row with the freshest heartbeat there is."""
    assessment = fleet.assess(row.session_id, beat)
    shown = fleet.show(row, assessment)
    process = fleet.look.process(row.session_id)
    if isinstance(process, Unknown):
        process = None
    worker = assessment.beat.heartbeat if assessment.beat is not None else None
    unpaired = worker is not None and worker.jid is None and shown.reason in (Reason.PAIRING, Reason.LOGGED_OUT)
    jid = None if unpaired else (worker.jid if worker is not None and worker.jid is not None else row.jid)
    return SessionView(
        session_id=row.session_id,
        name=row.name,
        status=shown.status,
        reason=shown.reason,
        detail=shown.detail,
        next_step=NEXT_STEPS[shown.reason],
        repair=REPAIRS[shown.reason],
        repair_at=_repair_at(row, fleet, worker),
        path=worker.path if worker is not None else None,
        desired=row.desired,
        generation=row.generation,
        created_at=row.created_at,
        updated_at=row.updated_at,
        health=assessment.health,
        jid=jid,
        lid=None if unpaired else (worker.lid if worker is not None and worker.lid is not None else row.lid),
        phone=jid_user(Jid(jid)) if jid is not None else None,
        push_name=None if unpaired else ((worker.push_name if worker is not None else None) or row.push_name),
        port=worker.port if worker is not None else row.port,
        pid=process.pid if process is not None else None,
        incarnation=worker.incarnation if worker is not None else None,
        uptime_s=_age(worker.started_at) if worker is not None else (process.uptime_s if process is not None else None),
        since=worker.since if worker is not None and worker.state is shown.status else row.status_since,
        last_connected_at=(worker.last_connected_at if worker is not None else None) or row.last_connected_at,
        last_inbound_at=worker.last_inbound_at if worker is not None else None,
        restarts=_of_process(row, "restarts", process),
        renewals=_of_process(row, "renewals", process),
        memory_bytes=worker.memory_bytes if worker is not None else None,
        cpu_percent=worker.cpu_percent if worker is not None else None,
        messages_in=_counted(row, worker, "messages_in"),
        messages_out=_counted(row, worker, "messages_out"),
        outbox_waiting=worker.counters.outbox_waiting if worker is not None else None,
        sends_waiting=worker.counters.sends_waiting if worker is not None else None,
        api_requests=_counted(row, worker, "api_requests"),
        api_errors=_counted(row, worker, "api_errors"),
        api_ms=worker.api.recent_ms if worker is not None else None,
        last_active_at=worker.last_active_at if worker is not None else None,
        on_demand=row.on_demand,
        proxy=row.proxy.address if row.proxy is not None and row.proxy.enabled else None,
        last_error=worker.last_error if worker is not None else None,
        metadata=row.metadata,
        labels=list(row.labels),
    )


def counters_of(worker: Heartbeat) -> dict[str, int]:
    """A worker's counters that can be reset, by the names views give them."""
    return {
        "messages_in": worker.counters.messages_in,
        "messages_out": worker.counters.messages_out,
        "api_requests": worker.api.requests,
        "api_errors": worker.api.errors,
    }


def _counted(row: SessionRow, worker: Heartbeat | None, name: str) -> int | None:
    if worker is None:
        return None
    return _since_reset(row, name, worker.incarnation, counters_of(worker)[name])


def _of_process(row: SessionRow, name: Literal["restarts", "renewals"], process: WorkerProcess | None) -> int:
    return _since_reset(row, name, row.generation, getattr(process, name)) if process is not None else 0


def _since_reset(row: SessionRow, name: str, life: str | int, count: int) -> int:
    """A counter less what it showed when it was reset, where that was in the same life."""
    reset = row.counters_reset or {}
    before = reset.get(name)
    if not isinstance(before, list) or before[0] != life:
        return count
    return max(0, count - int(before[1]))


def _repair_at(row: SessionRow, fleet: Fleet, worker: Heartbeat | None) -> datetime | None:
    """When the next step of the repair is due: the worker's next try, the end of its rest, or its start after a pause."""
    if worker is not None:
        return worker.link.rests_until or worker.link.next_try_at
    left = fleet.waits_s(row)
    return None if left is None else datetime.now(UTC) + timedelta(seconds=left)


def _age(then: datetime) -> float:
    return round(max(0.0, (datetime.now(UTC) - then).total_seconds()), 1)

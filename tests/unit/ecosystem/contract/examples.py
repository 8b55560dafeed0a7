"""One example of every shape in the contract, each field set, and the JSON each must keep.

    python -m tests.unit.ecosystem.contract.examples    writes the golden files anew

A difference in a golden file is a change of what crosses a process boundary: readers of the old shape are still running.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec

import ecosystem.contract
from ecosystem.contract import envelope, errors, events, happenings, heartbeat, outbox, session, worker
from ecosystem.contract.eventbook import EXAMPLES as EVENT_EXAMPLES
from tests.unit.ecosystem.contract.access_examples import ACCESS_EXAMPLES, GRANT, RATES
from tests.unit.ecosystem.contract.diagnosis_examples import DIAGNOSIS_EXAMPLES, LINK, PATH
from tests.unit.ecosystem.contract.fleet_examples import FLEET_EXAMPLES
from tests.unit.ecosystem.contract.message_examples import LIMITS, MESSAGE_EXAMPLES
from tests.unit.ecosystem.contract.operation_examples import operation_examples
from tests.unit.ecosystem.contract.session_examples import SESSION_EXAMPLES
from tests.unit.ecosystem.contract.webhook_examples import WEBHOOK_EXAMPLES

GOLDEN: Final = Path(__file__).parent / "golden"
_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_JID: Final = "5511900000001@s.whatsapp.net"
_ULID: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"
_PHOTO: Final = cast("events.MessageReceived", EVENT_EXAMPLES["message"])
_POSTED: Final = cast("happenings.NewsletterPosted", EVENT_EXAMPLES["newsletter.message"])
_COUNTERS: Final = heartbeat.Counters(
    messages_in=1, messages_out=2, receipts_in=3, events=4, outbox_waiting=5, sends_waiting=6, reconnects=7
)
_API_USE: Final = heartbeat.ApiUse(requests=40, errors=1, busy_s=0.8, recent_ms=12.5)
_VIEW: Final = session.SessionView(
    session_id="alpha",
    name="The shop",
    status=session.SessionState.AUTHENTICATED,
    reason=session.Reason.ONLINE,
    detail="since the last start",
    next_step="send a message",
    desired=session.DesiredState.RUNNING,
    generation=3,
    created_at=_AT,
    updated_at=_AT,
    health=session.Health.HEALTHY,
    path=PATH,
    repair="goes on",
    repair_at=_AT,
    jid=_JID,
    lid="123456789@lid",
    phone="5511900000001",
    push_name="Ana",
    port=3001,
    pid=4242,
    incarnation=_ULID,
    uptime_s=12.5,
    since=_AT,
    last_connected_at=_AT,
    last_inbound_at=_AT,
    restarts=1,
    renewals=2,
    memory_bytes=15_000_000,
    cpu_percent=0.5,
    messages_in=1,
    messages_out=2,
    outbox_waiting=5,
    sends_waiting=6,
    api_requests=40,
    api_errors=1,
    api_ms=12.5,
    last_active_at=_AT,
    on_demand=True,
    proxy="socks5://proxy.example:1080",
    last_error="socket closed",
    metadata={"customer": 7},
    labels=["vip"],
)

_DETAIL: Final[dict[str, Any]] = {
    **{name: getattr(_VIEW, name) for name in _VIEW.__struct_fields__},
    "same_session_id": "alpha",
    "same_jid": _JID,
    "same_created_at": _AT,
    "same_connected_at": _AT,
    "same_active_at": _AT,
}
_DAY: Final = session.DayOfSession(messages_in=9, messages_out=8, api_requests=70, api_errors=2)

EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    *SESSION_EXAMPLES,
    envelope.Envelope(status=200, code="SUCCESS", message="sent", results={"message_id": "3EB0"}),
    errors.SessionStopped(
        hint="start it",
        field="session_id",
        session_id="alpha",
        state="disconnected",
        retry_after_s=1.5,
        upstream_code="463",
    ).problem(request_id="r-1"),
    _PHOTO.sender,
    _PHOTO,
    *(data for data in EVENT_EXAMPLES.values() if data is not _PHOTO),
    *(part for part in (_PHOTO.media, _PHOTO.location, *_PHOTO.contacts) if part is not None),
    *_POSTED.posts,
    events.Event(
        id=_ULID,
        type="session.paired",
        session_id="alpha",
        seq=9,
        timestamp=_AT,
        jid=_JID,
        data={"jid": _JID, "lid": None},
        metadata={"customer": 7},
        source=events.EventSource.ORCHESTRATOR,
        request_id=_ULID,
    ),
    outbox.EventPage(
        events=[
            events.Event(_ULID, "session.paired", "alpha", 9, _AT, _JID, {"jid": _JID, "lid": None}, {"customer": 7})
        ],
        more=True,
    ),
    _COUNTERS,
    _API_USE,
    heartbeat.Heartbeat(
        session_id="alpha",
        generation=3,
        incarnation=_ULID,
        host="127.0.0.1",
        port=3001,
        pid=4242,
        seq=10,
        state=session.SessionState.AUTHENTICATED,
        reason=session.Reason.ONLINE,
        since=_AT,
        started_at=_AT,
        detail="fine",
        jid=_JID,
        lid="123456789@lid",
        push_name="Ana",
        memory_bytes=15_000_000,
        cpu_percent=0.5,
        counters=_COUNTERS,
        api=_API_USE,
        last_active_at=_AT,
        last_inbound_at=_AT,
        last_connected_at=_AT,
        last_error="socket closed",
        path=PATH,
        link=LINK,
        wants_renewal="it has grown by 4.0 MiB",
        sent_seq=41,
        access_revision=4,
    ),
    session.ProxySettings(
        host="proxy.example", port=1080, enabled=False, type="socks5", username="u", password="p", required=True
    ),
    session.CreateSession(
        session_id="alpha",
        name="The shop",
        start=False,
        metadata={"customer": 7},
        labels=["vip"],
        api_key="6f1c2d3e-4b5a-4c6d-8e7f-901234567890",
        on_demand=True,
        proxy=session.ProxySettings(host="proxy.example", port=1080),
        webhook_url="https://crm.example/hook",
        webhook_events=["message.*"],
        webhook_secret="s",
    ),
    session.UpdateSession(name="The shop", metadata={"customer": 8}, labels=[], on_demand=False),
    session.PairPhone(phone="5511900000001"),
    session.PairingCode(session_id="alpha", phone="5511900000001", code="ABCD-EFGH", expires_in_s=160.0),
    session.QrCode(session_id="alpha", text="2@abc,def", seq=2, expires_in_s=20.0),
    _VIEW,
    session.SessionDetail(**_DETAIL),
    session.CreatedSession(
        **_DETAIL,
        api_key="6f1c2d3e-4b5a-4c6d-8e7f-901234567890",
        webhook_url="https://crm.example/hook",
        webhook_secret="s",
    ),
    _DAY,
    session.SessionStats(
        **{name: getattr(_VIEW, name) for name in session.SessionStats.__struct_fields__ if name != "last_24h"},
        last_24h=_DAY,
    ),
    session.SessionList(sessions=[_VIEW], total=51, limit=50, offset=50),
    worker.WorkerSpec(
        session_id="alpha",
        generation=3,
        folder="/var/lib/zapvisor/storages/session_alpha",
        host="127.0.0.1",
        port=3001,
        redis_url="unix:///var/lib/zapvisor/run/redis/redis.sock",
        redis_prefix="zapvisor",
        access_key_hashes=("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",),
        connect=False,
        heartbeat_interval_s=1.0,
        heartbeat_ttl_s=5.0,
        pairing_timeout_s=60.0,
        stop_grace_s=3.0,
        stop_exit_codes=(3,),
        connects_per_second=2.5,
        connects_spread_s=8.0,
        transfers_at_once=2,
        path_check_s=60.0,
        event_stream_max=5000,
        proxy_url="socks5://proxy.example:1080",
        device_name="Shop",
        media=LIMITS,
        renewal=worker.RenewalRules(after_pairing=False, grown_bytes=4 << 20, idle_s=60.0),
        retention=worker.Retention(days=90, rows=100_000, media_s=604_800.0, media_bytes=1 << 30),
        log_level="debug",
        log_json=True,
        metadata={"customer": 7},
        push_key_hash="60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        access_revision=4,
        access_keys=(GRANT,),
        rates=RATES,
    ),
    worker.WorkerProcess(
        session_id="alpha",
        state=worker.ProcessState.EXITED,
        generation=3,
        port=3001,
        pid=4242,
        uptime_s=12.5,
        starts=2,
        exit_code=-9,
        spawn_error="no memory",
        held=True,
        description="pid 4242, uptime 0:00:12",
        renewals=1,
    ),
    *ACCESS_EXAMPLES,
    *MESSAGE_EXAMPLES,
    *operation_examples(_VIEW),
    *WEBHOOK_EXAMPLES,
    *DIAGNOSIS_EXAMPLES,
    *FLEET_EXAMPLES,
)


def shapes() -> set[type[msgspec.Struct]]:
    """Every Struct defined in a module of the contract."""
    found: set[type[msgspec.Struct]] = set()
    for info in pkgutil.iter_modules(ecosystem.contract.__path__):
        module = importlib.import_module(f"ecosystem.contract.{info.name}")
        found |= {
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, msgspec.Struct) and cls.__module__ == module.__name__
        }
    return found


def golden_file(shape: type[msgspec.Struct]) -> Path:
    """Where the JSON of `shape` is kept."""
    return GOLDEN / f"{shape.__module__.rpartition('.')[2]}.{shape.__name__}.json"


def rendered(example: msgspec.Struct) -> str:
    """The example as its golden file holds it."""
    return msgspec.json.format(msgspec.json.encode(example), indent=2).decode() + "\n"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for one in EXAMPLES:
        golden_file(type(one)).write_text(rendered(one), encoding="utf-8")

"""Examples of what operators do and watch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ecosystem.contract import operations

if TYPE_CHECKING:
    import msgspec

    from ecosystem.contract.session import SessionView

_AT: Final = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
_HEALTH: Final = operations.ProxyHealth(True, _AT, 41.5, "203.0.113.7", "reached WhatsApp")
_DISK: Final = operations.DiskUse("/var/lib/zapvisor", 100_000_000_000, 40_000_000_000, 60.0)
_SAMPLE: Final = operations.Sample(
    at=_AT,
    memory_bytes=15_000_000,
    cpu_percent=0.5,
    messages_in=3,
    messages_out=4,
    outbox_waiting=0.5,
    sends_waiting=0.25,
    api_requests=10,
    api_errors=1,
    api_ms=12.5,
    sessions=1.0,
    authenticated=1.0,
    server_memory_bytes=2_000_000_000,
    server_cpu_percent=12.5,
    disk_free_bytes=40_000_000_000,
)


def operation_examples(view: SessionView) -> tuple[msgspec.Struct, ...]:
    """One of each; `view` is the example of a session."""
    outcome = operations.ActionOutcome("alpha", True, view, "session_stopped", "the session is stopped")
    return (
        operations.SessionActions(
            action="signal", sessions=["alpha"], label="vip", all=True, wait_s=5.0, signal="HUP", fresh_zygote=True
        ),
        outcome,
        operations.ActionOutcomes("reload", 1, 0, [outcome], ["beta"]),
        operations.SendSignal(signal="USR1"),
        _HEALTH,
        operations.ProxyView("alpha", True, True, "socks5", "proxy.example", 1080, "ana", True, _HEALTH),
        operations.ProxyTested("alpha", True, "http", "proxy.example", 3128, 41.5, "203.0.113.7", "reached WhatsApp"),
        _DISK,
        operations.ServerView(
            cpus=2,
            cpu_percent=12.5,
            load_1m=0.5,
            load_5m=0.25,
            load_15m=0.125,
            memory_total_bytes=8_000_000_000,
            memory_available_bytes=4_000_000_000,
            swap_used_bytes=1,
            uptime_s=3600.0,
            disks=[_DISK],
            sessions_memory_bytes=15_000_000,
            programs_memory_bytes=90_000_000,
            logs_bytes=1_000_000,
            storage_bytes=2_000_000,
        ),
        _SAMPLE,
        operations.Series("alpha", "day", 300, [_SAMPLE]),
    )

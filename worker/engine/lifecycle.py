"""Native event to what the engine says of its connection: pure functions and a literal table.

The protobuf fields are those of neonize 0.5.2 (`Neonize.proto`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from worker.engine import protocol as say
from worker.engine import translate
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from collections.abc import Callable


def pair_status(native: Any) -> say.EngineEvent:
    """PairStatus."""
    if native.Status == 2:
        return say.Paired(jid=translate.full(native.ID) or "")
    return say.PairingRefused(error=native.Error or "the phone's answer was not accepted")


def connect_failure(native: Any) -> say.EngineEvent:
    """ConnectFailure: the engine goes on trying after the server's own failures, and stays away after all others."""
    reason = translate.enum_name(native, "Reason")
    if reason in ("internal_server_error", "service_unavailable"):
        return say.Trouble(detail=f"login failed: {reason}")
    return say.Refused(detail=f"{reason} {native.Message}".strip())


def temporary_ban(native: Any) -> say.EngineEvent:
    """TemporaryBan; Expire is a Go duration (nanoseconds) or seconds, whichever the number can be."""
    expire = int(native.Expire)
    return say.Banned(
        code=translate.enum_name(native, "Code"), seconds=expire // 1_000_000_000 if expire > 10**10 else expire
    )


LIFECYCLE: Final[dict[int, tuple[Any, Callable[[Any], say.EngineEvent]]]] = {
    2: (neonize.PairStatus, pair_status),
    3: (neonize.Connected, lambda _: say.Online()),
    4: (neonize.KeepAliveTimeout, lambda native: say.KeepAliveLost(count=int(native.ErrorCount))),
    5: (neonize.KeepAliveRestored, lambda _: say.KeepAliveBack()),
    6: (
        neonize.LoggedOut,
        lambda native: say.LoggedOut(on_connect=native.OnConnect, detail=translate.enum_name(native, "Reason")),
    ),
    7: (neonize.StreamReplaced, lambda _: say.Replaced()),
    8: (neonize.TemporaryBan, temporary_ban),
    9: (neonize.ConnectFailure, connect_failure),
    10: (neonize.ClientOutdated, lambda _: say.Outdated()),
    11: (neonize.StreamError, lambda native: say.Trouble(detail=f"stream error {native.Code}")),
    12: (neonize.Disconnected, lambda _: say.Offline()),
}
"""The library's number of an event → its type and what it says about the connection."""

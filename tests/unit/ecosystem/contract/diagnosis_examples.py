"""One example of each shape of health, repair and alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ecosystem.contract import alerts, diagnosis, policy

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PATH: Final = diagnosis.PathView(
    health=diagnosis.PathHealth.DEGRADED,
    detail="1 keep-alives unanswered",
    last_frame_at=_AT,
    last_proof_at=_AT,
    keepalives_lost=1,
    sends_lost=2,
)
LINK: Final = diagnosis.LinkView(tries=3, next_try_at=_AT, rests_until=_AT)
_RULES: Final = policy.RestartRules(
    priority=10,
    max_restarts=5,
    min_uptime_s=60.0,
    restart_delay_s=2.0,
    restart_delay_max_s=120.0,
    max_memory_bytes=200 << 20,
    cron_restart="0 4 * * *",
    kill_timeout_s=20.0,
    stop_exit_codes=[3],
)
_ALERT: Final = alerts.Alert(
    id=7,
    kind=alerts.AlertKind.BANNED,
    session_id="alpha",
    severity=alerts.Severity.CRITICAL,
    title="WhatsApp has banned the session's number",
    detail="temp_101",
    began_at=_AT,
    ended_at=_AT,
)
DIAGNOSIS_EXAMPLES: Final = (
    PATH,
    LINK,
    _RULES,
    policy.PolicyView(session_id="alpha", own=_RULES, effective=_RULES),
    _ALERT,
    alerts.AlertList(alerts=[_ALERT], standing=0),
)

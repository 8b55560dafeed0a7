"""Alerts, and a session's own rules of restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecosystem.contract.errors import SessionNotFound
from ecosystem.contract.policy import PolicyView, RestartRules
from orchestrator.reconcile.crons import check_cron
from orchestrator.registry import diagnosis
from orchestrator.registry import sessions as registry

if TYPE_CHECKING:
    from ecosystem.contract.alerts import Alert
    from orchestrator.reconcile.loop import Reconciler
    from orchestrator.registry.database import Database
    from orchestrator.registry.rows import SessionRow


class Diagnosis:
    """`kill_timeout_s`: the settings' own."""

    def __init__(self, reconciler: Reconciler, database: Database, *, kill_timeout_s: float) -> None:
        self._reconciler = reconciler
        self._database = database
        self._kill_timeout_s = kill_timeout_s

    async def alerts(self, session_id: str | None, *, standing: bool, limit: int) -> list[Alert]:
        """The newest first; of one session where its own key asks. Raises RegistryDown."""
        async with self._database.use() as connection:
            return await diagnosis.alerts(connection, session_id=session_id, standing=standing, limit=limit)

    async def policy(self, session_id: str) -> PolicyView:
        """Raises SessionNotFound, RegistryDown."""
        async with self._database.use() as connection:
            row = await registry.get(connection, session_id)
        return self._view(_found(row, session_id))

    async def set_policy(self, session_id: str, rules: RestartRules) -> PolicyView:
        """Replaces the session's rules; they hold from now on, `kill_timeout_s` and `stop_exit_codes` from its next worker.

        Raises InvalidRequest, SessionNotFound, RegistryDown.
        """
        check_cron(rules.cron_restart or "")
        async with self._database.transaction() as connection:
            _found(await registry.get(connection, session_id, lock=True), session_id)
            await diagnosis.set_rules(connection, session_id, rules)
            row = _found(await registry.get(connection, session_id), session_id)
        self._reconciler.fleet.learn(row)
        self._reconciler.poke()
        return self._view(row)

    def _view(self, row: SessionRow) -> PolicyView:
        policy = self._reconciler.fleet.policy.of(row.rules)
        effective = RestartRules(
            priority=row.rules.priority,
            max_restarts=policy.max_restarts,
            min_uptime_s=policy.min_uptime_s,
            restart_delay_s=policy.delay_s,
            restart_delay_max_s=policy.delay_max_s,
            max_memory_bytes=policy.max_memory_bytes,
            cron_restart=policy.cron_restart,
            kill_timeout_s=row.rules.kill_timeout_s or self._kill_timeout_s,
            stop_exit_codes=list(policy.stop_exit_codes),
        )
        return PolicyView(session_id=row.session_id, own=row.rules, effective=effective)


def _found(row: SessionRow | None, session_id: str) -> SessionRow:
    if row is None:
        raise SessionNotFound(session_id=session_id)
    return row

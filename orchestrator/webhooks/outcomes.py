"""Writes outcomes of one target's deliveries: those that come while a write is under way go together in the next one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecosystem.contract.webhook import DeliveryState
from ecosystem.contract.webhook_events import DeadReason
from orchestrator.registry import deadletters, deliveries
from orchestrator.webhooks.circuit import Outcome

if TYPE_CHECKING:
    from orchestrator.registry.database import Database
    from orchestrator.webhooks.circuit import Circuit


class Recorder:
    """`write` returns once its outcome is in the database."""

    def __init__(self, database: Database, target_id: str) -> None:
        self._database = database
        self._target_id = target_id
        self._waiting: list[tuple[deliveries.Result, asyncio.Future[None]]] = []
        self._circuit: Circuit
        self._succeeded = self._failed = False
        self._error: str | None = None
        self._writer: asyncio.Task[None] | None = None

    async def write(self, result: deliveries.Result, circuit: Circuit, outcome: Outcome, error: str | None) -> None:
        """Raises RegistryDown: the outcome is not known to anybody else then, and the delivery will be repeated."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, written))
        self._circuit = circuit
        self._succeeded |= outcome is Outcome.DELIVERED
        self._failed |= outcome is not Outcome.DELIVERED
        self._error = error or self._error
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name=f"outcomes of {self._target_id}")
        await written

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            health = deliveries.Health(
                failures=self._circuit.failures,
                trips=self._circuit.trips,
                pause_s=self._circuit.pause_s if self._circuit.is_open else None,
                succeeded=self._succeeded,
                failed=self._failed,
                error=self._error,
            )
            self._succeeded, self._failed, self._error = False, False, None
            try:
                async with self._database.transaction() as connection:
                    await deliveries.record(connection, self._target_id, [result for result, _ in batch], health)
                    dead = sum(result.state is DeliveryState.DEAD for result, _ in batch)
                    await deadletters.tell(connection, self._target_id, dead, DeadReason.REFUSED)
            except Exception as error:
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
            else:
                for _, written in batch:
                    if not written.done():
                        written.set_result(None)

"""Delivers everything of one target that is due: in order within a chat, several chats at once, while the lease is held.

Nobody else delivers to the target meanwhile. A chat goes on only after the outcome before it was written, so whoever takes over
after a kill repeats at most what was under way, and never overtakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from yarl import URL

from ecosystem.contract.errors import DomainError
from ecosystem.contract.events import Event
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.webhook import DeliveryState
from orchestrator.registry import deliveries, webhooks
from orchestrator.webhooks.circuit import (
    CLOSED,
    Circuit,
    Outcome,
    Tried,
    advance,
    half_opened,
    is_given_up,
    judge,
    retry_pause_s,
)
from orchestrator.webhooks.outcomes import Recorder
from orchestrator.webhooks.payload import Recipient, build
from orchestrator.webhooks.sender import Answer

if TYPE_CHECKING:
    from orchestrator.registry.database import Database
    from orchestrator.registry.deliveries import Due
    from orchestrator.registry.secrets import SecretBox
    from orchestrator.registry.webhooks import TargetRow
    from orchestrator.webhooks.limits import Limits
    from orchestrator.webhooks.sender import Sender

LEASE_S: Final = 15.0
RENEW_EVERY_S: Final = 4.0
PORTION: Final = 128
WAITS_AFTER_S: Final = 1.0
"""A target of which nothing came for so long, while something was asked of it, is one that waits."""
LOOK_AGAIN_S: Final = 0.5
"""While some chats are busy, how often others are looked for."""
_LOG: Final = logging.getLogger(__name__)


class Tools(NamedTuple):
    """What drains share."""

    database: Database
    sender: Sender
    box: SecretBox
    limits: Limits


class Drain:
    """One round for one target. `run` once; `stop` lets what is under way finish and hands the rest over."""

    def __init__(self, target_id: str, tools: Tools) -> None:
        self.target_id = target_id
        self._tools = tools
        self._owner = new_ulid()
        self._stopping = False
        self._lost = False
        self._recorder = Recorder(tools.database, target_id)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._circuit = CLOSED
        self._good_at: float | None = None
        self._got_on_at = time.monotonic()
        self._valid_until = 0.0
        self._target: TargetRow
        self._url: URL
        self._recipient: Recipient

    def __repr__(self) -> str:
        return f"<Drain of {self.target_id}, {len(self._busy)} chats busy>"

    @property
    def is_waiting(self) -> bool:
        """Whether the target has been silent for a while. Called from any thread."""
        return time.monotonic() - self._got_on_at > WAITS_AFTER_S

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True

    async def run(self) -> bool:
        """Drains until nothing is due; False when somebody else holds the lease, or nothing may be sent. Raises RegistryDown."""
        asked = time.monotonic()
        async with self._tools.database.transaction() as connection:
            target = await webhooks.acquire(connection, self.target_id, self._owner, LEASE_S)
        if target is None:
            return False
        self._valid_until = asked + LEASE_S
        self._take(target)
        self._circuit = Circuit(target.failures, target.trips)
        if target.probe_due:
            self._circuit = half_opened(self._circuit)
        renewing = asyncio.create_task(self._keep_lease(), name=f"lease of {self.target_id}")
        try:
            await self._drain()
        finally:
            renewing.cancel()
            await self._end_busy()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
        return True

    def _take(self, target: TargetRow) -> None:
        box = self._tools.box
        self._target = target
        self._url = URL(target.url)
        headers = msgspec.json.decode(box.open(target.headers_encrypted), type=dict[str, str])
        self._recipient = Recipient(target.format, box.open(target.secret_encrypted), headers)

    # --- the lease

    async def _keep_lease(self) -> None:
        """Renews until cancelled; while the database is away the lease still counts until it would have run out."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            asked = time.monotonic()
            try:
                async with self._tools.database.use() as connection:
                    target = await webhooks.renew(connection, self.target_id, self._owner, LEASE_S)
            except DomainError:
                continue
            if target is None:
                # Somebody else's by now, disabled or deleted: what is under way may end, nothing new begins.
                self._lost = True
                return
            self._valid_until = asked + LEASE_S
            self._take(target)

    @property
    def _holds(self) -> bool:
        return not self._lost and time.monotonic() < self._valid_until

    @property
    def _may_send(self) -> bool:
        return self._holds and not self._stopping and not self._circuit.is_open

    # --- the rounds

    async def _drain(self) -> None:
        while True:
            await self._round()
            if self._stopping or not self._holds:
                async with self._tools.database.use() as connection:
                    await webhooks.hand_over(connection, self.target_id, self._owner)
                return
            if await self._rest():
                return
            if self._circuit.is_open:
                # Its pause was over before the last request under way had ended.
                self._circuit = half_opened(self._circuit)

    async def _round(self) -> None:
        """Sends until nothing is due, or nothing may be sent any more."""
        while self._may_send:
            if len(self._busy) < self._width:
                await self._begin_chats()
            if not self._busy:
                return
            await self._wait(LOOK_AGAIN_S)
        while self._busy:
            await self._wait(None)

    async def _wait(self, timeout: float | None) -> None:
        done, _ = await asyncio.wait(self._busy.values(), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for lane in [lane for lane, task in self._busy.items() if task in done]:
            self._busy.pop(lane).result()

    @property
    def _width(self) -> int:
        """Chats at once; a half-open circuit lets one request through."""
        return 1 if self._circuit.trips else self._tools.limits.chats_at_once

    async def _rest(self) -> bool:
        async with self._tools.database.transaction() as connection:
            return await webhooks.rest(connection, self.target_id, self._owner)

    async def _begin_chats(self) -> None:
        """Starts chats where there is room, those with the fewest tries first: a hopeless event must not be every probe."""
        async with self._tools.database.use() as connection:
            rows = await deliveries.claimable(connection, self.target_id, busy=list(self._busy), limit=PORTION)
        chats: dict[str, list[Due]] = {}
        for row in rows:
            chats.setdefault(row.lane, []).append(row)
        fresh_first = sorted(chats.items(), key=lambda item: item[1][0].attempts)
        for lane, waiting in fresh_first[: self._width - len(self._busy)]:
            self._busy[lane] = asyncio.create_task(self._send_chat(waiting), name=f"chat of {self.target_id}")

    async def _end_busy(self) -> None:
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        await self._recorder.close()

    async def _send_chat(self, waiting: list[Due]) -> None:
        """One after the other, until one fails or nothing may be sent any more."""
        for row in waiting:
            if not self._may_send:
                return
            if not await self._send(row) or self._circuit.trips:
                return

    # --- one delivery

    async def _send(self, row: Due) -> bool:
        """One try and the writing of its outcome. True: the chat may go on."""
        target, began = self._target, time.monotonic()
        try:
            event = msgspec.json.decode(row.body, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            await self._bury_unreadable(row)
            return True
        request = build(event, self._recipient, delivery=str(row.id), attempt=row.attempts + 1, now=datetime.now(UTC))
        timeout_s = target.timeout_s or self._tools.limits.timeout_s
        answer = await self._tools.sender.post(
            self._url, request, timeout_s=timeout_s, allow_private=target.allow_private
        )
        self._got_on_at = time.monotonic()
        outcome = judge(answer.code)
        state = self._state_after(row, outcome, began)
        before = self._circuit
        chance = random.random()  # noqa: S311 -- jitter
        self._circuit = advance(before, outcome, chance, code=answer.code, retry_after_s=answer.retry_after_s)
        if outcome is Outcome.DELIVERED:
            self._good_at = time.monotonic()
        self._log(row, answer, state, before)
        await self._recorder.write(self._result(row, state, answer), self._circuit, outcome, answer.error)
        if outcome is Outcome.GONE:
            await self._give_up_target()
        elif before.trips and self._circuit == CLOSED:
            async with self._tools.database.use() as connection:
                await deliveries.release_waiting(connection, self.target_id)
        return state is not DeliveryState.PENDING

    async def _bury_unreadable(self, row: Due) -> None:
        """What another version stored and this one cannot read must not hold up its chat; a later version may replay it."""
        answer = Answer(None, 0, "this version cannot read the stored event")
        self._log(row, answer, DeliveryState.DEAD, self._circuit)
        await self._recorder.write(
            self._result(row, DeliveryState.DEAD, answer), self._circuit, Outcome.REFUSED, answer.error
        )

    def _state_after(self, row: Due, outcome: Outcome, began: float) -> DeliveryState:
        if outcome is Outcome.DELIVERED:
            return DeliveryState.DELIVERED
        if outcome is Outcome.GONE:
            return DeliveryState.PENDING
        first_ago_s = row.first_ago_s or 0.0
        tried = Tried(
            attempts=row.attempts + 1,
            outcome=outcome,
            first_ago_s=first_ago_s,
            age_s=row.age_s,
            others_pass=self._others_passed_since(began - first_ago_s),
        )
        target, limits = self._target, self._tools.limits
        retry_count = limits.retry_count if target.retry_count is None else target.retry_count
        given_up = is_given_up(tried, retry_count=retry_count, give_up_s=limits.give_up_s)
        return DeliveryState.DEAD if given_up else DeliveryState.PENDING

    def _others_passed_since(self, first: float) -> bool:
        """Whether the target took any event since then; its last success of earlier rounds counts too."""
        if self._good_at is not None and self._good_at >= first:
            return True
        before = self._target.last_success_at
        return before is not None and (datetime.now(UTC) - before).total_seconds() < time.monotonic() - first

    def _result(self, row: Due, state: DeliveryState, answer: Answer) -> deliveries.Result:
        return deliveries.Result(
            id=row.id,
            session_id=row.session_id,
            state=state,
            pause_s=retry_pause_s(row.attempts + 1, random.random(), answer.retry_after_s),  # noqa: S311
            code=answer.code,
            took_ms=answer.took_ms,
            error=answer.error,
        )

    async def _give_up_target(self) -> None:
        """410 Gone: nothing is sent until somebody enables the target again; what waits stays."""
        self._lost = True
        async with self._tools.database.use() as connection:
            await webhooks.mark_gone(connection, self.target_id, "the target answered 410 Gone")
        _LOG.warning("webhook_gone", extra={"webhook_id": self.target_id})

    def _log(self, row: Due, answer: Answer, state: DeliveryState, before: Circuit) -> None:
        about = {"webhook_id": self.target_id, "session_id": row.session_id, "event_id": row.event_id}
        told = {**about, "attempt": row.attempts + 1, "code": answer.code, "took_ms": answer.took_ms}
        if state is DeliveryState.DELIVERED:
            _LOG.debug("webhook_delivered", extra=told)
        elif state is DeliveryState.DEAD:
            _LOG.error("webhook_dead_letter", extra={**told, "error": answer.error})
        else:
            _LOG.info("webhook_failed", extra={**told, "error": answer.error})
        if self._circuit.is_open and not before.is_open:
            pause_s = round(self._circuit.pause_s, 1)
            _LOG.warning("webhook_circuit_opened", extra={"webhook_id": self.target_id, "pause_s": pause_s})
        elif before.trips and self._circuit == CLOSED:
            _LOG.info("webhook_circuit_closed", extra={"webhook_id": self.target_id})

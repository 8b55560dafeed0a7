"""The middle of the server: who is connected, how a stanza reaches a device, and what happened that somebody may ask about."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from ecosystem.sandbox.chat.faultbook import Fault, FaultBook
from ecosystem.sandbox.codec.node import StanzaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from ecosystem.sandbox.chat.link import Companion, Handset, Link
    from ecosystem.sandbox.codec.node import Node
    from ecosystem.sandbox.state.records import Device
    from ecosystem.sandbox.state.world import World

log = logging.getLogger(__name__)

_MAX_NOTES: Final = 200


class Pulse:
    """Wakes everybody who waits for something to have happened. Whoever wakes looks for himself at what it was."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        beat, self._next = self._next, asyncio.Event()
        beat.set()

    async def until(self, condition: Callable[[], object], timeout: float) -> bool:
        """Waits until the condition is truthy, at most `timeout` seconds; says whether it is."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._next.wait()
        except TimeoutError:
            return bool(condition())
        return True


class Report:
    """What went by that should not have, and what was asked of us: counted, bounded, shown by the control API."""

    def __init__(self) -> None:
        self.unanswered: Counter[str] = Counter()
        self.errors: deque[str] = deque(maxlen=_MAX_NOTES)
        self.dialled: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def unknown(self, what: str) -> None:
        """A stanza without an answer. `what` names its shape, never its values."""
        if what in self.unanswered or len(self.unanswered) < _MAX_NOTES:
            self.unanswered[what] += 1
        log.warning("stanza without an answer: %s", what)

    def error(self, what: str) -> None:
        self.errors.append(what)
        log.error("%s", what)

    def knock(self) -> None:
        """Somebody opened a connection to the front door, whether or not it was let in."""
        self.counts["knocks"] += 1

    def dial(self, host: str) -> None:
        if host in self.dialled or len(self.dialled) < _MAX_NOTES:
            self.dialled[host] += 1


class Hub:
    """One server's live side. Everything that survives a restart is in `world`, everything else is here."""

    def __init__(self, world: World, *, media_host: str) -> None:
        self.world = world
        self.faults = FaultBook(world)
        self.report = Report()
        self.pulse = Pulse()
        self.media_host = media_host
        self.connections: set[Companion] = set()
        self.online: dict[str, Companion] = {}
        """Logged-in connections by device key."""
        self.references: dict[str, Companion] = {}
        """Connections by the QR references they were given."""
        self.handsets: Mapping[str, Handset] = {}
        self.subscribers: dict[str, set[str]] = {}
        """Device keys that want to know when a number comes and goes."""
        self.live_updates: dict[str, dict[str, float]] = {}
        """Newsletter → the device keys told of views and reactions there, and until when (monotonic seconds)."""
        self.present: set[str] = set()
        """Numbers that are online for others."""
        self.typing: dict[tuple[str, str], str] = {}
        """Who is typing to whom, by their numbers (or a group's id): the last chat state, `composing` or `paused`."""
        self.held_acks: list[tuple[Link, Node]] = []
        self.keep_blob: Callable[[bytes], Awaitable[str]] = _nowhere
        """Puts a blob on the media host; its direct path."""
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Runs something aside. What it raises is reported; what is left at the end is cancelled."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report.error(f"{task.get_name()}: {type(error).__name__}: {error}")

    async def cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- reaching devices

    def push(self, device: Device, stanza: Node) -> None:
        """Hands a stanza to a device now, and keeps it until the device says it has it. The phone has it at once."""
        if device.id == 0:
            handset = self.handsets.get(device.number)
            if handset is not None:
                handset.incoming(stanza)
            return
        self.world.keep_pending(device, stanza)
        self.tell(device, stanza)

    def tell(self, device: Device, stanza: Node) -> None:
        """Hands a stanza to a device if it is there, and forgets it."""
        connection = self.online.get(device.key)
        if connection is not None and connection.active:
            connection.send(stanza)

    def connections_of(self, number: str, device: int | None = None) -> list[Companion]:
        """The logged-in connections of a number ("" for everybody)."""
        return [
            connection
            for connection in self.online.values()
            if (not number or connection.device.number == number) and (device is None or connection.device.id == device)
        ]

    def acknowledge(self, link: Link, ack: Node) -> None:
        """Acknowledges a message, or holds the acknowledgement while that fault stands."""
        if self.faults.hits(Fault.HOLD_ACKS, link.account.number):
            self.held_acks.append((link, ack))
        else:
            link.send(ack)

    def release_acks(self) -> None:
        """Sends what was held and is held no longer."""
        held, self.held_acks = self.held_acks, []
        for link, ack in held:
            try:
                self.acknowledge(link, ack)
            except StanzaError:
                log.debug("an acknowledgement nobody waits for any more: that connection is gone")


async def _nowhere(_blob: bytes) -> str:
    raise RuntimeError("this hub has no media host")


def masked(number: str) -> str:
    """A number for logs."""
    return f"…{number[-4:]}"

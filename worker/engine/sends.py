"""Messages on their way to WhatsApp, one at a time: whose turn it is, how long one takes, and what came of it late."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import WhatsAppTimeout
from worker.engine import protocol as say
from worker.engine import translate
from worker.engine.failures import understand
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.engine.binding import Binding

log = logging.getLogger(__name__)

SEND_TIMEOUT_S: Final = 30.0
"""After this a send is answered with whatsapp_timeout; the library may hold on to it up to 75 s and still succeed."""
SEND_QUEUE_TIMEOUT_S: Final = 45.0


class Sends:
    """The library sends one at a time anyway; waiting here keeps its threads free and the wait bounded.

    `tell` hears, in the loop, of a send that ended after its caller had stopped waiting.
    """

    def __init__(self, tell: Callable[[say.EngineEvent], None]) -> None:
        self._tell = tell
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="send")
        self.waiting = 0
        """How many are queued or under way."""
        self._turn = asyncio.Lock()
        self._key: str | None = None
        self._since: float | None = None

    @property
    def age_s(self) -> float:
        """How long the message under way has been with WhatsApp, given up on or not; 0 while there is none."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def is_under_way(self, key: str) -> bool:
        """Whether a send with that key is with WhatsApp now, perhaps given up on."""
        return self._key == key

    async def send(self, binding: Binding, outgoing: say.Outgoing) -> say.Sent:
        """Sends, once it has its turn. Raises as Engine.send."""
        self.waiting += 1
        try:
            await self._take_turn()
            return await self._send(binding, outgoing)
        finally:
            self.waiting -= 1

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(SEND_QUEUE_TIMEOUT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise WhatsAppTimeout(
                "earlier messages are still waiting for WhatsApp's answer; this one was not sent", hint="send it again"
            ) from None

    async def _send(self, binding: Binding, outgoing: say.Outgoing) -> say.Sent:
        """Has the turn. It ends when the library comes back, not when the caller stops waiting."""
        to = translate.native_jid(outgoing.to).SerializeToString()
        work = asyncio.get_running_loop().run_in_executor(self.thread, binding.send, to, outgoing.content)
        self._key, self._since = outgoing.key, time.monotonic()
        work.add_done_callback(self._over)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return _sent(await asyncio.shield(work))
        except (TimeoutError, asyncio.CancelledError) as error:
            work.add_done_callback(lambda done: self._came_late(outgoing, done))
            if isinstance(error, asyncio.CancelledError):
                raise
            raise WhatsAppTimeout(
                "WhatsApp has not confirmed the message yet; it may still go out",
                hint="look for it in the chat's messages before sending it again",
            ) from None

    def _over(self, _: asyncio.Future[bytes]) -> None:
        self._key = self._since = None
        self._turn.release()

    def _came_late(self, outgoing: say.Outgoing, done: asyncio.Future[bytes]) -> None:
        try:
            sent = _sent(done.result())
        except Exception as error:
            log.info("engine_late_send_failed", extra={"error": str(error)})
            if not isinstance(error, WhatsAppTimeout):
                self._tell(say.LostLate(outgoing=outgoing))
            return
        self._tell(say.SentLate(outgoing=outgoing, sent=sent))


def _sent(data: bytes) -> say.Sent:
    answer = neonize.SendMessageReturnFunction.FromString(data)
    if answer.Error:
        raise understand(answer.Error)
    return say.Sent(message_id=answer.SendResponse.ID, timestamp=translate.moment(answer.SendResponse.Timestamp))

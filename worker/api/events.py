"""`/events`: the session's events once more, out of the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from ecosystem.contract.events import Event
from ecosystem.contract.outbox import EventPage
from ecosystem.web import read_query
from worker.api.edge import STORE, Routes, success
from worker.store import outbox_log

if TYPE_CHECKING:
    from aiohttp import web

SEQ_MAX: Final = (1 << 63) - 1
LIMIT_BYTES: Final = 512 << 10


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `GET /events`: numbers between these two, both excluded."""

    after_seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)] = 0
    before_seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)] = SEQ_MAX
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


async def page(request: web.Request) -> web.Response:
    """`GET /events`: an EventPage of what the outbox still has (sent events stay in it for days)."""
    wanted = read_query(request, Range)
    database = request.app[STORE].database

    def read() -> tuple[list[bytes], bool]:
        with database.reading() as db:
            return outbox_log.between(
                db, wanted.after_seq, wanted.before_seq, limit=wanted.limit, limit_bytes=LIMIT_BYTES
            )

    bodies, more = await database.run(read)
    return success("Events", EventPage([msgspec.json.decode(body, type=Event) for body in bodies], more))


ROUTES: Final[Routes] = (("GET", "/events", page),)

"""`/call/…`: calls that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import CallEnded, InvalidRequest
from ecosystem.contract.people import RejectCall
from worker.api.addresses import parse_person
from worker.api.edge import SESSION, STORE, Routes, success
from worker.api.forms import read_fields
from worker.engine.operations import chats

if TYPE_CHECKING:
    from aiohttp import web

CALL_ID_MAX: Final = 128


async def reject(request: web.Request) -> web.Response:
    """`POST /call/reject`: declines a call while it rings. One that this worker saw end is refused."""
    body = await read_fields(request, RejectCall)
    caller = parse_person(body.caller_jid, field="caller_jid")
    call_id = body.call_id.strip()
    if not call_id or len(call_id) > CALL_ID_MAX or not call_id.isascii() or not call_id.isprintable():
        raise InvalidRequest("call_id must be the id the event `call` told", field="call_id")
    session, store = request.app[SESSION], request.app[STORE]
    session.must_be_authenticated()
    known = await store.calls.find(call_id)
    if known is not None and known.state != "ringing":
        raise CallEnded(field="call_id", state=known.state)
    await session.do(chats.reject_call, caller, call_id)
    await store.calls.end(call_id)
    return success("Call rejected successfully")


ROUTES: Final[Routes] = (("POST", "/call/reject", reject),)

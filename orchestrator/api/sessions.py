"""`/sessions` and, the same again, `/api/sessions`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import segno
from aiohttp import web

from ecosystem.contract.errors import ReservedSessionId, RouteNotFound
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.session import PairPhone, SessionDetail, SessionView, UpdateSession
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import DeleteQuery, HistoryQuery, ListQuery, LogsQuery, NoQuery, QrQuery, WaitQuery
from orchestrator.api.streams import stream_lines

if TYPE_CHECKING:
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.sessions.pairing import Pairing
    from orchestrator.sessions.service import SessionOrchestrator

PREFIXES: Final = ("/sessions", "/api/sessions")
QR_SCALE: Final = 8
"""Pixels per module of the picture."""
_NO_STORE: Final = {"Cache-Control": "no-store"}


class SessionRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, sessions: SessionOrchestrator, pairing: Pairing, processes: ProcessManager) -> None:
        self._sessions = sessions
        self._pairing = pairing
        self._processes = processes

    def add_routes(self, app: web.Application) -> None:
        for prefix in PREFIXES:
            one = f"{prefix}/{{session}}"
            app.add_routes(
                [
                    web.get(prefix, self.page),
                    web.get(one, self.get),
                    web.put(one, self.update),
                    web.patch(one, self.update),
                    web.delete(one, self.delete),
                    web.post(f"{one}/start", self.start),
                    web.post(f"{one}/connect", self.start),
                    web.post(f"{one}/stop", self.stop),
                    web.post(f"{one}/disconnect", self.stop),
                    web.post(f"{one}/restart", self.restart),
                    web.post(f"{one}/logout", self.logout),
                    web.get(f"{one}/status", self.get),
                    web.get(f"{one}/qr", self.qr),
                    web.post(f"{one}/pairphone", self.pairphone),
                    web.get(f"{one}/logs", self.logs),
                    web.get(f"{one}/history", self.history),
                ]
            )

    async def page(self, request: web.Request) -> web.StreamResponse:
        only = caller_of(request).session_id
        return json_response(await self._sessions.page(read_query(request, ListQuery).listing(only)))

    async def get(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(in_detail(await self._sessions.get(session_in(request))))

    async def update(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        session_id = session_in(request)
        return json_response(await self._sessions.update(session_id, await read_body(request, UpdateSession)))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, DeleteQuery)
        session_id = session_in(request)
        gone = await self._sessions.delete(session_id, logout=query.logout, wait_s=query.wait)
        return (
            web.Response(status=204)
            if gone
            else json_response({"session_id": session_id, "deleting": True}, status=202)
        )

    async def start(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, WaitQuery)
        return json_response(await self._sessions.start(session_in(request), wait_s=query.wait))

    async def stop(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, WaitQuery)
        return json_response(await self._sessions.stop(session_in(request), wait_s=query.wait))

    async def restart(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, WaitQuery)
        return json_response(await self._sessions.restart(session_in(request), wait_s=query.wait))

    async def logout(self, request: web.Request) -> web.StreamResponse:
        read_query(request, WaitQuery)
        return json_response(await self._sessions.logout(session_in(request)))

    async def qr(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, QrQuery)
        code = await self._pairing.qr(session_in(request), wait_s=query.wait, after_seq=query.after_seq)
        shown = query.format or _accepted(request)
        if shown == "json":
            return json_response(code, headers=_NO_STORE)
        # Whoever shows the picture must know when to ask for the next one.
        headers = {**_NO_STORE, "X-Qr-Seq": str(code.seq), "X-Qr-Expires-In": f"{code.expires_in_s:.1f}"}
        if shown == "text":
            return web.Response(text=code.text, headers=headers)
        return web.Response(body=_png(code.text), content_type="image/png", headers=headers)

    async def pairphone(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        session_id = session_in(request)
        body = await read_body(request, PairPhone)
        return json_response(await self._pairing.code(session_id, body.phone), headers=_NO_STORE)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, LogsQuery)
        row = await self._sessions.row(session_in(request))
        return await stream_lines(request, self._processes.logs(row.session_id, tail=query.tail, follow=query.follow))

    async def history(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, HistoryQuery)
        session_id = session_in(request)
        changes = await self._sessions.history(session_id, limit=query.limit)
        return json_response({"session_id": session_id, "history": changes})


def in_detail(view: SessionView) -> SessionDetail:
    """The view as the answer about this one session: with the names other gateways give its members."""
    return SessionDetail(
        **{name: getattr(view, name) for name in SessionView.__struct_fields__},
        same_session_id=view.session_id,
        same_jid=view.jid,
        same_created_at=view.created_at,
        same_connected_at=view.last_connected_at,
        same_active_at=view.last_active_at,
    )


def session_in(request: web.Request) -> str:
    """The id in the path. Raises InvalidSessionId, or RouteNotFound for a word no session can have."""
    try:
        return parse_session_id(request.match_info["session"])
    except ReservedSessionId:
        raise RouteNotFound(f"there is nothing at {request.path}") from None


def _accepted(request: web.Request) -> str:
    """The form a client asks for by its Accept header; JSON where it does not care."""
    for part in request.headers.get("Accept", "").lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind in ("image/png", "image/*"):
            return "png"
        if kind == "text/plain":
            return "text"
        if kind in ("application/json", "*/*"):
            return "json"
    return "json"


def _png(text: str) -> bytes:
    picture = io.BytesIO()
    segno.make(text, error="l", micro=False).save(picture, kind="png", scale=QR_SCALE, border=4)
    return picture.getvalue()

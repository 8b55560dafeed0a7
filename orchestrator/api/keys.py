"""`/keys`, `/sessions/{id}/keys`, `/whoami`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ecosystem.contract.access import CreateKey, Identity, RotateKey
from ecosystem.contract.errors import InvalidRequest
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import NoQuery
from orchestrator.api.sessions import PREFIXES, session_in

if TYPE_CHECKING:
    from orchestrator.access.keyring import Keyring
    from orchestrator.access.rotation import SecretKeyRotation
    from orchestrator.sessions.keys import KeyService

_NO_STORE: Final = {"Cache-Control": "no-store"}


class KeyRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, keys: KeyService, keyring: Keyring, rotation: SecretKeyRotation) -> None:
        self._keys = keys
        self._keyring = keyring
        self._rotation = rotation

    def add_routes(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.get("/whoami", self.whoami),
                web.get("/keys", self.every),
                web.post("/keys", self.issue),
                web.delete("/keys/{key_id}", self.revoke),
                web.post("/keys/{key_id}/rotate", self.rotate),
                web.post("/secret-key/rotate", self.rotate_secret_key),
            ]
        )
        for prefix in PREFIXES:
            path = f"{prefix}/{{session}}/keys"
            app.add_routes([web.get(path, self.of_session), web.post(path, self.issue_for_session)])

    async def whoami(self, request: web.Request) -> web.StreamResponse:
        """What the presented key is and may do."""
        read_query(request, NoQuery)
        caller = caller_of(request)
        row = self._keyring.by_id(caller.key_id)
        identity = Identity(
            kind=caller.kind.value,
            key_id=caller.key_id,
            name=caller.name,
            session_id=caller.session_id,
            scopes=caller.scopes,
            expires_at=row.expires_at if row is not None else None,
        )
        return json_response(identity, headers=_NO_STORE)

    async def every(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._keys.every())

    async def of_session(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._keys.of_session(session_in(request)))

    async def issue(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        body = await read_body(request, CreateKey)
        return json_response(await self._keys.issue(body, by=caller_of(request).key_id), status=201, headers=_NO_STORE)

    async def issue_for_session(self, request: web.Request) -> web.StreamResponse:
        """Raises InvalidRequest when the body names another session than the path."""
        read_query(request, NoQuery)
        session_id = session_in(request)
        body = await read_body(request, CreateKey)
        if body.session_id not in (None, session_id):
            raise InvalidRequest("session_id is not that of the path", field="session_id")
        body = msgspec.structs.replace(body, session_id=session_id)
        return json_response(await self._keys.issue(body, by=caller_of(request).key_id), status=201, headers=_NO_STORE)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._keys.revoke(request.match_info["key_id"]))

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        body = await read_body(request, RotateKey, empty=b"{}")
        issued = await self._keys.rotate(
            request.match_info["key_id"], overlap_s=body.overlap_s, by=caller_of(request).key_id
        )
        return json_response(issued, status=201, headers=_NO_STORE)

    async def rotate_secret_key(self, request: web.Request) -> web.StreamResponse:
        """Every stored secret under a new key."""
        read_query(request, NoQuery)
        return json_response(await self._rotation.rotate())

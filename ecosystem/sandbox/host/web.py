"""The TLS host behind the door: the chat endpoint, the media host and the profile pictures, by path whatever the host name.

Source of the paths: observed against neonize 0.5.2. A direct path must start with a slash and already contain a question mark:
the client appends its parameters with an ampersand.
"""

from __future__ import annotations

import hashlib
import urllib.parse
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.sandbox.chat.connection import Connection
from ecosystem.sandbox.chat.queries import MEDIA_AUTH
from ecosystem.sandbox.host.blobs import digest_of, token_of

if TYPE_CHECKING:
    import ssl

    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.crypto.noise import ServerKeys
    from ecosystem.sandbox.host.blobs import BlobStore

MAX_BLOB_BYTES: Final = 256 << 20
_SHUTDOWN_S: Final = 1.0


def direct_path(digest: bytes) -> str:
    """Where a blob can be fetched from the media host."""
    return f"/v/t62.7118-24/{urllib.parse.quote(token_of(digest), safe='')}?ccb=11-4"


class WebHost:
    """Serves TLS on an ephemeral loopback port."""

    def __init__(self, hub: Hub, keys: ServerKeys, blobs: BlobStore) -> None:
        self._hub = hub
        self._keys = keys
        self._blobs = blobs
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, context: ssl.SSLContext) -> None:
        app = web.Application(client_max_size=MAX_BLOB_BYTES)
        app.add_routes(
            [
                web.get("/ws/chat", self._chat),
                web.post("/mms/{kind}/{token}", self._upload),
                web.delete("/mms/{kind}/{token}", self._delete),
                web.get("/v/t62.7118-24/{token}", self._download),
                web.get("/pps/{number}", self._picture),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Cuts every connection, then stops listening."""
        for connection in list(self._hub.connections):
            connection.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress=False, heartbeat=None)
        await socket.prepare(request)
        connection = Connection(self._hub, self._keys, socket, request)
        self._hub.connections.add(connection)
        await connection.run()
        return socket

    # -- media

    async def _upload(self, request: web.Request) -> web.Response:
        if request.query.get("auth") != MEDIA_AUTH:
            return web.Response(status=401)
        blob = await request.read()
        digest = digest_of(request.match_info["token"])
        if digest != hashlib.sha256(blob).digest():
            self._hub.report.error("a media upload does not have the hash it is named after")
            return web.Response(status=400)
        await self._blobs.put(blob)
        self._hub.report.counts["uploads"] += 1
        path = direct_path(digest)
        return web.json_response({"url": f"https://{self._hub.media_host}{path}", "direct_path": path})

    async def _download(self, request: web.Request) -> web.Response:
        digest = digest_of(request.match_info["token"])
        blob = await self._blobs.get(digest) if digest else None
        if blob is None:
            return web.Response(status=404)
        self._hub.report.counts["downloads"] += 1
        return web.Response(body=blob, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        digest = digest_of(request.match_info["token"])
        if digest is not None:
            await self._blobs.remove(digest)
        return web.Response(status=204)

    async def _picture(self, request: web.Request) -> web.Response:
        world, name = self._hub.world, request.match_info["number"]
        owner = world.accounts.get(name) or world.groups.get(name)
        if owner is None or not owner.picture_id:
            return web.Response(status=404)
        return web.Response(body=owner.picture, content_type="image/jpeg")

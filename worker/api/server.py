"""The worker's aiohttp application and the port it listens on."""

from __future__ import annotations

import errno
import functools
import socket
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.worker import MediaLimits
from ecosystem.serving import Bounds, Runner
from ecosystem.web import QUIET_PATHS, install
from worker.api import (
    about,
    calls,
    chats,
    edge,
    events,
    groups,
    health,
    messages,
    newsletters,
    outbound,
    send,
    sendmedia,
    users,
)
from worker.api import access as access_routes
from worker.api import app as app_routes
from worker.api.access import ACCESS, Access, guard, rate_headers
from worker.ending import WorkerEnd
from worker.media.files import MediaFolder
from worker.media.scratch import Scratch
from worker.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware

    from ecosystem.contract.heartbeat import Heartbeat
    from worker.heartbeat import ApiMeter
    from worker.session import Session
    from worker.store.session_store import SessionStore

BODY_MAX_BYTES: Final = 1 << 20
SCRATCH_FOLDER: Final = "tmp"
MEDIA_FOLDER: Final = "media"
BOUNDS: Final = Bounds(connections_max=512)
_BACKLOG: Final = 64
UNCOUNTED: Final = QUIET_PATHS | {"/access"}
"""Paths whose requests are nobody's use of the session."""

ROUTES: Final[edge.Routes] = (
    *access_routes.ROUTES,
    *health.ROUTES, *app_routes.ROUTES, *send.ROUTES, *messages.ROUTES, *chats.ROUTES, *events.ROUTES, *about.ROUTES,
    *users.ROUTES, *groups.ROUTES, *newsletters.ROUTES, *calls.ROUTES,
)  # fmt: skip


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, made before the engine starts. Raises WorkerEnd: PORT_BUSY, or BAD_SPEC for an impossible address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][0]
    except (socket.gaierror, OverflowError, UnicodeError) as error:
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"host: {host}: {error}") from error
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setblocking(False)
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise WorkerEnd(WorkerExit.PORT_BUSY, f"port {port} on {host} is taken: {error.strerror}") from error
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return found


def build(
    session: Session,
    store: SessionStore,
    *,
    snapshot: Callable[[], Heartbeat],
    access: Access,
    folder: Path,
    limits: MediaLimits | None = None,
    meter: ApiMeter | None = None,
) -> web.Application:
    """The application with every route. `folder` is the session's own: files wait in its `tmp` while they are sent."""
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    if meter is not None:
        app.middlewares.append(metered(meter))
    install(app, render=edge.failure)
    app.middlewares.append(guard(access))
    app.on_response_prepare.append(rate_headers)
    app[ACCESS] = access
    app[edge.SESSION], app[edge.STORE], app[edge.SNAPSHOT] = session, store, snapshot
    app[outbound.SENDING] = Sending(session, store)
    app[messages.FILES] = MediaFolder(folder / MEDIA_FOLDER)
    app[sendmedia.SCRATCH], app[sendmedia.LIMITS] = Scratch(folder / SCRATCH_FOLDER), limits or MediaLimits()
    # aiohttp warns of its argument `router`, though nothing in a router belongs to one application.
    app._router = router()
    return app


@functools.cache
def router() -> web.UrlDispatcher:
    """Every route. Made once, in the parent of all workers: what each of them made anew would be 0.5 MB of its own."""
    made = web.UrlDispatcher()
    for method, path, handler in ROUTES:
        made.add_route(method, path, handler)
    return made


def metered(meter: ApiMeter) -> Middleware:
    """Tells `meter` of every answer but those to probes, to the orchestrator's own pushes and to WebSockets."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in UNCOUNTED:
            return await handler(request)
        began = time.monotonic()
        meter.under_way += 1
        try:
            answer = await handler(request)
        finally:
            meter.under_way -= 1
        if answer.status != 401 and "Upgrade" not in request.headers:  # no stranger at the door
            meter.note(time.monotonic() - began, answer.status)
        return answer

    return measure


async def serve(app: web.Application, listener: socket.socket) -> web.AppRunner:
    """Starts answering; `cleanup()` of the result stops it."""
    runner = Runner(app, bounds=BOUNDS, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    return runner

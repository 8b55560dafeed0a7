"""A real HTTP server that speaks the shapes of the public API from a script, and misbehaves where told to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

KEY = "zpv_test-key"


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class Reply(NamedTuple):
    """An answer: `body` is JSON unless it is bytes; `stream` lines come one by one; `cut` breaks off after half."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 -- never changed
    stream: Iterator[bytes] | None = None
    cut: bool = False


Script = Callable[[Asked], Reply]


def problem(status: int, code: str, kind: str, detail: str = "no", **more: object) -> Reply:
    """An error answer of the control API."""
    body = {
        "status": status,
        "code": code,
        "kind": kind,
        "title": code,
        "detail": detail,
        "error": detail,
        "retryable": kind in {"unavailable", "timeout", "rate_limited"},
        **more,
    }
    return Reply(status, body, {"Content-Type": "application/problem+json"})


def view(session_id: str = "alpha", **fields: object) -> dict[str, Any]:
    """A session's view."""
    return {
        "session_id": session_id,
        "name": session_id,
        "status": "connected",
        "reason": "pairing",
        "detail": None,
        "next_step": f"scan the QR code: zapvisor qr {session_id}",
        "desired": "running",
        "generation": 1,
        "created_at": "2026-11-20T10:00:00Z",
        "updated_at": "2026-11-20T10:00:00Z",
        "port": 3001,
        "pid": 4711,
        "uptime_s": 75.0,
        "restarts": 0,
        "memory_bytes": 15_000_000,
        **fields,
    }


def page(*views: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """A page of sessions."""
    return {"sessions": list(views), "total": len(views) if total is None else total, "limit": 500, "offset": 0}


class ApiStandIn:
    """Answers requests by `METHOD /path`; what has no script is `route_not_found`. Use as a context manager."""

    def __init__(self, *, socket_path: Path | None = None) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        stand_in = self

        class Handler(_Handler):
            owner = stand_in

        if socket_path is None:
            self.server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self.url = f"http://127.0.0.1:{self.server.server_address[1]!s}"
        else:
            self.server = _UnixServer(str(socket_path), Handler)
            self.url = f"unix://{socket_path}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def on(self, route: str, *replies: Reply | Script) -> None:
        """What `METHOD /path` answers: one reply after the other, the last one for ever."""
        left = list(replies)

        def script(asked: Asked) -> Reply:
            reply = left.pop(0) if len(left) > 1 else left[0]
            return reply if isinstance(reply, Reply) else reply(asked)

        self.scripts[route] = script

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.headers.get("authorization") != f"Bearer {KEY}" and asked.path not in {"/health", "/ready"}:
            return problem(401, "api_key_unknown", "unauthenticated", "the API key is not known")
        script = self.scripts.get(f"{asked.method} {asked.path}")
        return (
            script(asked) if script else problem(404, "route_not_found", "not_found", "there is nothing at this path")
        )

    def requests(self, method: str) -> list[str]:
        """Paths asked for with `method`."""
        return [asked.path for asked in self.asked if asked.method == method]


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ApiStandIn

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "client"

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            json.loads(raw) if raw else None,
            {name.lower(): value for name, value in self.headers.items()},
        )
        self.close_connection = True
        reply = self.owner.answer(asked)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
            self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, reply: Reply) -> None:
        if reply.stream is not None:
            self._send_stream(reply, reply.stream)
            return
        if reply.body is None:
            data, kind = b"", "application/json"
        elif isinstance(reply.body, bytes):
            data, kind = reply.body, "application/octet-stream"
        else:
            data, kind = json.dumps(reply.body, ensure_ascii=False).encode(), "application/json"
        self.send_response(reply.status)
        for name, value in ({"Content-Type": kind} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if reply.cut else data)

    def _send_stream(self, reply: Reply, lines: Iterator[bytes]) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        if reply.cut:
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(b"0\r\n\r\n")


def environment(url: str, home: Path) -> dict[str, str]:
    """What a command's process gets: the server and its key, and nothing of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "ZAPVISOR_URL": url,
        "ZAPVISOR_KEY": KEY,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }

"""Calls to a worker's own API, and the one HTTP client everything to workers goes through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from yarl import URL

from ecosystem.contract.envelope import Envelope
from ecosystem.contract.errors import (
    HTTP_STATUS,
    DomainError,
    ErrorKind,
    InternalError,
    Problem,
    WorkerLost,
    WorkerTimeout,
    from_problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.reconcile.fleet import Endpoint

CONNECT_TIMEOUT_S: Final = 3.0
KEEPALIVE_S: Final = 30.0
ANSWER_LIMIT_BYTES: Final = 1 << 20
_KIND_OF: Final = {status: kind for kind, status in HTTP_STATUS.items() if kind is not ErrorKind.EXHAUSTED}


class WorkerClient:
    """Speaks to workers with the gateway's key. `session` is shared with the gateway's proxy."""

    def __init__(self, *, key: str, timeout_s: float) -> None:
        self.key = key
        self.timeout_s = timeout_s
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60),
            # The proxy bounds each phase by itself: a stream may be open for days.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self.session.close()

    async def call(
        self,
        session_id: str,
        endpoint: Endpoint,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        key: str | None = None,
    ) -> Any:
        """The `results` of a worker's answer. `body` is JSON; `key`: another one than the gateway's.

        Raises the error the worker answered with, WorkerLost or WorkerTimeout.
        """
        url = URL.build(scheme="http", host=endpoint.host, port=endpoint.port, path=path, query=dict(query or {}))
        headers = {"Authorization": f"Bearer {key or self.key}", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.request(method, url, headers=headers, data=body, allow_redirects=False) as answer,
            ):
                status, raw = answer.status, await answer.content.read(ANSWER_LIMIT_BYTES)
        except TimeoutError as error:
            raise WorkerTimeout(session_id=session_id) from error
        except (aiohttp.ClientError, OSError) as error:
            raise WorkerLost(session_id=session_id) from error
        try:
            envelope = msgspec.json.decode(raw, type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(
                f"the worker answered {path} with something unexpected", session_id=session_id
            ) from error
        if status >= 400:
            raise _error(session_id, status, envelope)
        return envelope.results


def _error(session_id: str, status: int, envelope: Envelope) -> DomainError:
    """What a worker's error answer stands for; its code decides where we know it."""
    said = envelope.results if isinstance(envelope.results, dict) else {}

    def text(name: str) -> str | None:
        value = said.get(name)
        return value if isinstance(value, str) else None

    kind = _KIND_OF.get(status, ErrorKind.INVALID if status < 500 else ErrorKind.INTERNAL)
    return from_problem(
        Problem(
            status=status,
            code=envelope.code.lower(),
            kind=kind,
            title=envelope.code,
            detail=envelope.message,
            error=envelope.message,
            retryable=False,
            hint=text("hint"),
            field=text("field"),
            session_id=session_id,
            state=text("state"),
            upstream_code=text("upstream_code"),
        )
    )

"""Lines as they come: answers that may stay open for days."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def stream_lines(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Streams `blocks` as text; ends when they do, or the client goes."""
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type, response.charset = "text/plain", "utf-8"
    await response.prepare(request)
    try:
        with contextlib.suppress(ConnectionError):
            async for block in blocks:
                await response.write(block)
            await response.write_eof()
    finally:
        # A generator left to the collector would keep its file open until then.
        close = getattr(blocks, "aclose", None)
        if close is not None:
            await close()
    return response

"""Lines as they come: answers that may stay open for days, and end when their key is good no longer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from orchestrator.access.staying import NoLongerAdmitted, a_place, farewell, while_admitted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def stream_lines(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Streams `blocks` as text; ends when they do, or the client goes, or with a line that says why the key is good no longer."""
    with a_place(request):
        return await _stream(request, blocks)


async def _stream(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type, response.charset = "text/plain", "utf-8"
    await response.prepare(request)
    try:
        with contextlib.suppress(ConnectionError):
            async with while_admitted(request):
                async for block in blocks:
                    await response.write(block)
            await response.write_eof()
    except NoLongerAdmitted as end:
        line = {"level": "warning", "program": "orchestrator", "event": "stream_ended", **end.told}
        await farewell(response, msgspec.json.encode(line) + b"\n")
    finally:
        # A generator left to the collector would keep its file open until then.
        close = getattr(blocks, "aclose", None)
        if close is not None:
            await close()
    return response

"""Whether a worker that has stopped beating hears anything at all: asked once, before it is ended."""

from __future__ import annotations

import asyncio
from typing import Final

WITHIN_S: Final = 2.0
_ASKED: Final = b"GET /health HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n"


async def is_mute(host: str, port: int, *, within_s: float = WITHIN_S) -> bool:
    """Whether its port takes a connection and then says nothing for `within_s` seconds: its loop stands still.

    One that refuses connections is only just starting or ending, which is no sign of that.
    """
    writer = None
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_ASKED)
            await reader.read(1)
    except TimeoutError:
        return True
    except OSError:
        pass
    finally:
        if writer is not None:
            writer.transport.abort()
    return False

"""`gateway.*`: what the way through the gateway adds to calling the worker's own port, at a fixed rate.

Both ways are taken in turns, so that what else the machine does falls on both. Requests leave on a clock, whether earlier ones
were answered or not: a stall is seen by everybody who came meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from tests.benchmarks.figures import percentile, rounded
from tests.benchmarks.fleet import Fleet, say

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

RATE: Final = 500
TURN_S: Final = 2.0
TURNS: Final = 10
QUICK_TURNS: Final = 4
CONNECTIONS: Final = 32
_TIMEOUT_S: Final = 30.0
_WARM_UP_REQUESTS: Final = 200


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a request is not answered with 200."""
    turns = QUICK_TURNS if quick else TURNS
    with Fleet(2) as fleet:
        fleet.begin()
        fleet.grow(1)
        port = fleet.session("s0")["port"]
        direct, through = f"http://127.0.0.1:{port}/app/status", f"http://127.0.0.1:{fleet.port}/api/s0/app/status"
        say(f"  {turns} turns of {TURN_S:g} s at {RATE} requests/s each way")
        near, far = asyncio.run(_both(direct, through, fleet.admin_key, turns))
    added = {f"p{share}": percentile(far, share / 100) - percentile(near, share / 100) for share in (50, 99)}
    return {
        "gateway.added_ms": {name: rounded(value) for name, value in added.items()},
        "gateway.direct_ms": {f"p{share}": rounded(percentile(near, share / 100)) for share in (50, 99)},
        "gateway.through_ms": {f"p{share}": rounded(percentile(far, share / 100)) for share in (50, 99)},
    }


async def _both(direct: str, through: str, key: str, turns: int) -> tuple[list[float], list[float]]:
    near: list[float] = []
    far: list[float] = []
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
    ) as client:
        for url in (direct, through):
            await asyncio.gather(*(_one(client, url, []) for _ in range(_WARM_UP_REQUESTS)))
        for _ in range(turns):
            await _turn(client, direct, near)
            await _turn(client, through, far)
    return near, far


async def _turn(client: aiohttp.ClientSession, url: str, taken: list[float]) -> None:
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(RATE * TURN_S)):
            late = begun + number / RATE - time.perf_counter()
            if late > 0:
                await asyncio.sleep(late)
            tasks.create_task(_one(client, url, taken))


async def _one(client: aiohttp.ClientSession, url: str, taken: list[float]) -> None:
    begun = time.perf_counter()
    async with client.get(url) as answer:
        await answer.read()
        assert answer.status == 200, answer.status
    taken.append((time.perf_counter() - begun) * 1000)

"""`messages.*`: texts a second that one session sends, and that it receives, end to end encrypted.

Sending: a few clients at once through the gateway; a text counts when the API has answered, and all must have been decrypted by
the phone in the end. Receiving: a phone writes while the session is stopped, so that its own encryption is not what is measured;
the rate is that of the events in Redis, by Redis' own clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import redis

from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import PHONE, Fleet, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.figures import Figures

TEXTS: Final = 1000
QUICK_TEXTS: Final = 300
CLIENTS: Final = 8
SESSION: Final = "s0"
_LIMIT_S: Final = 120.0


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a text is lost on either way."""
    count = QUICK_TEXTS if quick else TEXTS
    with Fleet(2) as fleet:
        fleet.begin()
        fleet.grow(1)
        # The first text makes the Signal session; it is not part of the rate.
        fleet.send(SESSION, PHONE, "first")
        until("the first text", lambda: "first" in fleet.phone_texts(PHONE), _LIMIT_S)
        say(f"  {count} texts out")
        sent = asyncio.run(_send(fleet, count))
        _check_all_read(fleet, count)
        say(f"  {count} texts in")
        received = _receive(fleet, count)
    return {"messages.send_per_s": {"1": rounded(sent)}, "messages.receive_per_s": {"1": rounded(received)}}


async def _send(fleet: Fleet, count: int) -> float:
    waiting = iter(range(count))
    url = f"http://127.0.0.1:{fleet.port}/api/{SESSION}/send/message"

    async def client(http: aiohttp.ClientSession) -> None:
        for number in waiting:
            async with http.post(url, json={"phone": PHONE, "message": f"out {number}"}) as answer:
                assert answer.status == 200, await answer.text()

    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {fleet.admin_key}"}, timeout=aiohttp.ClientTimeout(total=_LIMIT_S)
    ) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
        return count / (time.perf_counter() - begun)


def _check_all_read(fleet: Fleet, count: int) -> None:
    wanted = {f"out {number}" for number in range(count)}

    def read() -> bool:
        return wanted <= {message["text"] for message in _inbox(fleet)}

    until("every text decrypted by the phone", read, _LIMIT_S, 0.5)


def _inbox(fleet: Fleet) -> Iterator[dict[str, Any]]:
    """Everything the phone has, page by page."""
    after = 0
    while page := fleet.http("GET", f"/sandbox/phones/{PHONE}/messages?after={after}").body["messages"]:
        yield from page
        after = page[-1]["seq"]


def _receive(fleet: Fleet, count: int) -> float:
    assert fleet.http("POST", f"/sessions/{SESSION}/stop?wait=15").body["pid"] is None
    for number in range(count):
        order = {"to": fleet.number(SESSION), "text": f"in {number}"}
        answer = fleet.http("POST", f"/sandbox/phones/{PHONE}/messages", order)
        assert answer.status == 200, answer
    fleet.http("POST", f"/sessions/{SESSION}/start")
    times: dict[str, float] = until("every text received", lambda: _received(fleet, count), _LIMIT_S, 0.5)
    assert set(times) == {f"in {number}" for number in range(count)}
    return (count - 1) / (max(times.values()) - min(times.values()))


def _received(fleet: Fleet, count: int) -> dict[str, float] | None:
    """When the event of each text was written to the stream, in seconds; None while some are missing."""
    with redis.Redis(unix_socket_path=str(fleet.home.redis_socket)) as client:
        rows: Any = client.xrange("zapvisor:events")
    times: dict[str, float] = {}
    for stamp, fields in rows:
        event = json.loads(fields[b"event"])
        if event["type"] == "message" and str(event["data"]["text"]).startswith("in "):
            times[event["data"]["text"]] = int(stamp.partition(b"-")[0]) / 1000
    return times if len(times) >= count else None

"""GoWA's WebSocket, fed from the event stream."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
import redis.asyncio
from aiohttp import WSMsgType
from redis.driver_info import DriverInfo

from ecosystem.contract import keys
from ecosystem.contract.events import Event
from ecosystem.contract.ids import new_ulid
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.orchestrated import Orchestrated
    from tests.support.redis_process import RedisProcess

HEADERS = {"Authorization": f"Bearer {KEY}"}
JID = "5511900000001@s.whatsapp.net"


class Stream:
    """Writes events as a worker does."""

    def __init__(self, client: redis.asyncio.Redis, name: str) -> None:
        self.client = client
        self.name = name

    async def add(self, session_id: str, kind: str, **data: Any) -> None:
        event = Event(new_ulid(), kind, session_id, 1, datetime.now(UTC), None, data)
        await self.client.xadd(self.name, {"event": msgspec.json.encode(event)})

    async def pair(self, session_id: str) -> None:
        await self.add(session_id, "session.paired", jid=JID, lid=None)


@pytest.fixture
async def stream(zap: Orchestrated, shared_redis: RedisProcess) -> AsyncIterator[Stream]:
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        shared_redis.url, driver_info=DriverInfo("redis-py", redis.__version__)
    )
    yield Stream(client, keys.events(zap.settings.redis_prefix))
    await client.aclose()


async def hear(link: aiohttp.ClientWebSocketResponse) -> Any:
    return await asyncio.wait_for(link.receive_json(), 30)


async def test_device_events(zap: Orchestrated, stream: Stream) -> None:
    await zap.create("alpha")
    await stream.pair("before")
    async with zap.client.ws_connect(f"{zap.url}/ws", headers=HEADERS) as link:
        await stream.add("alpha", "message", text="not a device event")
        await stream.client.xadd(stream.name, {"event": b"no JSON"})
        await stream.pair("alpha")
        assert await hear(link) == {
            "code": "LOGIN_SUCCESS",
            "message": f"Successfully pair with {JID}",
            "result": {"device_id": "alpha", "jid": JID},
        }
        await stream.add("alpha", "session.state", old="authenticated", new="error", reason="logged_out", detail=None)
        gone = await hear(link)
        assert (gone["code"], gone["result"]["device_id"]) == ("DEVICE_LOGGED_OUT", "alpha")
        assert gone["result"]["devices"] == [{"name": "", "device": "alpha", "jid": ""}]


async def test_fetch_devices(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    async with zap.client.ws_connect(f"{zap.url}/ws", headers=HEADERS) as link:
        await link.send_json({"code": "FETCH_DEVICES", "message": "List device"})
        listed = await hear(link)
        assert (listed["code"], listed["message"]) == ("LIST_DEVICES", "Device found")
        assert [device["device"] for device in listed["result"]] == ["alpha", "beta"]
        for said in ("no json", "[]", '{"code": 7}', '{"code": "SOMETHING"}'):
            await link.send_str(said)
            assert (await hear(link))["code"] == "BAD_REQUEST"
        await link.send_bytes(b"ignored")
        await link.send_json({"code": "FETCH_DEVICES"})
        assert (await hear(link))["code"] == "LIST_DEVICES"


async def test_one_session_only(zap: Orchestrated, stream: Stream) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    for target, more in (("/ws?device_id=beta", {}), ("/ws", {"X-Device-Id": "beta"})):
        async with zap.client.ws_connect(zap.url + target, headers={**HEADERS, **more}) as link:
            await stream.pair("alpha")
            await stream.pair("beta")
            assert (await hear(link))["result"]["device_id"] == "beta"
            await link.send_json({"code": "FETCH_DEVICES"})
            assert [device["device"] for device in (await hear(link))["result"]] == ["beta"]


async def test_a_session_s_key_hears_of_its_own_session(zap: Orchestrated, stream: Stream) -> None:
    await asyncio.gather(zap.create("alpha"), zap.create("beta"))
    made = await zap.http("POST", "/keys", {"name": "k", "session_id": "beta", "scopes": ["read"]})
    key = made.body["api_key"]
    own = {"Authorization": f"Bearer {key}"}
    for target in ("/ws", "/ws?device_id=beta"):
        async with zap.client.ws_connect(zap.url + target, headers=own) as link:
            await stream.pair("alpha")
            await stream.pair("beta")
            assert (await hear(link))["result"]["device_id"] == "beta"
            await link.send_json({"code": "FETCH_DEVICES"})
            assert [device["device"] for device in (await hear(link))["result"]] == ["beta"]
    for other in ("alpha", "nobody"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await zap.client.ws_connect(f"{zap.url}/ws?device_id={other}", headers=own)
        assert caught.value.status == 403
    foreign = {**own, "Origin": "https://evil.example"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await zap.client.ws_connect(f"{zap.url}/ws", headers=foreign)
    assert caught.value.status == 403
    for path, member in (("/devices", "id"), ("/device/list", "id"), ("/app/devices", "device")):
        listed = (await zap.http("GET", path, key=key)).body["results"]
        assert [one[member] for one in listed] == ["beta"], path


async def test_several_listeners_come_and_go(zap: Orchestrated, stream: Stream) -> None:
    for _ in range(3):
        async with (
            zap.client.ws_connect(f"{zap.url}/ws", headers=HEADERS) as one,
            zap.client.ws_connect(f"{zap.url}/ws", headers=HEADERS) as other,
        ):
            await stream.pair("alpha")
            assert (await hear(one))["code"] == (await hear(other))["code"] == "LOGIN_SUCCESS"
        await stream.pair("while nobody listens")


@pytest.mark.parametrize(
    "credentials",
    [
        f"token={KEY}",
        f"authorization={base64.b64encode(f'admin:{KEY}'.encode()).decode()}",
        f"authorization={base64.b64encode(f'a>>?:{KEY}'.encode()).decode()}",
    ],
)
async def test_a_key_in_the_query(zap: Orchestrated, credentials: str) -> None:
    async with zap.client.ws_connect(f"{zap.url}/ws?{credentials}") as link:
        await link.send_json({"code": "FETCH_DEVICES"})
        assert (await hear(link))["result"] == []
    assert (await zap.http("GET", f"/sessions?{credentials}", key=None)).status == 401
    assert (await zap.http("GET", f"/ws?{credentials}", key=None)).status == 401


async def test_refusals(zap: Orchestrated) -> None:
    for target, headers, status in (
        ("/ws", {}, 401),
        ("/ws?token=nonsense", {}, 401),
        ("/ws?authorization=%%%", {}, 401),
        ("/ws?device_id=nobody", HEADERS, 404),
        ("/ws?device_id=nobody", {**HEADERS, "X-Device-Id": "other"}, 400),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await zap.client.ws_connect(zap.url + target, headers=headers)
        assert refused.value.status == status, target
    plain = await zap.http("GET", "/ws")
    assert (plain.status, plain.body["code"]) == (426, "websocket_required")


async def test_the_end_of_the_orchestrator_is_said(zap: Orchestrated) -> None:
    link = await zap.client.ws_connect(f"{zap.url}/ws", headers=HEADERS)
    zap._stop.set()
    message = await asyncio.wait_for(link.receive(), 8)
    assert message.type is WSMsgType.CLOSE
    assert link.close_code == 1001

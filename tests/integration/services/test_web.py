"""The edge of our HTTP applications, over real HTTP on loopback."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ecosystem import web as edge
from ecosystem.contract.errors import DomainError, RedisDown, SessionNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multidict import CIMultiDictProxy


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    delay_s: float = 0


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int = 1
    labels: list[str] = []
    timing: Timing = Timing()
    extra: dict[str, Any] = {}


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: int = 50
    follow: bool = False
    status: str | None = None


class Reply(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: CIMultiDictProxy[str]


async def _echo(request: web.Request) -> web.StreamResponse:
    return edge.json_response(await edge.read_body(request, Command), status=201)


async def _optional(request: web.Request) -> web.StreamResponse:
    return edge.json_response(await edge.read_body(request, Query, empty=b"{}"))


async def _query(request: web.Request) -> web.StreamResponse:
    return edge.json_response(edge.read_query(request, Query))


async def _domain(request: web.Request) -> web.StreamResponse:
    raise SessionNotFound(session_id="alpha", hint="create it")


async def _later(request: web.Request) -> web.StreamResponse:
    raise RedisDown(retry_after_s=1.2)


async def _bug(request: web.Request) -> web.StreamResponse:
    raise RuntimeError("postgresql://u:hunter2@db")


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"{}")
    return response


def application(render: edge.Renderer | None = None) -> web.Application:
    app = web.Application(client_max_size=4096)
    edge.install(app, render=render)
    app.router.add_post("/echo", _echo)
    app.router.add_post("/optional", _optional)
    app.router.add_get("/query", _query)
    app.router.add_get("/domain/{session_id}", _domain)
    app.router.add_get("/later", _later)
    app.router.add_get("/bug", _bug)
    app.router.add_get("/redirect", _redirect)
    app.router.add_get("/stream", _stream)
    app.router.add_get("/health", _stream)
    return app


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    server = TestServer(application())
    await server.start_server(access_log=logging.getLogger("unused"), access_log_class=edge.AccessLogger)
    async with TestClient(server) as made:
        yield made


Client = TestClient[web.Request, web.Application]


async def ask(client: Client, method: str, path: str, data: bytes | None = None, *, given_id: str = "") -> Reply:
    headers = {"X-Request-Id": given_id} if given_id else {}
    async with client.request(method, path, data=data, headers=headers, allow_redirects=False) as answer:
        raw = await answer.read()
        return Reply(answer.status, json.loads(raw) if raw.startswith(b"{") else {}, answer.headers)


async def test_a_good_body_comes_back(client: Client) -> None:
    reply = await ask(client, "POST", "/echo", b'{"name":"a","labels":["x"]}')
    assert reply.status == 201
    assert reply.body["labels"] == ["x"]
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


BAD_BODIES: list[tuple[bytes, int, str, str | None]] = [
    (b"", 400, "malformed_body", None),
    (b"{", 400, "malformed_body", None),
    (b"not json", 400, "malformed_body", None),
    (b'{"name":"a"} trailing', 400, "malformed_body", None),
    (b'{"name":"\xff\xfe"}', 400, "malformed_body", None),
    (b'{"name":"\\ud800"}', 400, "malformed_body", None),
    (b'{"name":"a","extra":{"a":' + b"[" * 1900 + b"]" * 1900 + b"}}", 400, "malformed_body", None),
    (b"[]", 422, "invalid_request", None),
    (b"null", 422, "invalid_request", None),
    (b"{}", 422, "invalid_request", "name"),
    (b'{"name":1}', 422, "invalid_request", "name"),
    (b'{"name":"a","count":"1"}', 422, "invalid_request", "count"),
    (b'{"name":"a","nmae":"b"}', 422, "invalid_request", "nmae"),
    (b'{"name":"a","labels":["x",2]}', 422, "invalid_request", "labels[1]"),
    (b'{"name":"a","timing":{"delay_s":"x"}}', 422, "invalid_request", "timing.delay_s"),
    (b'{"name":"a","timing":{"delay":1}}', 422, "invalid_request", "timing.delay"),
    (b'{"name":"a\\u0000b"}', 422, "invalid_request", "name"),
    (b'{"name":"a","labels":["x","\\u0000"]}', 422, "invalid_request", "labels[1]"),
    (b'{"name":"a","extra":{"k":{"\\u0000":1}}}', 422, "invalid_request", "extra.k.?"),
    (b'{"name":"' + b"a" * 5000 + b'"}', 413, "body_too_large", None),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), BAD_BODIES)
async def test_a_bad_body_is_refused_with_its_field(
    client: Client, body: bytes, status: int, code: str, field: str | None
) -> None:
    reply = await ask(client, "POST", "/echo", body)
    assert (reply.status, reply.body["code"], reply.body.get("field")) == (status, code, field)
    assert reply.body["status"] == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.body["request_id"] == reply.headers["X-Request-Id"]


async def test_a_backslash_before_u0000_is_no_nul(client: Client) -> None:
    reply = await ask(client, "POST", "/echo", rb'{"name":"\\u0000"}')
    assert reply.body["name"] == r"\u0000"


async def test_an_absent_body_may_stand_for_an_empty_one(client: Client) -> None:
    assert (await ask(client, "POST", "/optional")).body["limit"] == 50
    assert (await ask(client, "POST", "/optional", b"nonsense")).status == 400


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=x", "limit"),
        ("limt=1", "limt"),
        ("limit=1&limit=2", "limit"),
        ("status=a%00b", "status"),
        ("follow=maybe", "follow"),
    ],
)
async def test_a_bad_query_names_its_parameter(client: Client, query: str, field: str) -> None:
    reply = await ask(client, "GET", f"/query?{query}")
    assert (reply.status, reply.body["field"]) == (422, field)


async def test_a_good_query_is_converted(client: Client) -> None:
    reply = await ask(client, "GET", "/query?limit=7&follow=true&status=running")
    assert reply.body == {"limit": 7, "follow": True, "status": "running"}


async def test_request_ids(client: Client) -> None:
    own = await ask(client, "GET", "/query", given_id="job-42/a.b:c")
    assert own.headers["X-Request-Id"] == "job-42/a.b:c"
    streamed = await ask(client, "GET", "/stream", given_id="s-1")
    assert streamed.headers["X-Request-Id"] == "s-1"
    minted = {
        (await ask(client, "GET", "/query", given_id=bad)).headers["X-Request-Id"]
        for bad in ("", "a b", "x" * 101, '"><b>')
    }
    assert len(minted) == 4
    assert all(len(found) == 26 for found in minted)


async def test_errors_become_answers(client: Client) -> None:
    domain = await ask(client, "GET", "/domain/alpha")
    assert (domain.status, domain.body["code"], domain.body["session_id"]) == (404, "session_not_found", "alpha")
    assert (domain.body["hint"], domain.body["error"]) == ("create it", "Session not found")
    assert "Retry-After" not in domain.headers
    later = await ask(client, "GET", "/later")
    assert (later.status, later.headers["Retry-After"], later.body["retryable"]) == (503, "2", True)
    unknown = await ask(client, "GET", "/nowhere")
    assert (unknown.status, unknown.body["code"]) == (404, "route_not_found")
    method = await ask(client, "DELETE", "/echo")
    assert (method.status, method.body["code"], method.headers["Allow"]) == (405, "method_not_allowed", "POST")
    moved = await ask(client, "GET", "/redirect")
    assert (moved.status, moved.headers["Location"]) == (302, "/elsewhere")
    assert "X-Request-Id" in moved.headers


async def test_an_unexpected_error_is_logged_but_not_told(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = await ask(client, "GET", "/bug")
    assert (reply.status, reply.body["code"]) == (500, "internal")
    assert "hunter2" not in json.dumps(reply.body)
    (record,) = [record for record in caplog.records if record.message == "unexpected_error"]
    assert record.exc_info is not None
    assert vars(record)["request_id"] == reply.headers["X-Request-Id"]


async def test_another_dialect_only_changes_the_body() -> None:
    def render(request: web.Request, error: DomainError) -> web.StreamResponse:
        return edge.json_response(
            {"status": error.status, "code": error.code, "message": error.message}, status=error.status
        )

    async with TestClient(TestServer(application(render))) as client:
        reply = await ask(client, "GET", "/later")
        assert reply.body == {"status": 503, "code": "redis_down", "message": "Redis cannot be reached."}
        assert reply.headers["Retry-After"] == "2"
        assert (await ask(client, "GET", "/nowhere")).body["code"] == "route_not_found"
        assert (await ask(client, "GET", "/bug")).body["code"] == "internal"


async def test_the_access_log_names_routes_not_paths(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="http"):
        await ask(client, "GET", "/domain/5511912345678?key=zpv_secret")
        await ask(client, "GET", "/health")
    (record,) = [vars(record) for record in caplog.records if record.name == "http"]
    assert (record["route"], record["status"], record["method"]) == ("/domain/{session_id}", 404, "GET")
    assert "5511912345678" not in repr(record)
    assert "zpv_secret" not in repr(record)

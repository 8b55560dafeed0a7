"""The description of the API, and its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ecosystem.contract import catalogue
from ecosystem.contract.errors import HTTP_STATUS
from orchestrator.api.descriptions import TABLE
from orchestrator.api.openapi import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.orchestrated import Orchestrated

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def document(zap: Orchestrated) -> dict[str, Any]:
    answer = await zap.http("GET", "/openapi.json")
    assert answer.status == 200
    return dict(answer.body)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_status_an_error_can_have_is_explained() -> None:
    assert {str(status) for status in HTTP_STATUS.values()} <= set(STATUSES)


async def test_it_is_sound(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for reference in references(document):
        found: Any = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found, reference
    for name in document["components"]["schemas"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    for path, method, operation in operations(document):
        assert method in METHODS
        assert operation["summary"], path
        assert operation["tags"]
        holes = set(re.findall(r"\{(\w+)\}", path))
        assert holes == {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        said = set(operation["responses"])
        assert {"400", "401", "404", "503"} <= said, path
        assert "default" not in said, "every status is named"
        good = {status for status in said if status < "400"}
        assert good or "Answers 501" in operation.get("description", "") or "chatwoot" in path, (
            f"{path}: see descriptions.py"
        )
        envelope = any("envelope" in one.get("$ref", "") for one in operation["responses"].values())
        assert ("422" in said) != envelope, path


async def test_it_has_every_route(zap: Orchestrated, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, method, _ in operations(document)}
    for operation in catalogue.SESSION_ROUTES:
        assert (operation.method, f"/api/{{session}}{operation.path}") in described
        assert (operation.method, operation.path) in described
    served = set()
    for route in zap.zap.app().router.routes():
        if route.method not in ("*", "HEAD") and route.resource is not None:
            served.add((route.method, route.resource.canonical))
    assert served <= described
    stale = {tuple(key.split(" ", 1)) for key in TABLE} - served
    assert not stale, "these are described but not served"


async def test_it_says_what_routes_take_and_answer(document: dict[str, Any]) -> None:
    schemas, paths = document["components"]["schemas"], document["paths"]
    send = paths["/api/{session}/send/message"]["post"]
    body = send["requestBody"]["content"]["application/json"]["schema"]
    assert {"phone", "message"} <= set(schemas[body["$ref"].rpartition("/")[2]]["required"])
    answer = send["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(answer["required"]) == {"status", "code", "message", "results"}
    assert "Idempotency-Key" in {one["name"] for one in send["parameters"]}
    image = paths["/send/image"]["post"]["requestBody"]["content"]
    assert set(image) == {"application/json", "multipart/form-data"}
    assert image["multipart/form-data"]["schema"]["properties"]["image"]["format"] == "binary"
    legacy = {(one["name"], one["in"]) for one in paths["/send/image"]["post"]["parameters"]}
    assert {("X-Device-Id", "header"), ("device_id", "query")} <= legacy
    listed = {one["name"]: one for one in paths["/sessions"]["get"]["parameters"]}
    assert listed["limit"]["schema"]["maximum"] == 500
    assert "anyOf" not in listed["label"]["schema"]
    assert paths["/health"]["get"]["security"] == []
    assert "200" not in paths["/app/passkey"]["get"]["responses"]
    assert paths["/app/devices"]["get"]["operationId"] == "get_app_devices"
    assert msgspec.json.encode(paths["/devices"]["post"]).count(b"AddDevice") == 1


async def test_it_is_asked_for_again_cheaply(zap: Orchestrated) -> None:
    first = await zap.http("GET", "/openapi.json")
    again = await zap.http("GET", "/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert (await zap.http("GET", "/openapi.json", key=None)).status == 401


async def test_the_page_works_offline(zap: Orchestrated) -> None:
    page = await zap.http("GET", "/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers.getall("Content-Security-Policy")
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "sandbox" not in policy[0]
    text = page.body.decode()
    assert "://" not in text
    assert "<style" not in text
    for name, kind in re.findall(r'(?:src|href)="(docs/docs\.(\w+))"', text):
        file = await zap.http("GET", f"/{name}")
        assert file.status == 200
        assert file.headers["Content-Type"].startswith({"js": "text/javascript", "css": "text/css"}[kind])
        assert b"://" not in file.body
        assert b"innerHTML" not in file.body
    for missing in ("docs.txt", "../openapi.py", "..%2Fopenapi.py"):
        assert (await zap.http("GET", f"/docs/{missing}")).status == 404


async def test_it_says_what_members_mean(document: dict[str, Any]) -> None:
    """Of everything a session's routes and webhooks take; and the page starts with values that fit."""
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or not path.startswith(("/api/{session}/", "/webhooks", "/devices")):
            continue
        members = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
        dumb = [name for name, schema in members.items() if not schema.get("description")]
        assert not dumb, f"{method} {path}"
    assert schemas["SendText"]["properties"]["phone"]["examples"] == ["5511912345678"]
    assert not [name for name, schema in schemas.items() if "\n   " in schema.get("description", "")]

"""The description of the whole API (OpenAPI 3.1), made from the tables of routes and the types they take and answer.

The control API's routes come from the application's own router, a session's from the catalogue; schemas come from the types.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from aiohttp import web

from ecosystem.contract import catalogue, eventbook
from ecosystem.contract.catalogue_shapes import Refused
from ecosystem.contract.errors import Problem
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.contract.webhook import IgnoreRules, WebhookPayload
from orchestrator.api.descriptions import TABLE, Described
from orchestrator.api.members import explain, tidy
from orchestrator.api.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ecosystem.contract.catalogue import Operation

Json: TypeAlias = dict[str, Any]

PUBLIC: Final = frozenset({"/", "/health", "/ready"})
"""Need no key."""
SOCKETS: Final = frozenset({"/ws", "/api/dashboard/events"})
"""Asked with a WebSocket only."""
PROBLEM: Final = "application/problem+json"
_DIALECTS: Final = {"problem": (PROBLEM, "Problem"), "envelope": (catalogue.JSON, "Refused")}
"""How errors look: media type and schema."""
FORM: Final = "multipart/form-data"
INTRODUCTION: Final = """\
Zapvisor runs a fleet of WhatsApp numbers, each as a session with a process of its own.

**Naming the session.** Everything a session can do is at `/api/{session}/…` and, the same, at `/sessions/{session}/…`. Without a
session in the path, at GoWA's own paths, it is named by the header `X-Device-Id`, the query parameter `device_id` or the body's
member `device_id`: by its id, or by the phone number or address it is paired with. A request that names none is for the session
`default`, which is created on first use. A request that names two is refused.

**Names in bodies.** JSON and plain forms are read whole (1 MiB at most). `multipart/form-data` streams: a `device_id` in its
first 64 KiB decides, so put it before the file; a later one that is another session's ends the request before the session has
all of it. A compressed body cannot name a session.

**Answers.** A session's routes, `/devices` and `/device` answer GoWA's envelope (`status`, `code`, `message`, `results`);
everything else answers plain JSON, and errors as `application/problem+json`. Both carry the same stable `code`. A value that is
not valid is 400 in the envelope, as GoWA has it, and 422 elsewhere.
"""
PARAMETERS: Final = {
    "session": "The session's id",
    "device_id": "The session's id, or the phone number or address it is paired with",
    "message_id": "The message's id",
    "chat_jid": "A phone number or any WhatsApp address",
    "webhook": "The webhook's id",
    "name": "The program's name",
}
STATUSES: Final = {
    "400": "Unparsable, or not valid; `field` names what",
    "401": "No key, or an unknown one",
    "403": "The key does not allow this",
    "404": "There is no such session, chat, message, …",
    "405": "That method does not exist on this path",
    "409": "Not possible in the session's present state",
    "413": "The body is too large",
    "426": "Connect with a WebSocket",
    "422": "A value is not valid; `field` names it",
    "429": "Too often; `Retry-After` says when",
    "500": "Something went wrong inside Zapvisor",
    "501": "This version cannot do this",
    "502": "WhatsApp refused",
    "503": "Something is starting or away; `Retry-After` says when to try again",
    "504": "WhatsApp or the session's process took too long",
}
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOLE: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/"


class Schemas:
    """The schemas of types, each once."""

    def __init__(self, types: Iterable[object]) -> None:
        wanted = list({repr(kind): kind for kind in types if kind is not None}.values())
        found, self.components = msgspec.json.schema_components(wanted, ref_template=_REF + "{name}")
        self._of = {repr(kind): schema for kind, schema in zip(wanted, found, strict=True)}

    def of(self, kind: object) -> Json:
        """The schema of a type, or a reference to it; null where there is none."""
        return {"type": "null"} if kind is None else self._of[repr(kind)]

    def names(self, kinds: Iterable[object]) -> set[str]:
        """The components those types are."""
        return {self.of(kind)["$ref"].removeprefix(_REF) for kind in kinds}

    def members(self, kind: object) -> tuple[Json, list[str]]:
        """The members of an object type, and the required ones."""
        schema = self.of(kind)
        if "$ref" in schema:
            schema = self.components[schema["$ref"].removeprefix(_REF)]
        return schema.get("properties", {}), schema.get("required", [])


def build(app: web.Application) -> Json:
    """The description of an application with all its routes."""
    control = list(_control_routes(app))
    schemas = Schemas(_types(control))
    explain(schemas.components, schemas.names(_bodies_of(control)) | {IgnoreRules.__name__})
    tidy(schemas.components)
    paths: dict[str, Json] = {}
    for method, path, described, summary in control:
        paths.setdefault(path, {})[method.lower()] = _control(schemas, method, path, described, summary)
    for operation in catalogue.SESSION_ROUTES:
        method = operation.method.lower()
        paths.setdefault(f"/api/{{session}}{operation.path}", {})[method] = _session(schemas, operation, named=True)
        # What the fleet answers itself (`/app/devices`) is described already.
        paths.setdefault(operation.path, {}).setdefault(method, _session(schemas, operation, named=False))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Zapvisor", "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}, {"basic": []}],
        "tags": [{"name": tag} for tag in sorted(set(_tags(paths)))],
        "paths": dict(sorted(paths.items())),
        "webhooks": {name: _told(schemas, name) for name in EVENT_TYPES},
        "components": {
            "schemas": schemas.components,
            "responses": {
                f"{dialect}_{status}": _refusal(status, dialect) for dialect in _DIALECTS for status in STATUSES
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "basic": {"type": "http", "scheme": "basic", "description": "any user name; the key is the password"},
            },
        },
    }


def _control_routes(app: web.Application) -> Iterator[tuple[str, str, Described | None, str]]:
    """The application's own routes; what leads to workers or the sandbox has no method of its own there."""
    for route in app.router.routes():
        if route.method in ("*", "HEAD") or route.resource is None:
            continue
        path = route.resource.canonical
        said = (route.handler.__doc__ or route.handler.__name__.replace("_", " ").capitalize()).strip()
        yield route.method, path, TABLE.get(f"{route.method} {path}"), said.splitlines()[0]


def _types(control: Iterable[tuple[str, str, Described | None, str]]) -> Iterator[object]:
    yield from (Problem, Refused, WebhookPayload, *EVENT_TYPES.values())
    for _, _, described, _ in control:
        if described is not None:
            yield from (described.query, described.body, *described.answers.values())
    for operation in catalogue.SESSION_ROUTES:
        yield from (operation.query, operation.body, operation.results)


def _bodies_of(control: Iterable[tuple[str, str, Described | None, str]]) -> Iterator[object]:
    yield from (
        described.body for _, _, described, _ in control if described is not None and described.body is not None
    )
    yield from (operation.body for operation in catalogue.SESSION_ROUTES if operation.body is not None)


def _told(schemas: Schemas, name: str) -> Json:
    """What a webhook receives of one type of event."""
    envelope = {"properties": schemas.members(WebhookPayload)[0], "required": schemas.members(WebhookPayload)[1]}
    schema = eventbook.body_schema(name, {"type": "object", **envelope}, schemas.of(EVENT_TYPES[name]))
    example = msgspec.to_builtins(eventbook.example(name))
    return {
        "post": {
            "operationId": f"event_{re.sub(r'[^a-z]', '_', name)}",
            "tags": ["events"],
            "summary": eventbook.meaning(name),
            "requestBody": {"content": {catalogue.JSON: {"schema": schema, "example": example}}},
            "responses": {"2XX": {"description": "Taken; any other answer has it sent again"}},
        }
    }


# --- one operation


def _control(schemas: Schemas, method: str, path: str, described: Described | None, summary: str) -> Json:
    gowa = described.gowa if described is not None else "chatwoot" in path
    found: Json = {
        "operationId": _operation_id(method, path),
        "tags": [_tag(path)],
        "summary": described.summary if described is not None else summary,
        "parameters": [*_path_parameters(path), *_query(schemas, described.query if described is not None else None)],
        "responses": {},
    }
    if described is not None and described.body is not None:
        found["requestBody"] = {"content": {catalogue.JSON: {"schema": schemas.of(described.body)}}}
    answers: dict[int, object] = described.answers if described is not None else {}
    for status, kind in answers.items():
        found["responses"][str(status)] = _answer(schemas, kind, described.media if described is not None else (), gowa)
    if path in PUBLIC:
        found["security"] = []
    return _with_errors(found, method, path, gowa=gowa)


def _answer(schemas: Schemas, kind: object, media: tuple[str, ...], gowa: bool) -> Json:
    if gowa:
        return {"description": "Success", "content": {catalogue.JSON: {"schema": _envelope(schemas.of(kind))}}}
    if kind is None:
        return {"description": "Success, without a body"}
    text: Json = {"type": "string"}
    content = {one: {"schema": schemas.of(kind) if one == catalogue.JSON else text} for one in media}
    return {"description": "Success", "content": content}


def _session(schemas: Schemas, operation: Operation, *, named: bool) -> Json:
    """`named`: the session is in the path."""
    path = f"/api/{{session}}{operation.path}" if named else operation.path
    parameters = [*_path_parameters(path), *_query(schemas, operation.query)]
    if not named:
        about = "The session: its id, or the phone number or address it is paired with"
        parameters += [
            {"name": "X-Device-Id", "in": "header", "schema": {"type": "string"}, "description": about},
            {"name": "device_id", "in": "query", "schema": {"type": "string"}, "description": about},
        ]
    if operation.sends:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "A repeated request with the same key is answered with the first one's result",
            }
        )
    found: Json = {
        "operationId": _operation_id(operation.method, path),
        "tags": [operation.tag if named else f"{operation.tag} (GoWA's paths)"],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {},
    }
    if operation.body is not None or operation.file is not None:
        found["requestBody"] = {"required": True, "content": _bodies(schemas, operation)}
    if operation.unable is not None:
        found["description"] = f"Answers 501: {operation.unable}."
    else:
        found["responses"]["200"] = _success(schemas, operation)
    return _with_errors(found, operation.method, path, gowa=True)


def _success(schemas: Schemas, operation: Operation) -> Json:
    if not operation.bare:
        schema = _envelope(schemas.of(operation.results))
    elif operation.results is not None:
        schema = schemas.of(operation.results)
    else:
        schema = {"type": "string"}
    return {"description": "Success", "content": {operation.media_type: {"schema": schema}}}


def _bodies(schemas: Schemas, operation: Operation) -> Json:
    content: Json = {}
    if operation.body is not None:
        content[catalogue.JSON] = {"schema": schemas.of(operation.body)}
    if operation.file is not None:
        members, required = schemas.members(operation.body) if operation.body is not None else ({}, [])
        file = {operation.file: {"type": "string", "format": "binary"}}
        content[FORM] = {"schema": {"type": "object", "properties": {**members, **file}, "required": required}}
    return content


def _envelope(results: Json) -> Json:
    return {
        "type": "object",
        "properties": {
            "status": {"type": "integer", "const": 200},
            "code": {"type": "string", "const": "SUCCESS"},
            "message": {"type": "string"},
            "results": results,
        },
        "required": ["status", "code", "message", "results"],
    }


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": PARAMETERS.get(name, name),
        }
        for name in _HOLE.findall(path)
    ]


def _query(schemas: Schemas, kind: type | None) -> list[Json]:
    if kind is None:
        return []
    members, required = schemas.members(kind)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in members.items()
    ]


def _without_null(schema: Json) -> Json:
    """In a query there is no null: what is absent is absent."""
    arms = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
    if not arms:
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**kept, **(arms[0] if len(arms) == 1 else {"anyOf": arms})}


def _with_errors(found: Json, method: str, path: str, *, gowa: bool) -> Json:
    dialect = "envelope" if gowa else "problem"
    for status in _statuses(method, path, gowa=gowa):
        found["responses"].setdefault(status, {"$ref": f"#/components/responses/{dialect}_{status}"})
    return found


def _statuses(method: str, path: str, *, gowa: bool) -> Iterator[str]:
    """What a route may refuse with. GoWA's dialect has no 422: what is not valid is 400 there."""
    left_out = {"422"} if gowa else set()
    if method not in _WITH_BODY:
        left_out.add("413")
    if path not in SOCKETS:
        left_out.add("426")
    return (status for status in STATUSES if status not in left_out)


def _refusal(status: str, dialect: str) -> Json:
    media_type, schema = _DIALECTS[dialect]
    return {
        "description": STATUSES[status],
        "content": {media_type: {"schema": {"$ref": _REF + schema}}},
    }


def _operation_id(method: str, path: str) -> str:
    return "_".join([method.lower(), *re.findall(r"\w+", path)])


def _tag(path: str) -> str:
    segments = path.removeprefix("/api").split("/")
    return (
        segments[1] if segments[1] in ("sessions", "webhooks", "devices", "device", "chatwoot", "keys") else "instance"
    )


def _tags(paths: dict[str, Json]) -> Iterator[str]:
    for operations in paths.values():
        for operation in operations.values():
            yield from operation["tags"]


class OpenApiRoutes:
    """`GET /openapi.json`. The document is made when it is first asked for: only then every route is there."""

    def __init__(self) -> None:
        self._body: bytes | None = None
        self._etag = ""

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/openapi.json", self.document)

    async def document(self, request: web.Request) -> web.StreamResponse:
        """This description."""
        if self._body is None:
            self._body = msgspec.json.encode(build(request.app))
            self._etag = hashlib.sha256(self._body).hexdigest()[:32]
        headers = {"ETag": f'"{self._etag}"', "Cache-Control": "private, no-cache"}
        if any(tag.value == self._etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, content_type="application/json", charset="utf-8", headers=headers)

"""The catalogue of a session's routes is what its worker really serves."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING

import msgspec
import pytest
from aiohttp import web

from ecosystem.contract import catalogue
from orchestrator.gateway.routes import GOWA_SEGMENTS
from worker.api.server import ROUTES

if TYPE_CHECKING:
    from ecosystem.contract.catalogue import Operation

HANDLERS = {(method, path): handler for method, path, handler in ROUTES}


def structs_of(handler: object) -> set[type[msgspec.Struct]]:
    """Structs that a handler, or a function of its module that it calls, refers to."""
    found: set[type[msgspec.Struct]] = set()
    waiting, seen = [handler], set()
    while waiting:
        function = waiting.pop()
        if not isinstance(function, types.FunctionType) or function in seen:
            continue
        seen.add(function)
        code = [function.__code__, *(one for one in function.__code__.co_consts if isinstance(one, types.CodeType))]
        names = {name for one in code for name in one.co_names}
        values = [function.__globals__[name] for name in names if name in function.__globals__]
        values += [cell.cell_contents for cell in function.__closure__ or ()]
        for value in values:
            if inspect.isclass(value) and issubclass(value, msgspec.Struct):
                found.add(value)
            elif isinstance(value, types.FunctionType) and value.__module__.startswith("worker."):
                waiting.append(value)
    return found


def fields(shape: type) -> set[str]:
    return set(typing.get_type_hints(shape)) - {"device_id"}


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_catalogue_is_the_worker_s_own_tables() -> None:
    described = {(operation.method, operation.path) for operation in catalogue.ALL}
    assert len(described) == len(catalogue.ALL)
    served = set(HANDLERS)
    assert served - described <= catalogue.INTERNAL, "describe it in ecosystem/contract/catalogue.py"
    assert described <= served


@pytest.mark.parametrize("operation", [one for one in catalogue.SESSION_ROUTES if one.query], ids=named)
def test_parameters_are_those_the_handler_reads(operation: Operation) -> None:
    assert operation.query is not None
    read = structs_of(HANDLERS[operation.method, operation.path])
    assert fields(operation.query) in [fields(shape) for shape in read]


@pytest.mark.parametrize(
    "operation", [one for one in catalogue.SESSION_ROUTES if one.body and one.path != "/group/photo"], ids=named
)
def test_bodies_are_those_the_handler_reads(operation: Operation) -> None:
    assert operation.body in structs_of(HANDLERS[operation.method, operation.path])


def test_the_gateway_routes_every_first_segment() -> None:
    assert {operation.tag for operation in catalogue.SESSION_ROUTES} == set(GOWA_SEGMENTS)


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("GET", "/chats", True),
        ("HEAD", "/chats", True),
        ("POST", "/chats", False),
        ("POST", "/message/3EB0%2F1/revoke", True),
        ("POST", "/message//revoke", False),
        ("POST", "/message/a/b/revoke", False),
        ("GET", "/state", False),
        ("PUT", "/access", False),
        ("GET", "/send/nothing", False),
    ],
)
def test_what_is_known(method: str, path: str, known: bool) -> None:
    assert catalogue.knows(method, path) is known


def test_every_operation_of_a_session_needs_only_a_session() -> None:
    for operation in catalogue.SESSION_ROUTES:
        assert operation.summary
        assert not operation.unable or operation.results is None
        assert web.get(operation.path, web.Response).path.startswith("/")  # type: ignore[arg-type]

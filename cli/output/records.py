"""Tables of records whose fields the server chooses: what it lists is shown, under the names it uses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cli.output.figures import NOTHING, duration, memory, moment
from cli.output.screen import Column
from cli.texts import tr
from ecosystem.contract.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows_of(body: bytes) -> list[dict[str, Any]]:
    """The records in a JSON answer: the array itself, or the first array of objects in the object."""
    try:
        decoded: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InternalError(
            tr("the server's answer is no JSON: {error}", error=error), hint=tr("check --url")
        ) from None
    candidates = [decoded, *(decoded.values() if isinstance(decoded, dict) else ())]
    for value in candidates:
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return value
    return []


def as_table(rows: list[dict[str, Any]]) -> tuple[list[Column], list[tuple[str, ...]]]:
    """Columns and cells of records; columns nobody has a value for are left out."""
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if any(row.get(name) not in (None, "", []) for row in rows)
    ]
    columns = [
        Column(title(name), expendable=max(0, place - 1), coloured=name in {"status", "state"})
        for place, name in enumerate(names)
    ]
    return columns, [tuple(cell(name, row.get(name)) for name in names) for row in rows]


def title(name: str) -> str:
    """A field's name as a heading, in the language of the reader."""
    return tr(heading(name))


def heading(name: str) -> str:
    """A field's name as a heading in English, without its unit."""
    for unit in ("_bytes", "_s"):
        name = name.removesuffix(unit)
    return name.replace("_", " ").upper()


def cell(name: str, value: object) -> str:
    """A value as text; the unit in the field's name decides how numbers are written."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, int | float) and name.endswith("_bytes"):
        return memory(value)
    if isinstance(value, int | float) and name.endswith("_s"):
        return duration(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and (name == "at" or name.endswith("_at")):
        return _moment(value)
    if isinstance(value, list):
        return ", ".join(cell("", item) for item in value) or NOTHING
    if isinstance(value, dict):
        return ", ".join(_parts(value)) or NOTHING
    return str(value)


def _moment(text: str) -> str:
    """An ISO 8601 time as people here read it; anything else as it is."""
    try:
        return moment(datetime.fromisoformat(text)) or text
    except ValueError:
        return text


def _parts(record: dict[str, Any]) -> Iterator[str]:
    """`name value` of each field; those of a record inside follow without its name, and only what is not zero."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _parts({inner: item for inner, item in value.items() if item})
        elif value == "":
            yield name
        else:
            yield f"{title(name).lower()} {cell(name, value)}"

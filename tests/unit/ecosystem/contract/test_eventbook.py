"""The published catalogue: every type has its example, and every example follows the schema."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import pytest

from ecosystem.contract import eventbook
from ecosystem.contract.events import EVENT_TYPES

SCHEMA = eventbook.schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True)


def body(name: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(eventbook.example(name))))


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert list(eventbook.EXAMPLES) == list(dict.fromkeys(eventbook.EXAMPLES))
    assert set(eventbook.EXAMPLES) == set(EVENT_TYPES)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_example_follows_the_schema_and_only_its_own(name: str) -> None:
    VALIDATOR.validate(body(name))
    others = [other for other in EVENT_TYPES if other != name]
    for other in (others[0], others[-1]):
        one = {"$ref": f"#/$defs/{other}", "$defs": SCHEMA["$defs"]}
        assert not jsonschema_rs.Draft202012Validator(one).is_valid(body(name))


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_example_becomes_its_struct_again(name: str) -> None:
    assert msgspec.convert(body(name)["data"], EVENT_TYPES[name]) == eventbook.EXAMPLES[name]


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_carries_what_every_event_must(name: str) -> None:
    required = {"id", "event", "session_id", "device_jid", "seq", "timestamp", "data", "metadata"}
    assert required <= set(SCHEMA["$defs"][name]["required"])
    assert SCHEMA["$defs"][name]["properties"]["event"] == {"const": name}
    assert eventbook.meaning(name)
    assert not eventbook.meaning(name).startswith("`")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("message", {"event": "mesage"}),
        ("message", {"seq": "nine"}),
        ("session.state", {"data": {"old": "asleep", "new": "error", "reason": "banned"}}),
        ("session.created", {"data": {}}),
        ("presence", {"session_id": None}),
        ("presence", {"timestamp": "yesterday"}),
    ],
)
def test_what_is_no_event_does_not_follow_it(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        VALIDATOR.validate(body(name) | change)


PEOPLE = {"sender", "author", "contact", "caller", "voter", "account"}
"""Members that name somebody."""


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_who_is_named_is_named_by_phone_number_and_lid(name: str) -> None:
    data = body(name)["data"]
    for member in PEOPLE & data.keys():
        assert {"jid", "lid"} <= data[member].keys(), member
    if "chat" in data:
        assert "chat_lid" in data, "a chat with somebody is that somebody"
    lists = [value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    for people in lists:
        if "jid" in people[0] or "lid" in people[0]:
            assert {"jid", "lid"} <= people[0].keys()

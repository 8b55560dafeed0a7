"""Shapes that cross a process boundary: their JSON stays, and what they accept is what they say."""

from __future__ import annotations

import msgspec
import pytest

from ecosystem.contract.access import AccessUpdate, CreateKey, RotateKey
from ecosystem.contract.events import EVENT_TYPES, Event, SessionPaired, type_of
from ecosystem.contract.exitcodes import NEVER_RETRY, NOT_RESTARTED_AT_ONCE, WorkerExit
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.keys import events, heartbeat, qr
from ecosystem.contract.operations import SendSignal, SessionActions
from ecosystem.contract.policy import RestartRules
from ecosystem.contract.session import CreateSession, PairPhone, ProxySettings, UpdateSession
from ecosystem.contract.worker import WorkerSpec
from tests.unit.ecosystem.contract.examples import EXAMPLES, GOLDEN, golden_file, rendered, shapes
from tests.unit.ecosystem.contract.webhook_examples import WEBHOOK_COMMANDS

BY_NAME = {type(example).__name__: example for example in EXAMPLES}
COMMANDS: tuple[type[msgspec.Struct], ...] = (
    CreateSession,
    UpdateSession,
    PairPhone,
    ProxySettings,
    WorkerSpec,
    RestartRules,
    AccessUpdate,
    CreateKey,
    RotateKey,
    SessionActions,
    SendSignal,
    *(type(command) for command in WEBHOOK_COMMANDS),
)


def test_every_shape_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == shapes()


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {golden_file(shape).name for shape in shapes()}


@pytest.mark.parametrize("name", BY_NAME)
def test_json_is_the_golden_one(name: str) -> None:
    example = BY_NAME[name]
    assert rendered(example) == golden_file(type(example)).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BY_NAME)
def test_golden_json_decodes_to_the_example(name: str) -> None:
    example = BY_NAME[name]
    assert msgspec.json.decode(golden_file(type(example)).read_bytes(), type=type(example)) == example


@pytest.mark.parametrize("name", BY_NAME)
def test_examples_set_every_field(name: str) -> None:
    """A field left at its default would not show that it keeps its name."""
    example = BY_NAME[name]
    for field in msgspec.structs.fields(example):
        if not field.required and field.default is not msgspec.NODEFAULT and field.name != "type":
            assert getattr(example, field.name) != field.default, field.name


@pytest.mark.parametrize("name", BY_NAME)
def test_values_cannot_be_changed(name: str) -> None:
    example = BY_NAME[name]
    first = msgspec.structs.fields(example)[0].name
    with pytest.raises(AttributeError):
        setattr(example, first, None)


@pytest.mark.parametrize("shape", COMMANDS, ids=lambda shape: shape.__name__)
def test_commands_refuse_unknown_fields(shape: type[msgspec.Struct]) -> None:
    body = msgspec.json.decode(golden_file(shape).read_bytes()) | {"surprise": 1}
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.convert(body, shape)


@pytest.mark.parametrize("shape", sorted(shapes() - set(COMMANDS), key=str))
def test_everything_else_tolerates_unknown_fields(shape: type[msgspec.Struct]) -> None:
    """An older reader must understand a newer writer."""
    body = msgspec.json.decode(golden_file(shape).read_bytes()) | {"surprise": 1}
    assert msgspec.json.decode(msgspec.json.encode(body), type=shape) == BY_NAME[shape.__name__]


def test_update_tells_absent_from_empty() -> None:
    assert msgspec.json.decode(b"{}", type=UpdateSession) == UpdateSession()
    assert msgspec.json.decode(b'{"labels": []}', type=UpdateSession).labels == []
    assert UpdateSession().labels is msgspec.UNSET


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_event_catalogue_names_its_structs(name: str) -> None:
    shape = EVENT_TYPES[name]
    assert type_of(BY_NAME[shape.__name__]) == name  # type: ignore[arg-type]
    assert (shape.__doc__ or "").startswith(f"`{name}`:"), "its docstring begins with its name"


def test_event_data_converts_into_its_struct() -> None:
    event = msgspec.json.decode(golden_file(Event).read_bytes(), type=Event)
    assert msgspec.convert(event.data, EVENT_TYPES[event.type]) == SessionPaired(jid="5511900000001@s.whatsapp.net")


def test_a_worker_spec_does_not_show_its_secrets() -> None:
    spec = BY_NAME["WorkerSpec"]
    assert isinstance(spec, WorkerSpec)
    assert spec.access_key_hashes[0] not in f"{spec} {spec!r}"
    assert "proxy.example" not in repr(spec)


def test_a_heartbeat_needs_no_optional_part() -> None:
    full = msgspec.json.decode(golden_file(Heartbeat).read_bytes())
    required = {field.name for field in msgspec.structs.fields(Heartbeat) if field.required}
    beat = msgspec.convert({name: full[name] for name in required}, Heartbeat)
    assert (beat.jid, beat.counters.events, beat.last_error) == (None, 0, None)


def test_exit_codes_are_distinct_and_portable() -> None:
    codes = [int(code) for code in WorkerExit]
    assert len(set(codes)) == len(codes)
    assert all(0 <= code < 126 for code in codes), "126 and above belong to shells and signals"


def test_exit_codes_that_must_not_be_repeated() -> None:
    assert {64, 65, 67} == NEVER_RETRY
    assert NEVER_RETRY < NOT_RESTARTED_AT_ONCE
    assert not {WorkerExit.CRASHED, WorkerExit.ENGINE_ENDED, WorkerExit.REPLACE} & NOT_RESTARTED_AT_ONCE


def test_keys_of_two_prefixes_or_sessions_never_meet() -> None:
    names = {key(prefix, session) for key in (heartbeat, qr) for prefix in ("a", "b") for session in ("x", "y")}
    assert len(names | {events("a"), events("b")}) == 10

"""Whatever is said to the parsers that face the outside: a value that means the same when written again, or a typed error."""

# ruff: noqa: PT017 -- a refusal is one of two good outcomes here, and says something to be looked at

from __future__ import annotations

import os
import string
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecosystem.contract.errors import DomainError, InvalidJid, InvalidPhone, InvalidSettings
from ecosystem.contract.events import EVENT_TYPES, Event
from ecosystem.contract.ids import (
    bare_jid,
    jid_server,
    jid_user,
    parse_jid,
    parse_phone,
    parse_recipient,
    parse_session_id,
)
from ecosystem.contract.routescopes import worker_route
from ecosystem.outgoing import check_reach, check_url
from ecosystem.settings import ALIASES, Settings, check, load
from ecosystem.settings.loading import read_dotenv
from ecosystem.web import decode_body, invalid
from orchestrator.access.remote import parse_networks, parse_origins
from orchestrator.access.secret import basic_pair, check_given
from orchestrator.gateway.target import split_target
from orchestrator.webhooks.matching import check_events
from orchestrator.webhooks.relay import _decode
from orchestrator.webhooks.sender import retry_after_s
from orchestrator.webhooks.stream import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Nothing, texts that are nearly right, and everything Unicode has, unpaired surrogates among it.
ANY = st.one_of(
    st.text(st.characters()),
    st.text(string.printable),
    st.text("0123456789@:.+-_ abcdef%/\\[]{}\x00\r\n"),
    st.from_regex(r"[0-9+(). -]{1,20}(:[0-9]+)?(@(s\.whatsapp\.net|lid|g\.us|[a-z.]+))?", fullmatch=True),
    st.sampled_from(
        ["", "\ud800", "５５１１９１２３４５６７８", "5511912345678@s.whatsapp.net\n", "default", "..", "a" * 64]
    ),
)
SERVERS = ("s.whatsapp.net", "lid", "g.us", "newsletter", "broadcast")
VALUES = st.one_of(ANY, st.none(), st.integers(), st.floats(), st.binary(), st.booleans(), st.lists(st.integers()))
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(string.ascii_lowercase + "_", max_size=12), inner, max_size=4),
    ),
    max_leaves=12,
)


# --- ids, phone numbers, addresses


@given(st.one_of(VALUES, st.from_regex(r"[a-z0-9-]{1,70}[A-Z_./ \n\x00]?[a-z0-9-]?", fullmatch=True)))
def test_ids(value: object) -> None:
    try:
        found = parse_session_id(value, field="f")
    except DomainError as error:
        assert error.field == "f"
    else:
        assert parse_session_id(found) == found == value
        # Said once more, by hand: it is the name of a folder and part of keys, paths and labels.
        assert set(found) <= set(string.ascii_lowercase + string.digits + "-")
        assert len(found) <= 63
        assert not found.startswith("-")
        assert not found.endswith("-")


@given(VALUES)
def test_phone_numbers(value: object) -> None:
    try:
        found = parse_phone(value, field="f")
    except InvalidPhone as error:
        assert error.field == "f"
    else:
        assert parse_phone(found) == parse_phone(f"+{found}") == found
        assert found.isascii()
        assert found.isdigit()


@given(st.one_of(VALUES, st.from_regex(r"[0-9]{1,18}@[a-z.]{1,12}\n?", fullmatch=True)))
def test_addresses(value: object) -> None:
    try:
        found = parse_jid(value, field="f")
    except (InvalidJid, InvalidPhone) as error:
        assert error.field == "f"
    else:
        assert parse_jid(found) == found == value
        assert jid_server(found) in SERVERS
        assert parse_recipient(found) == bare_jid(found) == f"{jid_user(found)}@{jid_server(found)}"


# --- settings


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zvf-", dir="/tmp") as made:
        yield Path(made)


FIELDS = list(Settings.__struct_fields__)
NAMES = st.one_of(
    st.sampled_from([name.upper() for name in FIELDS]),
    st.sampled_from(sorted(ALIASES)),
    st.text("ABCDEFGHIJ_", min_size=1),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,3})?(ms|s|m|h|d|kb)?", fullmatch=True),
    st.sampled_from(
        ["", "true", "off", "debug", "/tmp/x", "a:b", "postgres://a:b@c/d", "unix:///x", "http://x", "*", "1e999"]
    ),
)
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@SLOW
@given(st.dictionaries(NAMES, TEXTS, max_size=5))
def test_settings_of_the_environment(folder: Path, environ: dict[str, str]) -> None:
    environ = {name: text for name, text in environ.items() if name != "ZAPVISOR_CONFIG"}
    try:
        found = load(environ=environ, folder=folder)
    except InvalidSettings as error:
        assert error.message
    else:
        again = msgspec.json.decode(msgspec.json.encode(found), type=Settings)
        assert again == found
        assert check(msgspec.to_builtins(found)) == found


@SLOW
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.lists(st.tuples(NAMES, TEXTS)).map(lambda pairs: "\n".join(f"{name} = {text}" for name, text in pairs)),
    ),
    st.sampled_from([".env", "ecosystem.toml"]),
)
def test_settings_of_a_file(folder: Path, text: str, name: str) -> None:
    path = folder / name
    path.write_bytes(text.encode())
    try:
        load(environ={}, folder=folder)
    except InvalidSettings as error:
        assert error.message
    finally:
        path.unlink()


@SLOW
@given(st.binary(), st.sampled_from([".env", "ecosystem.toml"]))
def test_settings_of_bytes(folder: Path, data: bytes, name: str) -> None:
    path = folder / name
    path.write_bytes(data)
    try:
        load(environ={}, folder=folder)
    except InvalidSettings as error:
        assert os.fspath(path) in error.message or error.field
    finally:
        path.unlink()


@SLOW
@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\"'\x85")),
        max_size=4,
    )
)
def test_what_is_written_into_a_dotenv_is_read_from_it(folder: Path, values: dict[str, str]) -> None:
    path = folder / "round.env"
    path.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()), encoding="utf-8")
    assert read_dotenv(path) == values


# --- events


EVENTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    id=st.text(string.ascii_uppercase + string.digits, min_size=26, max_size=26),
    type=st.sampled_from(sorted(EVENT_TYPES)),
    session_id=st.just("alpha"),
    seq=st.integers(0, 2**53),
    timestamp=st.datetimes().map(lambda when: when.isoformat() + "Z"),
    jid=st.none(),
    data=st.dictionaries(st.text(string.ascii_lowercase, max_size=8), JSON, max_size=4),
)


@given(st.one_of(st.binary(), JSON.map(msgspec.json.encode), EVENTS.map(msgspec.json.encode)))
def test_entries_of_the_stream(body: bytes) -> None:
    found = _decode(Entry("1-0", body))
    if found is not None:
        assert _decode(Entry("1-0", msgspec.json.encode(found))) == found


def test_an_entry_that_is_nested_too_deeply() -> None:
    deep = b'{"id":"x","type":"x","session_id":"a","seq":1,"timestamp":"2026-01-02T03:04:05Z","jid":null,"data":{"a":'
    assert _decode(Entry("1-0", deep + b"[" * 100_000 + b"]" * 100_000 + b"}}")) is None


@given(EVENTS)
def test_events_go_through_json_unchanged(event: dict[str, Any]) -> None:
    found = msgspec.convert(event, Event)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Event) == found
    assert msgspec.to_builtins(found)["data"] == event["data"]


@given(st.sampled_from(sorted(EVENT_TYPES)), JSON)
def test_data_of_events(name: str, data: object) -> None:
    """Data of another version, or of nobody: an error that names a field, never another one."""
    try:
        found = msgspec.convert(data, EVENT_TYPES[name])
    except msgspec.ValidationError as error:
        assert invalid(error, EVENT_TYPES[name]).message
    else:
        again = msgspec.json.decode(msgspec.json.encode(found), type=EVENT_TYPES[name])
        assert again == found


@given(st.one_of(st.binary(), JSON.map(msgspec.json.encode)))
def test_bodies(raw: bytes) -> None:
    try:
        decode_body(raw, dict[str, int])
    except DomainError as error:
        assert error.code in ("malformed_body", "invalid_request")


@given(st.lists(ANY, max_size=3))
def test_patterns_of_events(patterns: list[str]) -> None:
    try:
        found = check_events(patterns)
    except DomainError as error:
        assert error.field
    else:
        assert check_events(list(found)) == found


# --- the rest of what faces the outside


@given(ANY)
def test_paths(path: str) -> None:
    worker_route("GET", path)
    try:
        below, _ = split_target(f"/api/alpha/{path}", 2)
    except DomainError as error:
        assert error.code in ("route_not_found", "invalid_request")
    else:
        assert below.startswith("/")
        assert ".." not in below.replace("\\", "/").split("/")


@example("http://a\xb4/x")
@example("http://a\xaf\xc7X\xa7")
@example("http://a8(:80")
@example("http://;")
@example("http://[]@/x")
@given(st.one_of(ANY, ANY.map(lambda host: f"http://{host}/x"), st.from_regex(r"https?://[0-9a-fx.\[\]:@%]{1,30}(:[0-9]{1,6})?/.?",
                                                                             fullmatch=True)))  # fmt: skip
def test_urls(text: str) -> None:
    try:
        url = check_url(text, field="f")
        check_reach(url, allow_private=False, field="f")
    except DomainError as error:
        assert (error.code, error.field) == ("invalid_request", "f")
    else:
        # Not the objects: one keeps a port that goes without saying (`:80`), which its text leaves out.
        assert str(check_url(str(url))) == str(url)


@given(ANY)
def test_headers_and_keys(text: str) -> None:
    pair = basic_pair(text)
    assert pair is None or len(pair) == 2
    for parse in (
        lambda: check_given(text),
        lambda: parse_networks(text, field="f"),
        lambda: parse_origins(text, field="f"),
    ):
        try:
            parse()
        except DomainError as error:
            assert error.field in ("api_key", "f")
    pause = retry_after_s(text, NOW)
    assert pause is None or pause >= 0

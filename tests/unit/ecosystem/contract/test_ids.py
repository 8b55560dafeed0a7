"""Names of things: what is accepted, what is refused and with which error."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import (
    InvalidJid,
    InvalidPhone,
    InvalidSessionId,
    ReservedSessionId,
    SessionIdRequired,
)
from ecosystem.contract.ids import (
    RESERVED_SESSION_IDS,
    Jid,
    PhoneNumber,
    bare_jid,
    jid_of,
    jid_server,
    jid_user,
    new_ulid,
    parse_jid,
    parse_phone,
    parse_recipient,
    parse_session_id,
    ulid,
)

INNER = string.ascii_lowercase + string.digits + "-"
EDGE = string.ascii_lowercase + string.digits
session_ids = st.one_of(
    st.text(EDGE, min_size=1, max_size=1),
    st.tuples(st.sampled_from(EDGE), st.text(INNER, max_size=61), st.sampled_from(EDGE)).map("".join),
).filter(lambda text: text not in RESERVED_SESSION_IDS)
phones = st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True)


@given(session_ids)
def test_dns_labels_are_session_ids(text: str) -> None:
    assert parse_session_id(text) == text


@given(st.text())
def test_a_session_id_is_a_dns_label_or_refused(text: str) -> None:
    is_label = 0 < len(text) <= 63 and set(text) <= set(INNER) and not text.startswith("-") and not text.endswith("-")
    try:
        parse_session_id(text)
    except (SessionIdRequired, InvalidSessionId):
        assert not is_label
    except ReservedSessionId:
        assert text in RESERVED_SESSION_IDS
    else:
        assert is_label


@pytest.mark.parametrize(
    "text",
    [
        "A", "Alpha", "a b", "a/b", "..", ".", "a..b", "a.b", "a_b", "-a", "a-", "-", "a\n", "\na", "a\0", "\0", "á", "ａ", "٣",
        "a" * 64, "%61", "a%2fb", " ", "a:b", "a@b", 1, True, b"a", ["a"], {},
    ],
)  # fmt: skip
def test_bad_session_ids(text: object) -> None:
    with pytest.raises(InvalidSessionId) as caught:
        parse_session_id(text, field="id")
    assert caught.value.field == "id"
    assert caught.value.message.startswith("id must be")


@pytest.mark.parametrize("text", [None, ""])
def test_no_session_id(text: object) -> None:
    with pytest.raises(SessionIdRequired) as caught:
        parse_session_id(text)
    assert (caught.value.status, caught.value.message) == (400, "session_id is required")


@pytest.mark.parametrize("text", sorted(RESERVED_SESSION_IDS))
def test_words_of_the_api_are_refused(text: str) -> None:
    with pytest.raises(ReservedSessionId, match=text):
        parse_session_id(text)


def test_the_default_session_and_the_longest_id_are_fine() -> None:
    assert parse_session_id("default") == "default"
    assert parse_session_id("a" * 63) == "a" * 63
    assert parse_session_id("0") == "0"


@given(phones, st.sampled_from(["", "+", " +", "  "]), st.lists(st.integers(1, 14)), st.sampled_from(" .-()"))
def test_a_phone_number_may_be_written_as_people_do(digits: str, prefix: str, places: list[int], mark: str) -> None:
    written = "".join(mark * (place in places) + digit for place, digit in enumerate(digits))
    assert parse_phone(prefix + written) == digits


@pytest.mark.parametrize(
    "text",
    ["", "+", "0", "1234567", "1" * 16, "012345678", "55119x0000001", "5511+900000001", "++5511900000001", "٥٥١١٩٠٠٠٠٠٠٠٠١",
     "5511900000001@s.whatsapp.net", "5511900000001\0", None, 5511900000001, b"5511900000001"],
)  # fmt: skip
def test_bad_phone_numbers(text: object) -> None:
    with pytest.raises(InvalidPhone) as caught:
        parse_phone(text, field="to")
    assert caught.value.field == "to"
    assert caught.value.hint


@given(phones)
def test_a_phone_number_becomes_an_address_and_back(digits: str) -> None:
    jid = jid_of(PhoneNumber(digits))
    assert parse_jid(jid) == jid
    assert (jid_user(jid), jid_server(jid)) == (digits, "s.whatsapp.net")
    assert parse_recipient(f"+{digits}") == parse_recipient(jid) == jid


@given(phones, st.integers(0, 99999), st.sampled_from(["s.whatsapp.net", "lid"]))
def test_the_device_part_goes_away(user: str, device: int, server: str) -> None:
    jid = parse_jid(f"{user}:{device}@{server}")
    assert bare_jid(jid) == parse_recipient(jid) == f"{user}@{server}"
    assert jid_user(jid) == user


@pytest.mark.parametrize("text", ["1203630@g.us", "5511-1600@g.us", "status@broadcast", "123@lid", "1203@newsletter"])
def test_addresses_of_every_server(text: str) -> None:
    assert parse_jid(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "@", "a@", "@g.us", "a@example.com", "a@G.US", "a@@g.us", "a b@g.us", "a/b@g.us", "../x@g.us", "1:2:3@lid", "1:@lid",
     "1@lid\n", "1@lid\0", "a" * 65 + "@g.us", None, 1],
)  # fmt: skip
def test_bad_addresses(text: object) -> None:
    with pytest.raises(InvalidJid) as caught:
        parse_jid(text, field="chat")
    assert caught.value.field == "chat"


@pytest.mark.parametrize("text", ["123@s.whatsapp.net", "5511-900000001@s.whatsapp.net", "a.b@s.whatsapp.net"])
def test_a_user_address_carries_a_phone_number(text: str) -> None:
    with pytest.raises(InvalidPhone):
        parse_jid(text)


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
def test_a_recipient_is_an_address_or_a_documented_error(text: object) -> None:
    try:
        jid = parse_recipient(text)
    except (InvalidJid, InvalidPhone) as error:
        named = error.field
    else:
        named = "phone"
        assert parse_jid(jid) == bare_jid(Jid(jid)) == jid
    assert named == "phone"


def test_a_person_may_be_written_as_clients_of_whatsapp_web_do() -> None:
    assert parse_recipient(" 5511912345678@c.us ") == "5511912345678@s.whatsapp.net"
    with pytest.raises(InvalidPhone):
        parse_recipient("nobody@c.us")


moments = st.integers(0, 2**48 - 1)
randomness = st.binary(min_size=10, max_size=10)


@given(moments, moments, randomness, randomness)
def test_ulids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    a, b = ulid(first, one), ulid(second, other)
    assert len(a) == 26
    if (first, one) != (second, other):
        assert (a < b) == ((first, one) < (second, other))
    else:
        assert a == b


def test_ulid_against_the_specification() -> None:
    """https://github.com/ulid/spec: the largest one, and the time part of an example from there."""
    assert ulid(2**48 - 1, b"\xff" * 10) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    assert ulid(1469918176385, b"\0" * 10) == "01ARYZ6S410000000000000000"


@given(st.binary().filter(lambda noise: len(noise) != 10))
def test_ulid_takes_ten_bytes(noise: bytes) -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        ulid(0, noise)


def test_fresh_ulids_differ() -> None:
    assert len({new_ulid() for _ in range(1000)}) == 1000

"""Which target is told of which event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ecosystem.contract.errors import DomainError
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.contract.webhook import IgnoreRules, WebhookFormat
from orchestrator.webhooks.matching import check_events, check_ignore, is_ignored, lane_of, matches, wants
from tests.unit.orchestrator.webhooks.build import ANA, AT, GROUP, event, target


@pytest.mark.parametrize(
    ("patterns", "name", "yes"),
    [
        (["*"], "message", True),
        (["message"], "message", True),
        (["message"], "message.receipt", False),
        (["message.*"], "message.receipt", True),
        (["message.*"], "message", False),
        (["session.*", "message"], "session.qr", True),
        (["session.*"], "message", False),
        (["message.ack"], "message.receipt", True),
    ],
)
def test_patterns(patterns: list[str], name: str, yes: bool) -> None:
    assert matches(patterns, name) is yes


@pytest.mark.parametrize(
    ("changes", "yes"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"session_id": "alpha"}, True),
        ({"session_id": "beta"}, False),
        ({"events": ("session.*",)}, False),
        ({"deleted_at": AT}, False),
        ({"retired_at": AT}, True),
        ({"retired_at": AT - timedelta(seconds=1)}, False),
        ({"ignore": IgnoreRules(jids=[ANA])}, False),
    ],
)
def test_wants(changes: dict[str, Any], yes: bool) -> None:
    assert wants(target(**changes), event()) is yes


def test_gowa_targets_are_told_what_gowa_knows() -> None:
    gowa = target(format=WebhookFormat.GOWA)
    assert wants(gowa, event("message"))
    assert not wants(gowa, event("session.state", data={}))


@pytest.mark.parametrize(
    ("rules", "data", "yes"),
    [
        ({}, {"chat": GROUP}, False),
        ({"groups": True}, {"chat": GROUP}, True),
        ({"groups": True}, {"chat": ANA, "sender": {"jid": ANA}}, False),
        ({"channels": True}, {"chat": "120363144038483540@newsletter"}, True),
        ({"status": True}, {"chat": "status@broadcast"}, True),
        ({"status": True}, {"chat": "5511900000001-1@broadcast"}, False),
        ({"jids": [ANA]}, {"chat": GROUP, "sender": {"jid": ANA}}, True),
        ({"jids": [ANA]}, {"chat": GROUP, "sender": {"jid": "5511900000001:7@s.whatsapp.net"}}, True),
        ({"jids": ["123@lid"]}, {"chat": GROUP, "sender": {"jid": ANA, "lid": "123@lid"}}, True),
        ({"jids": ["@g.us"]}, {"chat": GROUP}, True),
        ({"jids": ["@g.us"]}, {"chat": ANA}, False),
        ({"jids": [ANA]}, {"chat": None, "sender": None}, False),
        ({"jids": [ANA]}, {"call_id": "C", "caller": {"jid": ANA}}, True),
        ({"jids": ["@lid"]}, {"poll_id": "P", "voter": {"jid": ANA, "lid": "123@lid"}}, True),
        ({"groups": True}, {"group": GROUP, "name": "Lab"}, True),
        ({"groups": True}, {"call_id": "C", "caller": {"jid": ANA}, "group": GROUP}, True),
        ({"channels": True}, {"newsletter": "120363144038483540@newsletter"}, True),
        ({"groups": True, "status": True, "channels": True, "jids": [ANA]}, {}, False),
    ],
)
def test_ignore_rules(rules: dict[str, Any], data: dict[str, Any], yes: bool) -> None:
    assert is_ignored(IgnoreRules(**rules), event(data=data)) is yes


def test_a_groups_picture_is_the_groups() -> None:
    rules = IgnoreRules(groups=True)
    assert is_ignored(rules, event("picture", data={"jid": GROUP, "author": {"jid": ANA}}))
    assert not is_ignored(rules, event("picture", data={"jid": ANA, "author": {"jid": ANA}}))


def test_lanes_are_chats_of_sessions() -> None:
    assert lane_of(event()) == f"alpha/{ANA}"
    assert lane_of(event(session_id="beta")) != lane_of(event())
    assert lane_of(event("session.state", data={"old": "connecting"})) == "alpha/"
    assert lane_of(event(data={"chat": ""})) == "alpha/"
    assert "\x00" not in lane_of(event(data={"chat": "a\x00b"}))
    assert len(lane_of(event(data={"chat": "9" * 1000}))) <= 255


@pytest.mark.parametrize("name", [*EVENT_TYPES, "*", "message.*", "session.*", "message.ack"])
def test_known_events(name: str) -> None:
    assert check_events([name, name]) == [name]


@pytest.mark.parametrize(
    ("patterns", "field"),
    [
        ([], "events"),
        (["message", "mesage"], "events[1]"),
        ([""], "events[0]"),
        (["[a-z]*"], "events[0]"),
        (["nothing.*"], "events[0]"),
    ],
)
def test_unknown_events_are_refused_by_their_place(patterns: list[str], field: str) -> None:
    with pytest.raises(DomainError) as caught:
        check_events(patterns)
    assert caught.value.field == field


def test_a_slip_is_answered_with_what_was_probably_meant() -> None:
    with pytest.raises(DomainError) as caught:
        check_events(["mesage"])
    assert caught.value.hint == "did you mean message?"


def test_ignored_addresses_are_made_comparable() -> None:
    given = IgnoreRules(jids=["+55 11 90000-0001", "5511900000001:3@s.whatsapp.net", "@g.us", "status@broadcast"])
    assert check_ignore(given).jids == [ANA, "@g.us", "status@broadcast"]


@pytest.mark.parametrize("text", ["", "nonsense", "@nowhere", "x@y", "@"])
def test_ignored_nonsense_is_refused_by_its_place(text: str) -> None:
    with pytest.raises(DomainError) as caught:
        check_ignore(IgnoreRules(jids=[ANA, text]))
    assert caught.value.field == "ignore.jids[1]"

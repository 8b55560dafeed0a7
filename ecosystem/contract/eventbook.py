"""The catalogue of events as it is published: what each type means, one example of each, and the JSON Schema they follow.

`docs/events.md` is written from this, `GET /events/schema` and the OpenAPI document serve it. Workers do not load it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from ecosystem.contract import alerts, events, happenings, life, webhook_events
from ecosystem.contract.events import EVENT_TYPES, EventData, EventSource, Person, type_of
from ecosystem.contract.session import Reason, SessionState
from ecosystem.contract.webhook import WebhookPayload

Json: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JID: Final = "5511900000001@s.whatsapp.net"
LID: Final = "123456789@lid"
OWN: Final = "5511988887777@s.whatsapp.net"
GROUP: Final = "120363024512399999@g.us"
CHANNEL: Final = "120363144038483540@newsletter"
ANA: Final = Person(jid=JID, lid=LID, name="Ana")
BEA: Final = Person(jid="5521900000002@s.whatsapp.net", lid="987654321@lid")
EVENT_ID: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"

_REF: Final = "#/$defs/"
_MOMENT: Final = {"type": "string", "format": "date-time"}

ORCHESTRATED: Final = frozenset(
    {life.SessionCreated, life.SessionDeleted, alerts.AlertRaised, alerts.AlertEnded, webhook_events.WebhookDeadLetters}
)
"""What the orchestrator alone tells."""

_EXAMPLES: Final[tuple[EventData, ...]] = (
    life.SessionStateChanged(SessionState.CONNECTED, SessionState.AUTHENTICATED, Reason.ONLINE, "by code"),
    life.SessionCreated(name="The shop", labels=["vip"], running=True),
    life.SessionConnected(reason=Reason.ONLINE),
    life.SessionDisconnected(SessionState.AUTHENTICATED, Reason.NETWORK, "the socket closed"),
    life.SessionFailed(Reason.CRASH_LOOP, "5 restarts in 60 s"),
    life.SessionLoggedOut(detail="by the phone: logged_out"),
    life.SessionBanned(detail="sent_to_too_many_people until 2026-01-03T03:04:05+00:00"),
    life.SessionOutdated(detail="WhatsApp refuses this version of the client (405)"),
    life.SessionReplaced(detail="another connection uses this session's keys"),
    life.SessionDeleted(name="The shop", account=Person(jid=OWN, lid="777@lid", name="Shop")),
    alerts.AlertRaised(
        alerts.AlertKind.BANNED, alerts.Severity.CRITICAL, "WhatsApp has banned the session's number", "temp_101"
    ),
    alerts.AlertEnded(
        alerts.AlertKind.BANNED, alerts.Severity.CRITICAL, "WhatsApp has banned the session's number", 3600.0
    ),
    webhook_events.WebhookDeadLetters(
        webhook_id="01JG8Z4W7Q3N5R2T9V6X0Y1B2C", name="CRM", events=30, reason=webhook_events.DeadReason.BACKLOG
    ),
    events.SessionQr(text="2@abc,def", seq=1, expires_in_s=60.0),
    events.SessionPaired(jid=JID, lid=LID),
    events.MessageReceived(
        message_id="3EB0",
        chat=JID,
        chat_lid=LID,
        sender=ANA,
        from_me=False,
        is_group=False,
        kind="image",
        text="Olá",
        timestamp=AT,
        quoted_id="3EB1",
        media=events.Media(
            kind="image",
            mimetype="image/jpeg",
            size_bytes=2048,
            filename="a.jpg",
            seconds=3,
            url="https://mmg.whatsapp.net/v/t62.7118-24/1.enc",
        ),
        quoted_text="Good morning",
        forwarded=True,
        view_once=True,
        location=events.Place(latitude=-6.2088, longitude=106.8456, name="Shop", address="Main Street 1", live=True),
        contacts=[events.SharedContact("Bea", "BEGIN:VCARD\nVERSION:3.0\nFN:Bea\nTEL:+55 21\nEND:VCARD", "+55 21")],
        referral={"ctwa_clid": "abc", "source_url": "https://fb.me/ad", "source_type": "ad"},
        quoted_sender=BEA,
        mentions=[ANA, BEA],
    ),
    events.MessageEdited(
        message_id="3EB0",
        chat=GROUP,
        chat_lid=LID,
        sender=ANA,
        from_me=True,
        is_group=True,
        text="Olá, Bea",
        timestamp=AT,
        change_id="3EB2",
    ),
    events.MessageRevoked(
        message_id="3EB0",
        chat=GROUP,
        chat_lid=LID,
        sender=ANA,
        from_me=True,
        is_group=True,
        timestamp=AT,
        change_id="3EB2",
    ),
    events.MessageReaction(
        message_id="3EB0",
        chat=GROUP,
        chat_lid=LID,
        sender=ANA,
        from_me=True,
        is_group=True,
        emoji="👍",
        timestamp=AT,
        change_id="3EB2",
    ),
    events.ReceiptReceived(
        message_ids=["3EB0"], chat=JID, sender=ANA, kind="read", timestamp=AT, chat_lid=LID, device=3
    ),
    events.MessageUndecryptable(message_id="3EB0", chat=JID, sender=ANA, timestamp=AT, chat_lid=LID),
    happenings.GroupJoined(group=GROUP, name="Lab", topic="Rules", members=[ANA, BEA], sender=ANA, reason="invite"),
    happenings.GroupChanged(
        group=GROUP,
        timestamp=AT,
        sender=ANA,
        name="Lab",
        topic="Rules",
        locked=True,
        announce=True,
        ephemeral_s=86_400,
        invite_link="https://chat.whatsapp.com/AbC",
        deleted=True,
        joined=[BEA],
        left=[BEA],
        promoted=[ANA],
        demoted=[ANA],
        join_reason="invite",
    ),
    happenings.PictureChanged(jid=JID, lid=LID, author=ANA, removed=True, timestamp=AT),
    happenings.ContactChanged(contact=ANA, old_name="Anna"),
    happenings.CallChanged(
        call_id="ABC",
        caller=ANA,
        state="ended",
        video=True,
        timestamp=AT,
        reason="timeout",
        group=GROUP,
        platform="android",
        version="2.24.1.5",
    ),
    happenings.PresenceChanged(contact=ANA, online=False, last_seen=AT),
    happenings.TypingChanged(chat=GROUP, chat_lid=LID, sender=ANA, is_group=True, state="typing"),
    happenings.HistorySynced(kind="recent", progress=50, chunk=2, chats=3, messages=40, names=5),
    happenings.PollVoted(
        poll_id="3EB0",
        chat=GROUP,
        chat_lid=LID,
        voter=ANA,
        from_me=True,
        options=["yes", None],
        hashes=["8d7f", "aa01"],
        timestamp=AT,
    ),
    happenings.NewsletterJoined(newsletter=CHANNEL, name="News", description="Every day", role="subscriber"),
    happenings.NewsletterLeft(newsletter=CHANNEL, role="guest"),
    happenings.NewsletterMuted(newsletter=CHANNEL, muted=True),
    happenings.NewsletterPosted(
        newsletter=CHANNEL,
        posts=[happenings.NewsletterPost(server_id=123, kind="text", text="Hello", views=1500, reactions={"👍": 50})],
        timestamp=AT,
    ),
)
EXAMPLES: Final[dict[str, EventData]] = {type_of(data): data for data in _EXAMPLES}
"""By the name of the type. Every member is set, also where real events have only some of them."""


def meaning(name: str) -> str:
    """What the type is about: the docstring of its struct, without the name it begins with."""
    said = " ".join((EVENT_TYPES[name].__doc__ or "").split())
    return said.removeprefix(f"`{name}`:").strip()


def example(name: str) -> WebhookPayload:
    """One event of that type as targets and live feeds receive it."""
    data = EXAMPLES[name]
    alone = type(data) in ORCHESTRATED
    return WebhookPayload(
        id=EVENT_ID,
        event=name,
        session_id="alpha",
        device_jid=OWN,
        seq=2 if alone else 41,
        timestamp=AT,
        data=msgspec.to_builtins(data, builtin_types=(datetime,)),
        metadata={"customer": 7},
        source=EventSource.ORCHESTRATOR if alone else EventSource.WORKER,
    )


def body_schema(name: str, envelope: Json, data: Json) -> Json:
    """The schema of a whole body of that type, out of the schema of the envelope and that of its data."""
    return {
        **envelope,
        "title": name,
        "description": meaning(name),
        "properties": {**envelope["properties"], "event": {"const": name}, "timestamp": _MOMENT, "data": data},
    }


def schema() -> Json:
    """The JSON Schema of every event, as `GET /events/schema` answers it: `$defs` has one definition an event, by its name."""
    found, shared = msgspec.json.schema_components(
        [*EVENT_TYPES.values(), WebhookPayload], ref_template=_REF + "{name}"
    )
    envelope = shared[str(found[-1]["$ref"]).removeprefix(_REF)]
    bodies = {name: body_schema(name, envelope, data) for name, data in zip(EVENT_TYPES, found[:-1], strict=True)}
    return {
        "$schema": DIALECT,
        "title": "Zapvisor events",
        "description": "What webhooks in the format `zapvisor` and the live feeds carry.",
        "oneOf": [{"$ref": f"{_REF}{name}"} for name in bodies],
        "$defs": {**shared, **bodies},
    }

"""Native events, built from the library's own message types, as contract events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ecosystem.contract.events import Media, MessageEdited, MessageReaction, MessageReceived, MessageRevoked, Person
from worker.engine import lifecycle, translate
from worker.engine import protocol as say
from worker.engine.natives import e2e, neonize
from worker.engine.translate import native_jid

ME, ME_LID = "4915100000001@s.whatsapp.net", "11@lid"
BEA, BEA_LID = "4915100000002@s.whatsapp.net", "22@lid"
GROUP = "120363000000000001@g.us"
NOTHING = neonize.JID(User="", Server="", Device=0, RawAgent=0, Integrator=0, IsEmpty=True)


def source(
    chat: str, sender: str, *, alt: str | None = None, recipient_alt: str | None = None, me: bool = False
) -> Any:
    return neonize.MessageSource(
        Chat=native_jid(chat),
        Sender=native_jid(sender),
        IsFromMe=me,
        IsGroup=chat.endswith("@g.us"),
        AddressingMode=2,
        SenderAlt=native_jid(alt) if alt else NOTHING,
        RecipientAlt=native_jid(recipient_alt) if recipient_alt else NOTHING,
        BroadcastListOwner=NOTHING,
    )


def native(content: Any, where: Any = None, **info: Any) -> Any:
    found = neonize.Message()
    found.Info.MessageSource.CopyFrom(where or source(BEA_LID, "22:4@lid", alt="4915100000002:4@s.whatsapp.net"))
    found.Info.ID = info.get("id", "3EB0")
    found.Info.Timestamp = info.get("timestamp", 1_767_225_600)
    found.Info.Pushname = "Bea"
    found.Info.Category = info.get("category", "")
    found.Message.CopyFrom(content)
    return found


def message(event: Any, known: dict[str, str] | None = None) -> MessageReceived:
    found = translate.message(event, known or {})
    assert isinstance(found, MessageReceived)
    return found


def said(content: Any, **info: Any) -> MessageReceived | None:
    found = translate.message(native(content, **info), {})
    assert found is None or isinstance(found, MessageReceived)
    return found


def test_a_private_message_goes_by_the_phone_number_and_keeps_the_lid() -> None:
    assert said(e2e.Message(conversation="hi")) == MessageReceived(
        message_id="3EB0",
        chat=BEA,
        chat_lid=BEA_LID,
        sender=Person(jid=BEA, lid=BEA_LID, name="Bea"),
        from_me=False,
        is_group=False,
        kind="text",
        text="hi",
        timestamp=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )


def test_the_other_address_comes_from_what_was_learnt() -> None:
    lonely = native(e2e.Message(conversation="hi"), source(BEA_LID, BEA_LID))
    assert translate.lonely(17, lonely) == {BEA_LID}
    found = message(lonely, {BEA_LID: BEA})
    assert (found.chat, found.chat_lid, found.sender.jid) == (BEA, BEA_LID, BEA)


def test_an_unknown_other_address_leaves_the_lid() -> None:
    found = message(native(e2e.Message(conversation="hi"), source(BEA_LID, BEA_LID)))
    assert (found.chat, found.chat_lid) == (BEA_LID, BEA_LID)
    assert found.sender == Person(jid=None, lid=BEA_LID, name="Bea")


def test_a_group_message() -> None:
    where = source(GROUP, "22:1@lid", alt="4915100000002:1@s.whatsapp.net")
    found = message(native(e2e.Message(conversation="hi"), where))
    assert (found.chat, found.chat_lid, found.is_group) == (GROUP, None, True)
    assert found.sender == Person(jid=BEA, lid=BEA_LID, name="Bea")


def test_a_message_of_our_own_other_device() -> None:
    where = source(BEA_LID, "11:2@lid", alt="4915100000001:2@s.whatsapp.net", recipient_alt=BEA, me=True)
    inner = e2e.Message(conversation="from my phone")
    wrapped = e2e.Message(deviceSentMessage=e2e.DeviceSentMessage(destinationJID=BEA_LID, message=inner))
    found = message(native(wrapped, where))
    assert (found.chat, found.chat_lid, found.from_me, found.text) == (BEA, BEA_LID, True, "from my phone")
    assert found.sender == Person(jid=ME, lid=ME_LID)


def key(message_id: str) -> dict[str, Any]:
    return {"ID": message_id, "remoteJID": BEA, "fromMe": False}


@pytest.mark.parametrize(
    ("content", "kind", "text", "quoted", "media"),
    [
        ({"conversation": "a"}, "text", "a", None, None),
        (
            {"extendedTextMessage": {"text": "b", "contextInfo": {"stanzaID": "Q1"}}},
            "text", "b", "Q1", None,
        ),
        (
            {"imageMessage": {"caption": "c", "mimetype": "image/jpeg", "fileLength": 7}},
            "image", "c", None, Media(kind="image", mimetype="image/jpeg", size_bytes=7),
        ),
        (
            {"documentMessage": {"mimetype": "application/pdf", "fileName": "d.pdf"}},
            "document", None, None, Media(kind="document", mimetype="application/pdf", filename="d.pdf"),
        ),
        (
            {"audioMessage": {"mimetype": "audio/ogg", "seconds": 3}},
            "audio", None, None, Media(kind="audio", mimetype="audio/ogg", seconds=3),
        ),
        ({"ephemeralMessage": {"message": {"conversation": "gone soon"}}}, "text", "gone soon", None, None),
        (
            {"documentWithCaptionMessage": {"message": {"documentMessage": {"caption": "cap", "mimetype": "a/b"}}}},
            "document", "cap", None, Media(kind="document", mimetype="a/b"),
        ),
        ({"pollCreationMessageV3": {"name": "lunch?"}}, "poll", "lunch?", None, None),
        ({"locationMessage": {"name": "here"}}, "location", "here", None, None),
        ({"invoiceMessage": {"note": "pay"}}, "unknown", None, None, None),
        (
            {"senderKeyDistributionMessage": {"groupID": GROUP}, "conversation": "with a key"},
            "text", "with a key", None, None,
        ),
    ],
)  # fmt: skip
def test_what_a_message_says(
    content: dict[str, Any], kind: str, text: str | None, quoted: str | None, media: Media | None
) -> None:
    found = said(build(e2e.Message(), content))
    assert found is not None
    assert (found.kind, found.text, found.quoted_id, found.media) == (kind, text, quoted, media)


def build(target: Any, fields: dict[str, Any]) -> Any:
    for name, value in fields.items():
        if isinstance(value, dict):
            getattr(target, name).SetInParent()
            build(getattr(target, name), value)
        elif isinstance(value, list):
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)
    return target


EDITED = {"protocolMessage": {"type": 14, "key": key("M1"), "editedMessage": {"conversation": "new"}}}


@pytest.mark.parametrize(
    ("content", "shape", "more"),
    [
        ({"reactionMessage": {"key": key("M1"), "text": "x"}}, MessageReaction, {"emoji": "x"}),
        ({"reactionMessage": {"key": key("M1"), "text": ""}}, MessageReaction, {"emoji": ""}),
        ({"protocolMessage": {"type": 0, "key": key("M1")}}, MessageRevoked, {}),
        (EDITED, MessageEdited, {"text": "new"}),
        ({"editedMessage": {"message": EDITED}}, MessageEdited, {"text": "new"}),
    ],
)
def test_what_is_said_about_another_message(content: dict[str, Any], shape: Any, more: dict[str, Any]) -> None:
    common = {
        "message_id": "M1", "chat": BEA, "chat_lid": BEA_LID, "sender": Person(jid=BEA, lid=BEA_LID, name="Bea"),
        "from_me": False, "is_group": False, "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "change_id": "3EB0",
    }  # fmt: skip
    assert translate.message(native(build(e2e.Message(), content)), {}) == shape(**common, **more)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({"conversation": "a"}, None),
        ({"extendedTextMessage": {"text": "a", "title": "t"}}, None),
        ({"protocolMessage": {"type": 0, "key": key("M1")}}, None),
        ({"locationMessage": {"name": "here"}, "messageContextInfo": {"messageSecret": b"x"}}, "locationMessage"),
        ({"viewOnceMessage": {"message": {"imageMessage": {"caption": "c"}}}}, "imageMessage"),
    ],
)
def test_what_is_kept_of_a_message(content: dict[str, Any], kept: str | None) -> None:
    found = translate.kept_content(build(e2e.Message(), content))
    if kept is None:
        assert found is None
    else:
        assert found is not None
        assert [field.name for field, _ in e2e.Message.FromString(found).ListFields()] == [kept]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"senderKeyDistributionMessage": {"groupID": GROUP}},
        {"messageContextInfo": {"messageSecret": b"x"}},
        {"protocolMessage": {"type": 6, "appStateSyncKeyShare": {}}},
        {"protocolMessage": {"type": 5, "historySyncNotification": {}}},
        {"protocolMessage": {"type": 3, "ephemeralExpiration": 60}},
        {"deviceSentMessage": {"message": {"senderKeyDistributionMessage": {"groupID": GROUP}}}},
    ],
)
def test_what_only_devices_talk_about_is_nothing(content: dict[str, Any]) -> None:
    assert said(build(e2e.Message(), content)) is None


def test_peer_messages_are_nothing() -> None:
    assert said(e2e.Message(conversation="x"), category="peer") is None


def test_times_in_seconds_and_in_milliseconds() -> None:
    assert translate.moment(1_767_225_600) == translate.moment(1_767_225_600_000)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1, "delivered"),
        (4, "read"),
        (6, "played"),
        (9, "delivered"),
        (3, "retry"),
        (5, "read_self"),
        (2, None),
        (10, None),
        (11, None),
    ],
)
def test_receipts(number: int, kind: str | None) -> None:
    receipt = neonize.Receipt(
        MessageSource=source(BEA_LID, "22:4@lid", alt=BEA), MessageIDs=["A", "B"], Timestamp=1_767_225_600, Type=number
    )
    found = translate.receipt(receipt, {})
    if kind is None:
        assert found is None
        return
    assert found is not None
    assert (found.kind, found.message_ids, found.chat) == (kind, ["A", "B"], BEA)


def test_every_receipt_type_of_the_library_is_decided() -> None:
    assert set(translate.RECEIPT_KINDS) == {value.number for value in neonize.Receipt.ReceiptType.DESCRIPTOR.values}


def test_every_kind_and_text_names_a_real_field() -> None:
    fields = e2e.Message.DESCRIPTOR.fields_by_name
    assert set(translate.KINDS) | translate.WRAPPERS <= set(fields)
    for name, member in translate.TEXTS.items():
        assert member in fields[name].message_type.fields_by_name, name
    for name in translate.WRAPPERS:
        assert "message" in fields[name].message_type.fields_by_name, name


@pytest.mark.parametrize(
    ("code", "event", "expected"),
    [
        (2, neonize.PairStatus(ID=native_jid("1:2@s.whatsapp.net"), BusinessName="", Platform="", Status=2, Error=""),
         say.Paired(jid="1:2@s.whatsapp.net")),
        (2, neonize.PairStatus(ID=NOTHING, BusinessName="", Platform="", Status=1, Error="no"), say.PairingRefused(error="no")),
        (3, neonize.Connected(status=True), say.Online()),
        (6, neonize.LoggedOut(OnConnect=True, Reason=2), say.LoggedOut(on_connect=True, detail="logged_out")),
        (7, neonize.StreamReplaced(), say.Replaced()),
        (8, neonize.TemporaryBan(Code=1, Expire=3600), say.Banned(code="send_to_too_many_people", seconds=3600)),
        (8, neonize.TemporaryBan(Code=1, Expire=3600 * 10**9), say.Banned(code="send_to_too_many_people", seconds=3600)),
        (9, neonize.ConnectFailure(Reason=1, Message="m", Raw=neonize.Node(Tag="x", Attrs=[], Nodes=[], Nil=True, Bytes=b"")),
         say.Refused(detail="generic m")),
        (9, neonize.ConnectFailure(Reason=10, Message="", Raw=neonize.Node(Tag="x", Attrs=[], Nodes=[], Nil=True, Bytes=b"")),
         say.Trouble(detail="login failed: service_unavailable")),
        (10, neonize.ClientOutdated(), say.Outdated()),
        (12, neonize.Disconnected(status=True), say.Offline()),
    ],
)  # fmt: skip
def test_the_connection(code: int, event: Any, expected: say.EngineEvent) -> None:
    assert lifecycle.LIFECYCLE[code][1](event) == expected

"""What a message says beside its text."""

from __future__ import annotations

from typing import Any

import pytest

from ecosystem.contract.events import Media, MessageUndecryptable, Person, Place, ReceiptReceived, SharedContact
from tests.unit.worker.test_translate import BEA, BEA_LID, GROUP, ME, ME_LID, build, message, native, source
from worker.engine import details, translate
from worker.engine.natives import e2e, neonize

CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bea\r\nitem1.TEL;waid=5521:+55 21 9\r\n 999\r\nEND:VCARD"


def said(**fields: Any) -> Any:
    return message(native(build(e2e.Message(), fields)))


def test_a_quote_carries_its_words() -> None:
    quoted = {"stanzaID": "M0", "quotedMessage": {"imageMessage": {"caption": "before"}}}
    found = said(extendedTextMessage={"text": "after", "contextInfo": quoted})
    assert (found.quoted_id, found.quoted_text, found.forwarded) == ("M0", "before", False)


def test_who_is_quoted_and_mentioned_by_both_addresses() -> None:
    context = {"stanzaID": "M0", "participant": "11:3@lid", "mentionedJID": [ME_LID, BEA, ME_LID]}
    event = native(build(e2e.Message(), {"imageMessage": {"caption": "@11 @49", "contextInfo": context}}))
    assert translate.lonely(translate.MESSAGE, event) == {ME_LID, BEA}
    found = message(event, {ME_LID: ME, BEA: BEA_LID})
    assert found.quoted_sender == Person(jid=ME, lid=ME_LID)
    assert found.mentions == [Person(jid=ME, lid=ME_LID), Person(jid=BEA, lid=BEA_LID)]


def test_whom_nobody_knows_is_mentioned_as_it_was_written_and_what_is_no_person_not_at_all() -> None:
    context = {
        "participant": GROUP,
        "stanzaID": "M0",
        "mentionedJID": [BEA_LID, "", "@lid", GROUP, "nonsense", "1@x@y"],
    }
    found = said(extendedTextMessage={"text": "x", "contextInfo": context})
    assert (found.quoted_sender, found.mentions) == (None, [Person(lid=BEA_LID)])


def test_a_whole_group_is_mentioned_without_asking_for_each() -> None:
    everybody = [f"{number}@lid" for number in range(1, 2001)]
    content = build(
        e2e.Message(), {"extendedTextMessage": {"text": "@all", "contextInfo": {"mentionedJID": everybody}}}
    )
    assert len(translate.lonely(translate.MESSAGE, native(content))) == 32
    assert len(message(native(content)).mentions) == 1024


def test_what_was_forwarded() -> None:
    assert said(extendedTextMessage={"text": "x", "contextInfo": {"isForwarded": True}}).forwarded


@pytest.mark.parametrize("wrapper", details.VIEW_ONCE)
def test_what_may_be_seen_once(wrapper: str) -> None:
    assert said(**{wrapper: {"message": {"imageMessage": {"caption": "c"}}}}).view_once
    assert said(imageMessage={"caption": "c", "viewOnce": True}).view_once
    assert not said(imageMessage={"caption": "c"}).view_once
    unwrapped = native(build(e2e.Message(), {"imageMessage": {"caption": "c"}}))
    unwrapped.IsViewOnceV2 = True
    assert message(unwrapped).view_once


def test_places() -> None:
    fixed = {"degreesLatitude": -6.5, "degreesLongitude": 106.25, "name": "Shop", "address": "Main Street"}
    assert said(locationMessage=fixed).location == Place(-6.5, 106.25, "Shop", "Main Street")
    live = {"degreesLatitude": -6.5, "degreesLongitude": 106.25, "caption": "here"}
    assert said(liveLocationMessage=live).location == Place(-6.5, 106.25, live=True)


def test_cards() -> None:
    assert said(contactMessage={"displayName": "Bea", "vcard": CARD}).contacts == [
        SharedContact("Bea", CARD, "+55 21 9999")
    ]
    many = e2e.Message()
    many.contactsArrayMessage.displayName = "Two"
    many.contactsArrayMessage.contacts.add(displayName="Bea", vcard=CARD)
    many.contactsArrayMessage.contacts.add(displayName="Cleo", vcard="")
    found = message(native(many))
    assert [(card.name, card.phone) for card in found.contacts] == [("Bea", "+55 21 9999"), ("Cleo", None)]


@pytest.mark.parametrize(
    ("card", "phone"),
    [
        ("TEL:+1", "+1"),
        ("TEL;type=Mobile:+62 132\nX:1", "+62 132"),
        ("TEL;VALUE=uri:tel:+1-201\r\n", "+1-201"),
        ("HOTEL:nice", None),
        ("", None),
    ],
)
def test_the_number_on_a_card(card: str, phone: str | None) -> None:
    assert details.phone_in(card) == phone


def test_the_advertisement_a_chat_began_with() -> None:
    ad = {"title": "Farm", "ctwaClid": "abc", "sourceType": "ad", "mediaType": 1, "showAdAttribution": False}
    found = said(extendedTextMessage={"text": "hi", "contextInfo": {"externalAdReply": ad}})
    assert found.referral == {
        "ad_title": "Farm", "ctwa_clid": "abc", "source_type": "ad", "media_type": "IMAGE", "show_ad_attribution": False,
    }  # fmt: skip
    assert said(extendedTextMessage={"text": "hi", "contextInfo": {"externalAdReply": {}}}).referral is None


def test_where_whatsapp_keeps_a_file() -> None:
    found = said(imageMessage={"URL": "https://mmg.whatsapp.net/x.enc", "mimetype": "image/png"})
    assert found.media == Media("image", "image/png", url="https://mmg.whatsapp.net/x.enc")


def test_receipts_and_unreadable_messages_have_both_addresses_of_the_chat() -> None:
    where = source(BEA_LID, "22:4@lid", alt="4915100000002:4@s.whatsapp.net")
    receipt = translate.receipt(neonize.Receipt(MessageSource=where, MessageIDs=["M1"], Type=4, Timestamp=1), {})
    assert isinstance(receipt, ReceiptReceived)
    assert (receipt.chat, receipt.chat_lid, receipt.device) == (BEA, BEA_LID, 4)
    unreadable = neonize.UndecryptableMessage()
    unreadable.Info.CopyFrom(native(e2e.Message(), where).Info)
    found = translate.undecryptable(unreadable, {})
    assert isinstance(found, MessageUndecryptable)
    assert (found.chat, found.chat_lid) == (BEA, BEA_LID)

"""What a message says beside its text: quoted words, who is mentioned, a place, cards, the advertisement a chat began with.

The protobuf fields are those of WhatsApp's `E2E.proto`; the names of a referral's members are those receivers know from GoWA.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.events import Media, Person, Place, SharedContact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIEW_ONCE: Final = ("viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension")
_CONTACTS_MAX: Final = 257
"""As many as WhatsApp lets anybody share at once."""
_MENTIONS_MAX: Final = 1024
"""As many as a group has members."""
_FOLDED: Final = re.compile(r"\r?\n[ \t]")
_TEL: Final = re.compile(r"^(?:[\w-]+\.)?TEL[^:\r\n]*:[ \t]*(?:tel:)?([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_TEXTS: Final[dict[str, str]] = {
    "ctwaClid": "ctwa_clid", "sourceURL": "source_url", "sourceID": "source_id", "ref": "ref", "sourceApp": "source_app",
    "title": "ad_title", "body": "ad_body", "thumbnailURL": "thumbnail_url", "originalImageURL": "original_image_url",
    "mediaURL": "media_url", "greetingMessageBody": "greeting_message_body", "sourceType": "source_type",
}  # fmt: skip
_FLAGS: Final[dict[str, str]] = {
    "showAdAttribution": "show_ad_attribution", "containsAutoReply": "contains_auto_reply",
    "automatedGreetingMessageShown": "automated_greeting_message_shown", "clickToWhatsappCall": "click_to_whatsapp_call",
}  # fmt: skip
_CHOICES: Final[dict[str, str]] = {"mediaType": "media_type", "adType": "ad_type"}


def media(kind: str, body: Any) -> Media:
    """What is known of an attachment before it is downloaded."""
    names = body.DESCRIPTOR.fields_by_name
    return Media(
        kind=kind,
        mimetype=body.mimetype or None,
        size_bytes=body.fileLength or None,
        filename=(body.fileName or None) if "fileName" in names else None,
        seconds=(body.seconds or None) if "seconds" in names else None,
        url=body.URL or None,
    )


def named(content: Any) -> Iterator[str]:
    """The addresses an unwrapped message names, as they are written there: of whom it quotes and mentions, once each."""
    for _, body in content.ListFields():
        descriptor = getattr(body, "DESCRIPTOR", None)
        if descriptor is not None and "contextInfo" in descriptor.fields_by_name:
            context = body.contextInfo
            yield from dict.fromkeys(text for text in (context.participant, *context.mentionedJID) if text)


def beside(
    kind: str, body: Any, text_of: Callable[[Any], str | None], person_of: Callable[[str], Person | None]
) -> dict[str, Any]:
    """Members of a MessageReceived, those with something to say.

    `text_of` tells the text of a whole message, `person_of` who goes by an address; None where it is nobody's.
    """
    found: dict[str, Any] = {}
    if body is None:
        return found
    if kind == "location":
        found["location"] = _place(body)
    elif kind == "contact":
        found["contacts"] = _contacts(body)
    names = body.DESCRIPTOR.fields_by_name
    if "viewOnce" in names and body.viewOnce:
        found["view_once"] = True
    if "contextInfo" in names and body.HasField("contextInfo"):
        found |= _context(body.contextInfo, text_of) | _people(body.contextInfo, person_of)
    return found


def is_view_once(content: Any) -> bool:
    """Whether the content is wrapped as something to be seen once."""
    return any(field.name in VIEW_ONCE for field, _ in content.ListFields())


def _context(context: Any, text_of: Callable[[Any], str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if context.HasField("quotedMessage"):
        found["quoted_text"] = text_of(context.quotedMessage)
    if context.isForwarded:
        found["forwarded"] = True
    if context.HasField("externalAdReply"):
        found["referral"] = _referral(context.externalAdReply)
    return found


def _people(context: Any, person_of: Callable[[str], Person | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    quoted = person_of(context.participant) if context.stanzaID else None
    if quoted is not None:
        found["quoted_sender"] = quoted
    mentioned = [person_of(text) for text in dict.fromkeys(context.mentionedJID[:_MENTIONS_MAX])]
    if any(mentioned):
        found["mentions"] = [person for person in mentioned if person is not None]
    return found


def _place(body: Any) -> Place:
    names = body.DESCRIPTOR.fields_by_name
    fixed = "name" in names
    return Place(
        latitude=body.degreesLatitude,
        longitude=body.degreesLongitude,
        name=(body.name or None) if fixed else None,
        address=(body.address or None) if fixed else None,
        live=bool(body.isLive) if fixed else True,
    )


def _contacts(body: Any) -> list[SharedContact]:
    cards = list(body.contacts) if "contacts" in body.DESCRIPTOR.fields_by_name else [body]
    return [SharedContact(card.displayName, card.vcard, phone_in(card.vcard)) for card in cards[:_CONTACTS_MAX]]


def phone_in(vcard: str) -> str | None:
    """The first number of a card (RFC 6350, 6.4.1), as it is written there."""
    match = _TEL.search(_FOLDED.sub("", vcard))
    return match[1].strip() if match else None


def _referral(ad: Any) -> dict[str, Any] | None:
    told: dict[str, Any] = {name: getattr(ad, field) for field, name in _TEXTS.items() if getattr(ad, field)}
    told |= {name: getattr(ad, field) for field, name in _FLAGS.items() if ad.HasField(field)}
    for field, name in _CHOICES.items():
        if ad.HasField(field):
            value = ad.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(getattr(ad, field))
            told[name] = value.name if value is not None else str(getattr(ad, field))
    return told or None

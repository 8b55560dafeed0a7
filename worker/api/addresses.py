"""Addresses in requests: whom and which group a client means, and both addresses of somebody in answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import InvalidJid, InvalidRequest
from ecosystem.contract.ids import Jid, jid_server, parse_jid, parse_recipient
from worker.api.edge import SESSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

PARTICIPANTS_MAX: Final = 1024
_PEOPLE: Final = frozenset({"s.whatsapp.net", "lid"})


def parse_person(text: object, *, field: str = "phone") -> Jid:
    """A phone number or an address of a person. Raises InvalidPhone, InvalidJid."""
    jid = parse_recipient(text, field=field)
    if jid_server(jid) not in _PEOPLE:
        raise InvalidJid(f"{field} must be a phone number or the address of a person", field=field)
    return jid


def parse_group(text: object, *, field: str = "group_id") -> Jid:
    """The address of a group, or only what is before its `@g.us`. Raises InvalidJid."""
    return _on_server(text, "g.us", "a group, such as 120363024512399999@g.us", field)


def parse_newsletter(text: object, *, field: str = "newsletter_id") -> Jid:
    """The address of a newsletter, or only what is before its `@newsletter`. Raises InvalidJid."""
    return _on_server(text, "newsletter", "a newsletter, such as 120363024512399999@newsletter", field)


def _on_server(text: object, server: str, what: str, field: str) -> Jid:
    if not isinstance(text, str) or not text.strip():
        raise InvalidJid(f"{field} must be the address of {what}", field=field)
    plain = text.strip()
    jid = parse_jid(plain if "@" in plain else f"{plain}@{server}", field=field)
    if jid_server(jid) != server or ":" in jid:
        raise InvalidJid(f"{field} must be the address of {what}", field=field)
    return jid


def parse_people(texts: Sequence[str], *, field: str = "participants") -> tuple[Jid, ...]:
    """Some people, each named once. Raises InvalidPhone, InvalidJid, InvalidRequest for nobody or too many."""
    if not texts:
        raise InvalidRequest(f"{field} must name somebody", field=field)
    if len(texts) > PARTICIPANTS_MAX:
        raise InvalidRequest(f"{field} must not be more than {PARTICIPANTS_MAX}", field=field)
    found = [parse_person(text, field=f"{field}[{number}]") for number, text in enumerate(texts)]
    return tuple(dict.fromkeys(found))


async def both_of(request: web.Request, jids: set[str]) -> Mapping[str, str]:
    """Phone-number address to LID and back, for those that are known."""
    return await request.app[SESSION].other_addresses(jids)

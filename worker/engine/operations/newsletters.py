"""Newsletters, which the apps call channels.

Source of fields: neonize 0.5.2 (`Neonize.proto`, whatsmeow `newsletter.go`).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import NewsletterNotFound
from worker.engine import translate
from worker.engine.failures import check
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from ecosystem.contract.errors import DomainError
    from worker.engine.protocol import Client

_NANOSECONDS: Final = 1_000_000_000
_UNKNOWN: Final[dict[str, type[DomainError]]] = {"404": NewsletterNotFound, "missing <messages>": NewsletterNotFound}


class Text(msgspec.Struct, frozen=True):
    """A name or description and when it was set."""

    text: str
    id: str
    updated: dt.datetime | None


class Picture(msgspec.Struct, frozen=True):
    """Where a picture is."""

    url: str
    id: str
    type: str
    direct_path: str


class Newsletter(msgspec.Struct, frozen=True):
    """A newsletter this account follows or owns. The words are WhatsApp's, in lower case."""

    jid: str
    state: str
    created: dt.datetime | None
    invite: str
    name: Text
    description: Text
    subscribers: int
    verification: str
    picture: Picture | None
    preview: Picture
    reactions: str
    mute: str
    role: str


class Post(msgspec.Struct, frozen=True):
    """A message of a newsletter. The library passes on neither its id nor its time."""

    server_id: int
    views: int
    reactions: dict[str, int]
    kind: str
    text: str


def followed(client: Client) -> list[Newsletter]:
    """Every newsletter this account follows or owns."""
    answer = neonize.GetSubscribedNewslettersReturnFunction.FromString(client.call("GetSubscribedNewsletters"))
    check(answer.Error)
    return [_newsletter(item) for item in answer.Newsletter]


def messages(client: Client, newsletter: str, *, count: int, before: int) -> list[Post]:
    """The latest messages, or those before a server id (0: the latest). Raises NewsletterNotFound."""
    answer = neonize.GetNewsletterMessageUpdateReturnFunction.FromString(
        client.call("GetNewsletterMessages", _jid(newsletter), count, before)
    )
    check(answer.Error, _UNKNOWN)
    return [_post(item) for item in answer.NewsletterMessage]


def unfollow(client: Client, newsletter: str) -> None:
    """Stops following. Raises NewsletterNotFound."""
    check(client.call("UnfollowNewsletter", _jid(newsletter)), _UNKNOWN)


def watch(client: Client, newsletter: str) -> int:
    """Asks to be told for a while of views and reactions there; for how many seconds. Raises NewsletterNotFound."""
    answer = neonize.NewsletterSubscribeLiveUpdatesReturnFunction.FromString(
        client.call("NewsletterSubscribeLiveUpdates", _jid(newsletter))
    )
    check(answer.Error, _UNKNOWN)
    return int(answer.Duration) // _NANOSECONDS


def _newsletter(native: Any) -> Newsletter:
    thread = native.ThreadMeta
    viewer = native.ViewerMeta if native.HasField("ViewerMeta") else None
    return Newsletter(
        jid=translate.bare(native.ID) or "",
        state=translate.enum_name(native.State, "Type"),
        created=_time(thread.CreationTime),
        invite=thread.InviteCode,
        name=_text(thread.Name),
        description=_text(thread.Description),
        subscribers=thread.SubscriberCount,
        verification=translate.enum_name(thread, "VerificationState"),
        picture=_picture(thread.Picture) if thread.HasField("Picture") else None,
        preview=_picture(thread.Preview),
        reactions=translate.enum_name(thread.Settings.ReactionCodes, "Value"),
        mute=translate.enum_name(viewer, "Mute") if viewer else "",
        role=translate.enum_name(viewer, "Role") if viewer else "",
    )


def _text(native: Any) -> Text:
    return Text(text=native.Text, id=native.ID, updated=_time(native.UpdateTime))


def _picture(native: Any) -> Picture:
    return Picture(url=native.URL, id=native.ID, type=native.Type, direct_path=native.DirectPath)


def _post(native: Any) -> Post:
    content = translate.content_of(native.Message)
    return Post(
        server_id=native.MessageServerID,
        views=native.ViewsCount,
        reactions={item.type: item.count for item in native.ReactionCounts},
        kind=content[0] if content else "unknown",
        text=(content[1] or "") if content else "",
    )


def _time(seconds: int) -> dt.datetime | None:
    return translate.moment(seconds) if seconds > 0 else None


def _jid(text: str) -> bytes:
    return bytes(translate.native_jid(text).SerializeToString())

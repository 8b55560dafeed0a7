"""`/newsletter/…`: channels this account follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from ecosystem.contract.people import UnfollowNewsletter, WatchNewsletter
from ecosystem.web import read_query
from worker.api.addresses import parse_newsletter
from worker.api.edge import SESSION, Routes, success
from worker.api.forms import read_fields
from worker.engine.operations import newsletters

if TYPE_CHECKING:
    import datetime as dt

    from aiohttp import web


class ListPosts(msgspec.Struct, frozen=True):
    """Parameters of `GET /newsletter/messages`; `before` is a server id."""

    newsletter_id: str
    count: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    before: Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)] = 0


async def unfollow(request: web.Request) -> web.Response:
    """`POST /newsletter/unfollow`."""
    newsletter = parse_newsletter((await read_fields(request, UnfollowNewsletter)).newsletter_id)
    await request.app[SESSION].do(newsletters.unfollow, newsletter)
    return success("Success unfollow newsletter")


async def watch(request: web.Request) -> web.Response:
    """`POST /newsletter/live`: events `newsletter.message` of a channel, for as long as WhatsApp says; then it is asked again."""
    newsletter = parse_newsletter((await read_fields(request, WatchNewsletter)).newsletter_id)
    seconds = await request.app[SESSION].do(newsletters.watch, newsletter)
    return success("Success watch newsletter", {"duration_s": seconds})


async def messages(request: web.Request) -> web.Response:
    """`GET /newsletter/messages`: the engine tells neither id nor time of a message; they are empty."""
    wanted = read_query(request, ListPosts)
    newsletter = parse_newsletter(wanted.newsletter_id)
    found = await request.app[SESSION].do(newsletters.messages, newsletter, count=wanted.count, before=wanted.before)
    return success("Success get newsletter messages", {"data": [_post(post) for post in found]})


def _post(post: newsletters.Post) -> dict[str, Any]:
    return {
        "server_id": post.server_id,
        "message_id": "",
        "type": "text" if post.kind == "text" else "media",
        "kind": post.kind,
        "timestamp": "",
        "views_count": post.views,
        "reaction_counts": post.reactions,
        "text": post.text,
    }


def newsletter_view(item: newsletters.Newsletter) -> dict[str, Any]:
    """A newsletter as GoWA passes it on from WhatsApp: numbers and times as texts, in seconds and microseconds."""
    return {
        "id": item.jid,
        "state": {"type": item.state},
        "thread_metadata": {
            "creation_time": _seconds(item.created),
            "invite": item.invite,
            "name": _text(item.name),
            "description": _text(item.description),
            "subscribers_count": str(item.subscribers),
            "verification": item.verification,
            "picture": _picture(item.picture) if item.picture else None,
            "preview": _picture(item.preview),
            "settings": {"reaction_codes": {"value": item.reactions}},
        },
        "viewer_metadata": {"mute": item.mute, "role": item.role},
    }


def _text(item: newsletters.Text) -> dict[str, str]:
    return {"text": item.text, "id": item.id, "update_time": _seconds(item.updated, scale=1_000_000)}


def _picture(item: newsletters.Picture) -> dict[str, str]:
    return {"url": item.url, "id": item.id, "type": item.type, "direct_path": item.direct_path}


def _seconds(moment: dt.datetime | None, scale: int = 1) -> str:
    return str(int(moment.timestamp()) * scale) if moment else "0"


ROUTES: Final[Routes] = (
    ("POST", "/newsletter/unfollow", unfollow),
    ("POST", "/newsletter/live", watch),
    ("GET", "/newsletter/messages", messages),
)

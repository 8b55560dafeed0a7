"""Routes for what phones do besides writing: calls, typing, address books, votes, channels, groups, and their past."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from aiohttp import web

from ecosystem.contract.errors import GroupNotFound, InvalidRequest, NewsletterNotFound
from ecosystem.contract.ids import parse_phone
from ecosystem.sandbox.chat import newsletters
from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.control import requests
from ecosystem.sandbox.phone import acts, polls

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.node import JID
    from ecosystem.sandbox.phone.phone import Phone
    from ecosystem.sandbox.server import Sandbox
    from ecosystem.sandbox.state.records import Call, Newsletter, Setting

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=requests.MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_DAY_S = 86_400
_WHEN = 1
"""The field of a SyncActionValue that holds its time."""


class PlaceCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    video: bool = False


class SaveContact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str
    name: Name


class Show(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`online`: the app is open; `to` with `state`: what is typed there."""

    online: bool | None = None
    to: str | None = None
    state: Literal["typing", "recording", "paused"] = "typing"


class Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No option takes the vote back."""

    message_id: str
    options: list[str] = []


class PastMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`timestamp` in seconds since 1970; without one they follow one another, a minute each, the last a day ago."""

    text: Text
    from_me: bool = False
    timestamp: Annotated[int, msgspec.Meta(ge=1, le=4_102_444_800)] | None = None


class PastChat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`with` is the number the chat is with."""

    with_: str = msgspec.field(name="with")
    messages: Annotated[list[PastMessage], msgspec.Meta(max_length=10_000)] = []
    name: str = ""
    archived: bool = False


class ShareHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    chats: Annotated[list[PastChat], msgspec.Meta(min_length=1, max_length=1000)]


class CreateNewsletter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    owner: str
    name: Name
    description: str = ""


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str


class PostNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Text
    views: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)] = 0


class CountReaders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What readers made of a post by now; what is not given stays as it is."""

    views: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)] | None = None
    reactions: dict[str, Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)]] | None = None


class Mute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    muted: bool


class ChangeGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`by` does it: a new name, or `members` are added, removed, promoted or demoted."""

    by: str
    subject: Name | None = None
    do: Literal["add", "remove", "promote", "demote"] | None = None
    members: list[str] = []


class Happenings:
    """The handlers, bound to one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        phone = "/phones/{number}"
        return [
            web.get(phone + "/calls", self.calls),
            web.post(phone + "/calls", self.call),
            web.delete(phone + "/calls/{id}", self.hang_up),
            web.post(phone + "/contacts", self.contact),
            web.get(phone + "/settings", self.settings),
            web.post(phone + "/presence", self.show),
            web.post(phone + "/votes", self.vote),
            web.post(phone + "/history", self.history),
            web.get("/newsletters", self.newsletters),
            web.post("/newsletters", self.create_newsletter),
            web.post("/newsletters/{id}/followers", self.follow),
            web.patch("/newsletters/{id}/followers/{number}", self.mute),
            web.delete("/newsletters/{id}/followers/{number}", self.unfollow),
            web.post("/newsletters/{id}/posts", self.post),
            web.patch("/newsletters/{id}/posts/{post}", self.count),
            web.patch("/groups/{id}", self.change_group),
            web.post("/groups/{id}/requests", self.ask_to_join),
        ]

    def _phone(self, request: web.Request) -> Phone:
        return self._sandbox.phone(parse_phone(request.match_info["number"], field="number"))

    async def _done(self, body: object, status: int = 200) -> web.Response:
        await self._sandbox.settled()
        return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")

    # -- people

    async def calls(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number
        found = [call for call in self._sandbox.world.calls.values() if number in (call.caller, call.callee)]
        return await self._done({"calls": [_call_view(call) for call in found]})

    async def call(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), PlaceCall)
        phone = self._phone(request)
        return await self._done(_call_view(acts.call(phone, parse_phone(order.to, field="to"), video=order.video)), 201)

    async def hang_up(self, request: web.Request) -> web.Response:
        acts.hang_up(self._phone(request), request.match_info["id"])
        return await self._done({"id": request.match_info["id"]})

    async def contact(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), SaveContact)
        number = parse_phone(order.number, field="number")
        acts.save_contact(self._phone(request), number, order.name)
        return await self._done({"number": number, "name": order.name})

    async def settings(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number
        found = [item for item in self._sandbox.world.settings.values() if item.number == number]
        return await self._done({"settings": [_setting_view(item) for item in found]})

    async def show(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), Show)
        phone = self._phone(request)
        if order.to is None and order.online is not None:
            acts.show(phone, online=order.online)
            return await self._done({"online": order.online})
        if order.to is None or order.online is not None:
            raise InvalidRequest("give either online or to", field="online")
        to = order.to if "@" in order.to else parse_phone(order.to, field="to")
        acts.type_in(phone, to, typing=order.state != "paused", voice=order.state == "recording")
        return await self._done({"to": to, "state": order.state})

    async def vote(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), Vote)
        return await self._done({"id": polls.vote(self._phone(request), order.message_id, *order.options)})

    async def history(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), ShareHistory)
        phone = self._phone(request)
        chats = [self._past_of(number, chat) for number, chat in enumerate(order.chats)]
        await acts.share_past(phone, chats)
        return await self._done({"chats": len(chats), "messages": sum(len(chat.past) for chat in chats)})

    def _past_of(self, number: int, chat: PastChat) -> acts.Conversation:
        partner: JID = self._sandbox.phone(parse_phone(chat.with_, field=f"chats[{number}].with")).account.by_lid()
        first = int(time.time()) - _DAY_S - 60 * len(chat.messages)
        past = tuple(
            acts.Past(
                id=self._sandbox.world.new_id("3B"),
                author=None if item.from_me else partner,
                text=item.text,
                timestamp=item.timestamp or first + 60 * place,
            )
            for place, item in enumerate(chat.messages, 1)
        )
        return acts.Conversation(chat=partner, past=past, name=chat.name, archived=chat.archived)

    # -- channels

    def _newsletter(self, request: web.Request) -> Newsletter:
        found = self._sandbox.world.newsletters.get(request.match_info["id"].partition("@")[0])
        if found is None:
            raise NewsletterNotFound
        return found

    async def newsletters(self, _: web.Request) -> web.Response:
        found = self._sandbox.world.newsletters.values()
        return await self._done({"newsletters": [_newsletter_view(item) for item in found]})

    async def create_newsletter(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), CreateNewsletter)
        owner = self._sandbox.phone(parse_phone(order.owner, field="owner")).account.number
        made = newsletters.create(self._sandbox.hub, owner, order.name, order.description)
        return await self._done(_newsletter_view(made), 201)

    async def follow(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), Follow)
        number = self._sandbox.phone(parse_phone(order.number, field="number")).account.number
        found = newsletters.follow(self._sandbox.hub, self._newsletter(request), number)
        return await self._done(_newsletter_view(found))

    def _follower(self, request: web.Request) -> tuple[Newsletter, str]:
        found, number = self._newsletter(request), self._phone(request).account.number
        if number not in found.readers:
            raise InvalidRequest(f"{number} does not follow it", field="number")
        return found, number

    async def mute(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), Mute)
        changed = newsletters.mute(self._sandbox.hub, *self._follower(request), muted=order.muted)
        return await self._done(_newsletter_view(changed))

    async def unfollow(self, request: web.Request) -> web.Response:
        return await self._done(_newsletter_view(newsletters.unfollow(self._sandbox.hub, *self._follower(request))))

    async def post(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), PostNews)
        made = newsletters.post(self._sandbox.hub, self._newsletter(request), order.text, views=order.views)
        return await self._done({"id": str(made.server_id)}, 201)

    async def count(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), CountReaders)
        found, wanted = self._newsletter(request), request.match_info["post"]
        post = next((item for item in found.posts if str(item.server_id) == wanted), None)
        if post is None:
            raise InvalidRequest("there is no such post", field="post")
        views = post.views if order.views is None else order.views
        reactions = post.reactions if order.reactions is None else order.reactions
        newsletters.count(self._sandbox.hub, found, post, views=views, reactions=reactions)
        return await self._done({"id": wanted, "views": views, "reactions": reactions})

    # -- groups

    async def change_group(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), ChangeGroup)
        ident = request.match_info["id"].removesuffix("@g.us")
        phone = self._sandbox.phone(parse_phone(order.by, field="by"))
        if (order.subject is None) == (order.do is None):
            raise InvalidRequest("give either subject or do", field="subject")
        if order.subject is not None:
            acts.rename_group(phone, ident, order.subject)
        elif order.do is not None:
            acts.change_members(phone, ident, order.do, *(parse_phone(each, field="members") for each in order.members))
        group = self._sandbox.world.groups.get(ident)
        if group is None:
            raise GroupNotFound
        return await self._done(requests.group_view(group))

    async def ask_to_join(self, request: web.Request) -> web.Response:
        """Whoever comes by link has to ask from now on, and this one does."""
        order = requests.parse(await request.read(), Follow)
        group = self._sandbox.world.groups.get(request.match_info["id"].removesuffix("@g.us"))
        if group is None:
            raise GroupNotFound
        phone = self._sandbox.phone(parse_phone(order.number, field="number"))
        acts.want_approval(phone, group)
        acts.join_by_code(phone, group.invite)
        return await self._done({"number": phone.account.number}, 201)


def _setting_view(setting: Setting) -> dict[str, Any]:
    """`on`: what the first field of the action says; null where that is no number."""
    value = protobuf.decode(setting.value)
    try:
        actions = [value.message(number) for number in value.numbers if number != _WHEN]
        on = bool(actions[0].number(1)) if actions else None
    except protobuf.ProtobufError:
        on = None
    return {"collection": setting.collection, "index": setting.index, "on": on}


def _call_view(call: Call) -> dict[str, Any]:
    return {"id": call.id, "from": call.caller, "to": call.callee, "state": call.state}


def _newsletter_view(item: Newsletter) -> dict[str, Any]:
    return {
        "id": str(item.jid),
        "name": item.name,
        "followers": len(item.readers),
        "posts": len(item.posts),
    }

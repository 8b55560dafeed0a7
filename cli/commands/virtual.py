"""What virtual phones do besides writing: calls, typing, address books, votes, channels, groups, and their past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.commands.sandboxed import given, listed, recipient, tell
from cli.context import Call, NumberParam, noun, read_text, verb
from cli.texts import tr

if TYPE_CHECKING:
    from ecosystem.contract.ids import PhoneNumber

NUMBER = click.argument("number", type=NumberParam())
WHOM = click.argument("session", metavar="SESSION|NUMBER")


@verb("call", examples=("zapvisor sandbox call 5511912345678 alpha --video",))
@NUMBER
@WHOM
@click.option("--video", is_flag=True, help="With video.")
def ring(call: Call, number: PhoneNumber, session: str, video: bool) -> None:
    """Let a virtual phone call a session; it rings until it is declined or hung up."""
    to = recipient(call.client, session)
    answer = call.client.post(f"/sandbox/phones/{number}/calls", {"to": to, "video": video})
    tell(call, answer.body, f"{number} -> {to}", key="id")


@verb("hang-up", examples=("zapvisor sandbox hang-up 5511912345678 CALL3EB0",))
@NUMBER
@click.argument("ident", metavar="CALL")
def hang_up(call: Call, number: PhoneNumber, ident: str) -> None:
    """Let a virtual phone give up a call."""
    answer = call.client.delete(f"/sandbox/phones/{number}/calls/{ident}")
    tell(call, answer.body, tr("hung up"), key="id")


@verb("contact", examples=('zapvisor sandbox contact 5511912345678 alpha "Ana from work"',))
@NUMBER
@WHOM
@click.argument("name")
def contact(call: Call, number: PhoneNumber, session: str, name: str) -> None:
    """Put somebody into a virtual phone's address book; who is in it sees the account's status."""
    body = {"number": recipient(call.client, session), "name": name}
    tell(call, call.client.post(f"/sandbox/phones/{number}/contacts", body).body, tr("saved"), key="name")


@verb(
    "typing",
    examples=("zapvisor sandbox typing 5511912345678 alpha", "zapvisor sandbox typing 5511912345678 alpha --stop"),
)
@NUMBER
@click.argument("session", metavar="SESSION|NUMBER|GROUP")
@click.option("--voice", is_flag=True, help="Record a voice note instead.")
@click.option("--stop", is_flag=True, help="Stop.")
def typing(call: Call, number: PhoneNumber, session: str, voice: bool, stop: bool) -> None:
    """Let a virtual phone type in a chat."""
    state = "paused" if stop else "recording" if voice else "typing"
    body = {"to": recipient(call.client, session), "state": state}
    tell(call, call.client.post(f"/sandbox/phones/{number}/presence", body).body, tr("shown"), key="state")


@verb("online", examples=("zapvisor sandbox online 5511912345678", "zapvisor sandbox online 5511912345678 --away"))
@NUMBER
@click.option("--away", is_flag=True, help="No longer.")
def online(call: Call, number: PhoneNumber, away: bool) -> None:
    """Let a virtual phone be online for others."""
    answer = call.client.post(f"/sandbox/phones/{number}/presence", {"online": not away})
    tell(call, answer.body, tr("shown"), key="state")


@verb("vote", examples=("zapvisor sandbox vote 5511912345678 3EB0AA Pizza Pasta",))
@NUMBER
@click.argument("poll")
@click.argument("options", nargs=-1)
def vote(call: Call, number: PhoneNumber, poll: str, options: tuple[str, ...]) -> None:
    """Let a virtual phone vote in a poll it got; no option takes the vote back."""
    body = {"message_id": poll, "options": list(options)}
    tell(call, call.client.post(f"/sandbox/phones/{number}/votes", body).body, tr("voted"), key="id")


@verb("history", examples=("zapvisor sandbox history 5511912345678 5521987654321 Hello 'How are you?'",))
@NUMBER
@click.argument("partner", type=NumberParam())
@click.argument("texts", nargs=-1, required=True)
def history(call: Call, number: PhoneNumber, partner: PhoneNumber, texts: tuple[str, ...]) -> None:
    """Let a virtual phone hand its sessions a past: a chat with PARTNER, whose texts and its own take turns."""
    messages = [{"text": read_text(text), "from_me": place % 2 == 1} for place, text in enumerate(texts)]
    body = {"chats": [{"with": partner, "messages": messages}]}
    tell(call, call.client.post(f"/sandbox/phones/{number}/history", body).body, tr("handed over"), key="messages")


# --- channels


@verb("create", examples=("zapvisor sandbox newsletter create 5511912345678 News",))
@click.argument("owner", type=NumberParam())
@click.argument("name")
@click.option("--description", help="What it says of itself.")
def newsletter_create(call: Call, owner: PhoneNumber, name: str, description: str | None) -> None:
    """Create a channel of a virtual phone."""
    body = given(owner=owner, name=name, description=description)
    tell(call, call.client.post("/sandbox/newsletters", body).body, tr("created"), key="id")


@verb("list", examples=("zapvisor sandbox newsletter list",))
def newsletter_list(call: Call) -> None:
    """Show the channels."""
    listed(call, "/sandbox/newsletters", tr("no channels; create one: zapvisor sandbox newsletter create NUMBER NAME"))


@verb("follow", examples=("zapvisor sandbox newsletter follow 120363025982934543@newsletter alpha",))
@click.argument("newsletter")
@WHOM
def newsletter_follow(call: Call, newsletter: str, session: str) -> None:
    """Let a session's account follow a channel."""
    body = {"number": recipient(call.client, session)}
    tell(call, call.client.post(f"/sandbox/newsletters/{newsletter}/followers", body).body, tr("followed"), key="id")


@verb("post", examples=('zapvisor sandbox newsletter post 120363025982934543@newsletter "Good morning"',))
@click.argument("newsletter")
@click.argument("text")
def newsletter_post(call: Call, newsletter: str, text: str) -> None:
    """Post in a channel."""
    answer = call.client.post(f"/sandbox/newsletters/{newsletter}/posts", {"text": read_text(text)})
    tell(call, answer.body, tr("posted"), key="id")


@verb("leave", examples=("zapvisor sandbox newsletter leave 120363025982934543@newsletter alpha",))
@click.argument("newsletter")
@WHOM
def newsletter_leave(call: Call, newsletter: str, session: str) -> None:
    """Let a session's account follow a channel no longer."""
    path = f"/sandbox/newsletters/{newsletter}/followers/{recipient(call.client, session)}"
    tell(call, call.client.request("DELETE", path).body, tr("left"), key="id")


@verb("mute", examples=("zapvisor sandbox newsletter mute 120363025982934543@newsletter alpha",))
@click.argument("newsletter")
@WHOM
@click.option("--off", is_flag=True, help="No longer.")
def newsletter_mute(call: Call, newsletter: str, session: str, off: bool) -> None:
    """Let a session's account switch a channel's notices off."""
    path = f"/sandbox/newsletters/{newsletter}/followers/{recipient(call.client, session)}"
    tell(call, call.client.request("PATCH", path, body={"muted": not off}).body, tr("changed"), key="id")


@verb(
    "count",
    examples=("zapvisor sandbox newsletter count 120363025982934543@newsletter 100 --views 15 --reaction 👍 3",),
)
@click.argument("newsletter")
@click.argument("post")
@click.option("--views", type=click.IntRange(0), help="How many saw it.")
@click.option("--reaction", "reactions", type=(str, click.IntRange(0)), multiple=True, metavar="EMOJI COUNT",
              help="How many reacted so; may be repeated.")  # fmt: skip
def newsletter_count(
    call: Call, newsletter: str, post: str, views: int | None, reactions: tuple[tuple[str, int], ...]
) -> None:
    """Set how many saw a post of a channel, and reacted to it."""
    body = given(views=views, reactions=dict(reactions) or None)
    path = f"/sandbox/newsletters/{newsletter}/posts/{post}"
    tell(call, call.client.request("PATCH", path, body=body).body, tr("changed"), key="id")


# --- groups


@verb("change", examples=("zapvisor sandbox group change 120363025982934543@g.us 5511912345678 --name Team",
                          "zapvisor sandbox group change 120363025982934543@g.us 5511912345678 --add alpha"))  # fmt: skip
@click.argument("group")
@click.argument("by", type=NumberParam())
@click.option("--name", help="Its new name.")
@click.option("--add", metavar="SESSION|NUMBER", help="Add somebody.")
@click.option("--remove", metavar="SESSION|NUMBER", help="Remove somebody.")
@click.option("--promote", metavar="SESSION|NUMBER", help="Make somebody an admin.")
@click.option("--demote", metavar="SESSION|NUMBER", help="Make an admin a member.")
def group_change(
    call: Call,
    group: str,
    by: PhoneNumber,
    name: str | None,
    add: str | None,
    remove: str | None,
    promote: str | None,
    demote: str | None,
) -> None:
    """Let a virtual phone change a group: one thing at a time."""
    from ecosystem.contract.errors import InvalidRequest

    people = {"add": add, "remove": remove, "promote": promote, "demote": demote}
    wanted = {what: who for what, who in people.items() if who is not None}
    if len(wanted) + (name is not None) != 1:
        raise InvalidRequest(tr("give one of --name, --add, --remove, --promote and --demote"), field="name")
    body: dict[str, object] = {"by": by}
    if name is not None:
        body["subject"] = name
    for what, who in wanted.items():
        body |= {"do": what, "members": [recipient(call.client, who)]}
    tell(call, call.client.request("PATCH", f"/sandbox/groups/{group}", body=body).body, tr("changed"), key="subject")


VERBS = (
    ring,
    hang_up,
    contact,
    typing,
    online,
    vote,
    history,
    noun(
        "newsletter",
        "Channels of virtual phones.",
        (
            newsletter_create,
            newsletter_list,
            newsletter_follow,
            newsletter_post,
            newsletter_leave,
            newsletter_mute,
            newsletter_count,
        ),
    ),
)

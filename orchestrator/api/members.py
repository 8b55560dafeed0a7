"""What the members of request bodies mean, for the description of the API: one word a thing, so one line a name.

Kept here and not beside the types: workers share those, and would carry the texts in every process.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class About(NamedTuple):
    """`example` is a value that would be taken, where one helps."""

    text: str
    example: object = None


_TO: Final = About("to whom: a phone number with its country code, or any WhatsApp address", "5511912345678")
_CHAT: Final = About("the chat: a phone number or any WhatsApp address", "5511912345678")
_FILE: Final = "where the file is fetched from instead, over http or https"

MEMBERS: Final[dict[str, About]] = {
    # --- messages
    "phone": _TO,
    "OnMessage.phone": About(f"{_CHAT.text}; to revoke or delete it may be left out", _CHAT.example),
    "React.phone": About(f"{_CHAT.text}; without it the message is looked for in all of them", _CHAT.example),
    "UpdateMessage.phone": About(f"{_CHAT.text}; without it the message is looked for in all of them", _CHAT.example),
    "PairPhone.phone": About("the phone that is to be linked, with its country code", "5511912345678"),
    "LoginDevice.phone": About("the phone that is to be linked, with its country code", "5511912345678"),
    "SetTyping.phone": _CHAT,
    "FollowPresence.phone": About("whom: a phone number or an address", "5511912345678"),
    "message": About("the text; *bold*, _italic_ and ~struck~ as on the phone", "Hello"),
    "reply_message_id": About("the id of the message of the same chat that is answered"),
    "is_forwarded": About("show it as forwarded"),
    "duration": About("seconds after which it disappears: 0 (never), 86400, 604800 or 7776000"),
    "mentions": About("whom to mention: phone numbers, addresses, or `@everyone` in a group", ["5511912345678"]),
    "caption": About("the text below it"),
    "image_url": About(_FILE, "https://example.org/picture.jpg"),
    "video_url": About(_FILE, "https://example.org/film.mp4"),
    "audio_url": About(_FILE, "https://example.org/sound.mp3"),
    "file_url": About(_FILE, "https://example.org/report.pdf"),
    "sticker_url": About(_FILE, "https://example.org/sticker.webp"),
    "view_once": About("it can be opened once"),
    "compress": About("make it smaller first"),
    "hd": About("keep more of it than WhatsApp's usual size"),
    "gif_playback": About("play it in a loop, without sound"),
    "ptt": About("a voice note, with its waveform"),
    "contact_name": About("the name on the card", "Ana"),
    "contact_phone": About("the number on the card", "5511912345678"),
    "link": About("the address", "https://example.org"),
    "JoinGroup.link": About("the invite link, or its code", "https://chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv"),
    "latitude": About("degrees, a number or text", "-23.5505"),
    "longitude": About("degrees, a number or text", "-46.6333"),
    "question": About("what is asked", "When?"),
    "options": About("the answers, two to twelve, all different", ["Monday", "Tuesday"]),
    "max_answer": About("how many of them one may choose", 1),
    "emoji": About("one emoji; empty takes the reaction back", "👍"),
    "force_reupload": About("upload its file anew instead of pointing to where it is"),
    "SetPresence.type": About("what people see of this account"),
    "SetTyping.action": About("typing begins or ends"),
    "follow": About("false lets somebody go"),
    "push_name": About("the name people without this number in their address book see", "The shop"),
    # --- chats, groups, channels, calls
    "pinned": About("false unpins"),
    "archived": About("false takes it out of the archive"),
    "timer_seconds": About("0 (off), 86400, 604800 or 7776000", 86400),
    "title": About("the group's name", "Team"),
    "participants": About("phone numbers or addresses", ["5511912345678"]),
    "group_id": About("the group's address, or the digits of it", "120363025982934543@g.us"),
    "SetGroupName.name": About("the group's name", "Team"),
    "announce": About("only admins may write"),
    "locked": About("only admins may change name, picture and topic"),
    "topic": About("what is said below its name; empty takes it away"),
    "newsletter_id": About("the channel's address", "120363144038483540@newsletter"),
    "caller_jid": About("who calls, as the event `call` names them", "5511912345678@s.whatsapp.net"),
    "call_id": About("the call, as the event `call` names it"),
    # --- webhooks
    "url": About("`http` or `https`; without user and password, which go into `headers`", "https://crm.example/hook"),
    "events": About("names of events, or patterns such as `message.*`; `*` is every one", ["message", "session.*"]),
    "secret": About("signs the requests"),
    "headers": About("sent along with every request", {"Authorization": "Bearer TOKEN"}),
    "timeout_s": About("seconds an answer may take; `WEBHOOK_TIMEOUT` unless told"),
    "retry_count": About("tries before an event may be given up; `WEBHOOK_RETRY_COUNT` unless told"),
    "format": About("`zapvisor`, or `gowa` for receivers written for GoWA"),
    "ignore": About("what it is not told of: status, groups, channels, and chats or senders by address"),
    "status": About("what contacts share with everybody for a day"),
    "groups": About("all groups"),
    "channels": About("all channels"),
    "jids": About("chats or senders: numbers, addresses, or a whole server as `@g.us`", ["5511912345678"]),
    "enabled": About("false: nothing is sent, and what waits is kept for a while"),
    "name": About("a friendly name; any text"),
    "session_id": About("the session's id"),
    "CreateWebhook.session_id": About("only this session's events; without it those of every session"),
    "ReplayWebhook.session_id": About("only this session's events"),
    "webhook_id": About("one that exists; or say `url`"),
    "event": About("the event to pretend"),
    "data": About("what the event says"),
    "delivery_id": About("the one with this number in the delivery log"),
    "event_id": About("the event with this id"),
    "state": About("those in this state"),
    "since": About("those from then on", "2026-01-02T03:04:05Z"),
    "until": About("those before then", "2026-01-03T00:00:00Z"),
    "source": About("`worker` asks the session's own store, which keeps more; it needs `session_id`"),
    "webhook_url": About("a webhook of this session's own", "https://crm.example/hook"),
    "webhook_events": About("names of events or patterns; every one unless told"),
    "webhook_secret": About("signs the requests; made where there is none"),
    "webhook_insecure_skip_verify": About("false: certificates are always verified"),
    "device_id": About("the session's id: 1 to 63 characters of a-z, 0-9 and `-`", "shop"),
}
"""By name, or by type and name where a name means something else there."""


def explain(components: dict[str, Any], kinds: Iterable[str]) -> None:
    """Says of the members of these components what they mean; what says so itself already stays as it is."""
    for kind in kinds:
        for name, schema in components[kind].get("properties", {}).items():
            about = MEMBERS.get(f"{kind}.{name}") or MEMBERS.get(name)
            if about is None or "description" in schema:
                continue
            schema["description"] = about.text
            if about.example is not None and "examples" not in schema:
                schema["examples"] = [about.example]


def tidy(components: dict[str, Any]) -> None:
    """Takes the indentation of the source out of what the types say of themselves."""
    for schema in components.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])

"""One real neonize session as a program: JSON lines with commands on stdin, with events and results on the original stdout.

It knows nothing of the sandbox. Run it through `python -m ecosystem.sandbox.launch -m tests.support.neonize_client DATABASE`,
with proxy and CA file in the environment it is started with.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

# The Go library prints to descriptor 1: keep it off the wire before it is loaded.
_wire: Final = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

from neonize.aioze import events as aio_events  # noqa: E402
from neonize.aioze.client import NewAClient  # noqa: E402
from neonize.events import UndecryptableMessageEv  # noqa: E402
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message  # noqa: E402
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, Presence, ReceiptType  # noqa: E402
from neonize.utils.jid import Jid2String, build_jid  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_write_lock: Final = threading.Lock()
_MEDIA: Final = ("imageMessage", "documentMessage", "audioMessage", "videoMessage")


def tell(**line: object) -> None:
    with _write_lock:
        _wire.write(json.dumps(line) + "\n")
        _wire.flush()


def jid_text(jid: Any) -> str:
    return str(Jid2String(jid)) if jid.Server else ""


def parse_jid(text: str) -> Any:
    user, at, server = text.partition("@")
    if not at:
        return build_jid(text)
    user, _, device = user.partition(":")
    jid = build_jid(user, server)
    jid.Device = int(device or 0)
    return jid


def receipt_kind(receipt: Any) -> str:
    enum = receipt.DESCRIPTOR.fields_by_name["Type"].enum_type
    return str(enum.values_by_number[receipt.Type].name)


_EVENTS: Final[dict[str, tuple[Any, Callable[[Any], dict[str, object]]]]] = {
    "connected": (aio_events.ConnectedEv, lambda _event: {}),
    "pair-status": (aio_events.PairStatusEv, lambda event: {"jid": jid_text(event.ID), "error": event.Error}),
    "logged-out": (aio_events.LoggedOutEv, lambda event: {"on_connect": event.OnConnect}),
    "disconnected": (aio_events.DisconnectedEv, lambda _event: {}),
    "stream-replaced": (aio_events.StreamReplacedEv, lambda _event: {}),
    "connect-failure": (aio_events.ConnectFailureEv, lambda event: {"reason": event.Reason}),
    "temporary-ban": (aio_events.TemporaryBanEv, lambda event: {"code": event.Code, "expire": event.Expire}),
    "client-outdated": (aio_events.ClientOutdatedEv, lambda _event: {}),
    "offline-done": (aio_events.OfflineSyncCompletedEv, lambda event: {"count": event.Count}),
    "undecryptable": (UndecryptableMessageEv, lambda event: {"id": event.Info.ID}),
    "receipt": (
        aio_events.ReceiptEv,
        lambda event: {
            "kind": receipt_kind(event),
            "ids": list(event.MessageIDs),
            "sender": jid_text(event.MessageSource.Sender),
        },
    ),
    "presence": (
        aio_events.PresenceEv,
        lambda event: {"sender": jid_text(event.From), "unavailable": event.Unavailable},
    ),
    "typing": (aio_events.ChatPresenceEv, lambda event: {"sender": jid_text(event.MessageSource.Sender)}),
    "joined-group": (aio_events.JoinedGroupEv, lambda event: {"jid": jid_text(event.GroupInfo.JID)}),
}


class Client:
    """The session and the commands on it."""

    def __init__(self, database: str) -> None:
        self._client: Any = NewAClient(database, uuid="session")
        self._client.event.qr(self._qr)
        for name, (kind, fields) in _EVENTS.items():
            self._client.event(kind)(_handler(name, fields))
        self._client.event(aio_events.MessageEv)(self._message)
        self._connection: Any = None

    async def _qr(self, _client: Any, data: bytes) -> None:
        tell(event="qr", code=data.decode())

    async def _message(self, client: Any, event: Any) -> None:
        info, body = event.Info, event.Message
        line: dict[str, object] = {
            "event": "message",
            "id": info.ID,
            "text": body.conversation or body.extendedTextMessage.text,
            "fields": [field.name for field, _ in body.ListFields()],
            "sender": jid_text(info.MessageSource.Sender),
            "sender_alt": jid_text(info.MessageSource.SenderAlt),
            "chat": jid_text(info.MessageSource.Chat),
            "from_me": info.MessageSource.IsFromMe,
            "push_name": info.Pushname,
        }
        if body.HasField("reactionMessage"):
            line["reaction"] = [body.reactionMessage.text, body.reactionMessage.key.ID]
        media = next((getattr(body, name) for name in _MEDIA if body.HasField(name)), None)
        if media is not None:
            line["mimetype"] = media.mimetype
            line["caption"] = getattr(media, "caption", "")
            line["data"] = base64.b64encode(await client.download_any(body)).decode()
        tell(**line)

    # -- commands

    async def connect(self) -> object:
        self._connection = await self._client.connect()
        self._connection.add_done_callback(_connection_ended)
        return True

    async def pair_phone(self, number: str) -> object:
        return await self._client.PairPhone(number, True)

    async def me(self) -> object:
        me = await self._client.get_me()
        return {"jid": jid_text(me.JID), "lid": jid_text(me.LID), "name": me.PushName}

    async def send(self, to: str, text: str) -> object:
        return {"id": (await self._client.send_message(parse_jid(to), text)).ID}

    async def send_document(self, to: str, data: str, filename: str) -> object:
        answer = await self._client.send_document(parse_jid(to), base64.b64decode(data), filename=filename)
        return {"id": answer.ID}

    async def edit(self, to: str, message_id: str, text: str) -> object:
        return {"id": (await self._client.edit_message(parse_jid(to), message_id, Message(conversation=text))).ID}

    async def revoke(self, to: str, message_id: str) -> object:
        sender = (await self._client.get_me()).JID
        return {"id": (await self._client.revoke_message(parse_jid(to), sender, message_id)).ID}

    async def mark_read(self, ids: list[str], chat: str, sender: str) -> object:
        await self._client.mark_read(*ids, chat=parse_jid(chat), sender=parse_jid(sender), receipt=ReceiptType.READ)
        return True

    async def is_on_whatsapp(self, numbers: list[str]) -> object:
        found = await self._client.is_on_whatsapp(*numbers)
        return {entry.Query: entry.IsIn for entry in found}

    async def create_group(self, name: str, people: list[str]) -> object:
        group = await self._client.create_group(name, [parse_jid(person) for person in people])
        return {"jid": jid_text(group.JID)}

    async def group_info(self, jid: str) -> object:
        group = await self._client.get_group_info(parse_jid(jid))
        return {"name": group.GroupName.Name, "people": [jid_text(person.JID) for person in group.Participants]}

    async def set_name(self, name: str) -> object:
        await self._client.set_profile_name(name)
        return True

    async def presence(self, available: bool) -> object:
        await self._client.send_presence(Presence.AVAILABLE if available else Presence.UNAVAILABLE)
        return True

    async def subscribe(self, jid: str) -> object:
        await self._client.subscribe_presence(parse_jid(jid))
        return True

    async def typing(self, to: str) -> object:
        state, media = ChatPresence.CHAT_PRESENCE_COMPOSING, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT
        await self._client.send_chat_presence(parse_jid(to), state, media)
        return True

    async def logout(self) -> object:
        await self._client.logout()
        return True

    def commands(self) -> dict[str, Callable[..., Awaitable[object]]]:
        return {
            "connect": self.connect,
            "pair_phone": self.pair_phone,
            "me": self.me,
            "send": self.send,
            "send_document": self.send_document,
            "edit": self.edit,
            "revoke": self.revoke,
            "mark_read": self.mark_read,
            "is_on_whatsapp": self.is_on_whatsapp,
            "create_group": self.create_group,
            "group_info": self.group_info,
            "set_name": self.set_name,
            "presence": self.presence,
            "subscribe": self.subscribe,
            "typing": self.typing,
            "logout": self.logout,
        }


def _handler(name: str, fields: Callable[[Any], dict[str, object]]) -> Callable[[Any, Any], Awaitable[None]]:
    async def handle(_client: Any, event: Any) -> None:
        try:
            tell(event=name, **fields(event))
        except Exception as error:
            # An exception in a handler vanishes otherwise: the library drops the future.
            tell(event="handler-error", of=name, error=repr(error))

    return handle


def _connection_ended(task: asyncio.Task[object]) -> None:
    error = None if task.cancelled() else task.exception()
    tell(event="connection-ended", error=repr(error) if error else "")


async def main() -> None:
    client = Client(sys.argv[1])
    commands = client.commands()
    reader = asyncio.StreamReader(limit=64 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tell(event="ready")
    tasks: set[asyncio.Task[None]] = set()

    async def run(line: dict[str, Any]) -> None:
        ident, command = line.pop("id"), line.pop("command")
        try:
            tell(id=ident, ok=await commands[command](**line))
        except Exception as error:
            tell(id=ident, error=f"{type(error).__name__}: {error}")

    while raw := await reader.readline():
        task = asyncio.create_task(run(json.loads(raw)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    try:
        asyncio.run(asyncio.wait_for(main(), None))
    finally:
        os._exit(0)  # a session that shows a QR never lets its thread end, and a thread keeps the interpreter

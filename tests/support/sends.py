"""Sending through a worker's API, and what arrived of it at a virtual phone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from ecosystem.sandbox.state.records import MediaReference
from tests.support.paired import ADA, BEA
from worker.engine.natives import e2e

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecosystem.sandbox.state.records import Received
    from tests.support.paired import Paired


async def send_form(
    bench: Paired,
    path: str,
    fields: Mapping[str, str],
    file: tuple[str, str, bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A form, with a file (field, name, bytes) if there is one; the envelope."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    if file is not None:
        form.add_field(file[0], io.BytesIO(file[2]), filename=file[1])
    status, _, body = await bench.worker.raw("POST", path, data=form, headers=dict(headers or {}))
    answer: dict[str, Any] = msgspec.json.decode(body)
    assert answer["status"] == status
    return answer


async def send_json(bench: Paired, path: str, body: Any, **headers: str) -> dict[str, Any]:
    """A JSON body with headers (`Idempotency_Key`); the envelope."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    _, _, raw = await bench.worker.raw("POST", path, json=body, headers=named)
    answer: dict[str, Any] = msgspec.json.decode(raw)
    return answer


async def sent(bench: Paired, answer: dict[str, Any], number: str = BEA) -> tuple[Received, Any]:
    """What arrived of a message that was sent: as the phone read it, and whole."""
    assert answer["code"] == "SUCCESS", answer
    return await arrived(bench, answer["results"]["message_id"], number)


async def arrived(bench: Paired, message_id: str, number: str = BEA) -> tuple[Received, Any]:
    """A message in a phone's inbox, waiting for it."""
    await bench.until(lambda: inbox(bench, message_id, number))
    (found,) = inbox(bench, message_id, number)
    return found, e2e.Message.FromString(found.plain)


def inbox(bench: Paired, message_id: str, number: str = BEA) -> list[Received]:
    """Every message with that id in a phone's inbox."""
    return [item for _, item in bench.sandbox.world.inbox.after(number, 0) if item.id == message_id]


async def say(bench: Paired, text: str, *, by: str = BEA, to: str = ADA) -> str:
    """A phone says something, and the session has it; the id."""
    return await until_there(bench, bench.phone(by).say(to, text))


async def send_media(bench: Paired, kind: str, mimetype: str, data: bytes, filename: str = "") -> str:
    """Bea's phone sends a file, and the session has the message; the id."""
    reference = MediaReference(
        kind=kind, key=b"", blob_sha256=b"", mimetype=mimetype, caption="", filename=filename, size=len(data)
    )
    return await until_there(bench, await bench.sandbox.send_media(BEA, ADA, reference, data))


async def deliver(bench: Paired, content: Any, *, by: str = BEA, to: str = ADA, kind: str = "text") -> str:
    """A phone sends any content; the id."""
    phone = bench.phone(by)
    return phone.deliver(phone.target(to), content.SerializeToString(), kind)


async def until_there(bench: Paired, message_id: str) -> str:
    await bench.event("message", lambda data: data["message_id"] == message_id, timeout=40)
    return message_id

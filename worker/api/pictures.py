"""Pictures of accounts and groups: out of a form, and into the shape WhatsApp takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ecosystem.contract.errors import ConversionFailed, InvalidImage, InvalidRequest
from worker.api.forms import FileField, read_form
from worker.api.sendmedia import SCRATCH
from worker.media import tools
from worker.media.tools import Order

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T", bound=msgspec.Struct)

PICTURE_MAX_BYTES: Final = 10 << 20
SIDE: Final = 640
"""WhatsApp shows these pictures as squares of this size."""


async def read_picture(request: web.Request, wanted: type[T], name: str) -> tuple[T, bytes | None]:
    """The fields of a request's form, and its file field `name` made a square JPEG; None when that is missing or empty.

    Raises MalformedBody, BodyTooLarge, InvalidImage, InvalidRequest naming the field.
    """
    if request.content_type != "multipart/form-data":
        raise InvalidRequest(f"send a multipart/form-data form with the file in {name}", field=name)
    async with request.app[SCRATCH].folder() as folder:
        values, stored = await read_form(request, wanted, FileField(name, folder, PICTURE_MAX_BYTES))
        if stored is None or not stored.size_bytes:
            return values, None
        target = folder / "square.jpg"
        order = Order(source=str(stored.path), target=str(target), format="square", edge=SIDE)
        try:
            await tools.picture(order, field=name)
        except ConversionFailed:
            raise InvalidImage(f"{name} is not a picture that can be read", field=name) from None
        return values, await asyncio.to_thread(target.read_bytes)

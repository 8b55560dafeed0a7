"""Bodies as clients send them: JSON, a form, or a form with a file, all into one struct."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_origin, get_type_hints

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ecosystem.contract.errors import BodyTooLarge, DomainError, InvalidRequest, MalformedBody
from ecosystem.web import invalid, read_body
from worker.media.scratch import Stored, store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T", bound=msgspec.Struct)

TEXTS_MAX_BYTES: Final = 1 << 20
"""All fields of a form together, files left out."""
_PARTS_MAX: Final = 2000
_BLOCK_BYTES: Final = 256 << 10
_BROKEN: Final = (
    ValueError, AssertionError, RuntimeError, aiohttp.ClientError, web.RequestPayloadError, HttpProcessingError,
)  # fmt: skip
"""What aiohttp raises for a body that is not what its Content-Type says."""


class FileField(msgspec.Struct, frozen=True):
    """The field that may carry a file, where it goes, and how large it may be."""

    name: str
    folder: Path
    limit_bytes: int


async def read_form(request: web.Request, wanted: type[T], file: FileField | None = None) -> tuple[T, Stored | None]:
    """The body as `wanted`, and the file that came with it. Members nobody knows are ignored.

    Raises MalformedBody, BodyTooLarge, MediaTooLarge, InvalidRequest naming the field.
    """
    if request.content_type == "multipart/form-data":
        values, stored = await _read_parts(request, file)
    elif request.content_type == "application/x-www-form-urlencoded":
        values, stored = await _read_urlencoded(request), None
    else:
        return await read_body(request, wanted), None
    try:
        return msgspec.convert(_shaped(values, wanted), wanted, strict=False), stored
    except msgspec.ValidationError as error:
        raise invalid(error, wanted) from None


async def read_fields(request: web.Request, wanted: type[T]) -> T:
    """The body as `wanted`: JSON, or a form without a file. Raises as read_form."""
    fields, _ = await read_form(request, wanted)
    return fields


async def _read_urlencoded(request: web.Request) -> dict[str, list[str]]:
    try:
        fields = await request.post()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge from None
    except _BROKEN as error:
        raise MalformedBody("the form could not be read") from error
    values: dict[str, list[str]] = {}
    for name, value in fields.items():
        if isinstance(value, str):
            _keep(values, name, value)
    return values


async def _read_parts(request: web.Request, file: FileField | None) -> tuple[dict[str, list[str]], Stored | None]:
    values: dict[str, list[str]] = {}
    stored: Stored | None = None
    left = TEXTS_MAX_BYTES
    try:
        reader = await request.multipart()
        for _ in range(_PARTS_MAX):
            part = await reader.next()
            if part is None:
                return values, stored
            if not isinstance(part, aiohttp.BodyPartReader):
                raise MalformedBody("a form in a form")
            name = part.name or ""
            if file is not None and name == file.name:
                if stored is not None:
                    raise InvalidRequest(f"{name} is given more than once", field=name)
                stored = await _store_part(part, file)
            elif part.filename is None:
                text = await _text_of(part, left)
                left -= len(text)
                _keep(values, name, text.decode("utf-8"))
            else:
                await _skip(part)
    except DomainError:
        raise
    except UnicodeDecodeError:
        raise MalformedBody("the form is not UTF-8") from None
    except _BROKEN as error:
        raise MalformedBody("the form could not be read") from error
    raise BodyTooLarge("the form has too many parts")


async def _store_part(part: aiohttp.BodyPartReader, file: FileField) -> Stored | None:
    """The file, or None for a file field that was left empty, as browsers send it."""
    if not part.filename:
        if await part.read_chunk(1):
            raise InvalidRequest(f"{file.name} must be a file", field=file.name)
        return None
    return await store(
        _blocks(part),
        file.folder / "upload",
        field=file.name,
        limit=file.limit_bytes,
        filename=part.filename,
        mimetype=part.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None,
    )


async def _blocks(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while block := await part.read_chunk(_BLOCK_BYTES):
        yield bytes(block)


async def _text_of(part: aiohttp.BodyPartReader, limit: int) -> bytes:
    found = bytearray()
    while block := await part.read_chunk(_BLOCK_BYTES):
        found += block
        if len(found) > limit:
            raise BodyTooLarge("the form's fields are too large")
    return bytes(found)


async def _skip(part: aiohttp.BodyPartReader) -> None:
    """A file nobody asked for: ignored like any member nobody knows, up to a limit."""
    left = TEXTS_MAX_BYTES
    while block := await part.read_chunk(_BLOCK_BYTES):
        left -= len(block)
        if left < 0:
            raise BodyTooLarge(f"{(part.name or 'a part')[:50]} is a file nobody asked for")


def _keep(values: dict[str, list[str]], name: str, text: str) -> None:
    if "\x00" in text:
        raise InvalidRequest("a field holds a NUL character", field=name.replace("\x00", "?") or None)
    values.setdefault(name.removesuffix("[]"), []).append(text)


def _shaped(values: dict[str, list[str]], wanted: type[msgspec.Struct]) -> dict[str, Any]:
    """Lists where lists are wanted (repeated fields, or one JSON list); a field left empty counts as absent."""
    hints = get_type_hints(wanted)
    shaped: dict[str, Any] = {}
    for name, texts in values.items():
        hint = hints.get(name)
        if hint is None:
            continue
        if get_origin(hint) is list:
            shaped[name] = _list_of(texts, name)
        elif len(texts) > 1:
            raise InvalidRequest(f"{name} is given more than once", field=name)
        elif texts[0] != "" or hint is str:
            shaped[name] = texts[0]
    return shaped


def _list_of(texts: list[str], name: str) -> list[Any]:
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        try:
            return msgspec.json.decode(texts[0], type=list[str])
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{name} is not a JSON list of texts: {error}", field=name) from None
    return [text for text in texts if text]

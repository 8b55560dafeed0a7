"""Names of a session in a request's body, found without keeping the body in memory.

What holds for them (`device_id`):

- JSON and form bodies up to the body limit are looked at whole; larger ones are refused, as the worker would.
- Of `multipart/form-data` the first 64 KiB are looked at before the request goes on. Parts that come later are looked at as
  they stream by: a name there that is not the session's ends the request before the worker has all of it.
- A compressed body cannot be looked at: its request needs its name elsewhere.
- Bodies of any other kind hold no names.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from ecosystem.contract.errors import BodyTooLarge, DomainError, InvalidRequest, MalformedBody
from orchestrator.gateway.multipart import MultipartNames, boundary_of
from orchestrator.sessions.names import FIELD, HEADER, IN_BODY, Name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import StreamReader, web

MULTIPART_HEAD_BYTES: Final = 64 << 10
_FORM: Final = "application/x-www-form-urlencoded"


class _JsonName(msgspec.Struct, frozen=True):
    device_id: object = None


class Stream:
    """A body that is passed on as it comes: first what was looked at already. `check` sees each name a later part holds."""

    def __init__(self, head: bytes, rest: StreamReader, parts: MultipartNames | None) -> None:
        self._head = head
        self._rest = rest
        self._parts = parts
        self._seen = len(parts.names) if parts is not None else 0
        self.check: Callable[[Name], Awaitable[None]] | None = None
        self.refusal: DomainError | None = None
        """Why the body was not passed on to its end."""

    def __repr__(self) -> str:
        return f"<Stream of {self._rest.total_bytes} bytes so far>"

    @property
    def through(self) -> bool:
        return self._rest.is_eof()

    @property
    def arrived(self) -> int:
        """Bytes the client has sent."""
        return self._rest.total_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._head:
            yield self._head
            self._head = b""
        async for block in self._rest.iter_any():
            if self._parts is not None:
                await self._watch(self._parts, block)
            yield block

    async def _watch(self, parts: MultipartNames, block: bytes) -> None:
        try:
            parts.feed(block)
            for text in parts.names[self._seen :]:
                self._seen += 1
                if text and self.check is not None:
                    await self.check(Name(text, IN_BODY))
        except DomainError as error:
            # The HTTP client hides what a body raises: the proxy asks for it here.
            self.refusal = error
            raise


Body: TypeAlias = "bytes | Stream | None"


async def look_at_body(request: web.Request, *, limit: int, patience_s: float, named: bool) -> tuple[list[Name], Body]:
    """The names in a body, and the body to pass on. `named`: the request has a name elsewhere.

    Raises BodyTooLarge, MalformedBody (also when it stops coming for `patience_s`), InvalidRequest.
    """
    if not request.body_exists:
        return [], None
    kind = request.headers.get("Content-Type", "")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        if not named:
            raise InvalidRequest("a compressed body cannot name a session", hint=f"name it in the path or in {HEADER}")
        return [], Stream(b"", request.content, None)
    boundary = boundary_of(kind)
    if boundary is not None:
        parts = MultipartNames(boundary)
        head, _ = await _head(request.content, MULTIPART_HEAD_BYTES, patience_s)
        parts.feed(head)
        names = [Name(text, IN_BODY) for text in parts.names if text]
        return names, Stream(head, request.content, parts)
    essence = kind.partition(";")[0].strip().lower()
    if not _may_be_json(essence) and essence != _FORM:
        return [], Stream(b"", request.content, None)
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    raw, complete = await _head(request.content, limit + 1, patience_s)
    if not complete or len(raw) > limit:
        raise BodyTooLarge
    return (_names_in_form(raw) if essence == _FORM else _names_in_json(raw)), raw


def _may_be_json(essence: str) -> bool:
    """Also what claims to be nothing, or plain text: the worker decodes it all the same."""
    return essence in ("", "text/plain") or essence.endswith("json")


async def _head(content: StreamReader, limit: int, patience_s: float) -> tuple[bytes, bool]:
    """About `limit` bytes of a body, or all of it; whether that was all."""
    found = bytearray()
    while len(found) < limit:
        try:
            async with asyncio.timeout(patience_s):
                block = await content.readany()
        except TimeoutError:
            raise MalformedBody("the rest of the request body did not come") from None
        if not block:
            return bytes(found), True
        found += block
    return bytes(found), content.at_eof()


def _names_in_json(raw: bytes) -> list[Name]:
    """What is no JSON object names nobody: the worker says what is wrong with it."""
    try:
        value = msgspec.json.decode(raw, type=_JsonName).device_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if value is None or value == "":
        return []
    if not isinstance(value, str):
        raise InvalidRequest(f"{FIELD}: must be text", field=FIELD)
    return [Name(value, IN_BODY)]


def _names_in_form(raw: bytes) -> list[Name]:
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=1000)
    except ValueError:
        raise MalformedBody("the form has too many fields") from None
    return [Name(value, IN_BODY) for name, value in pairs if name == FIELD and value]

"""Keys as texts: making them, judging given ones, their digests, and finding one in a request."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import uuid
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ecosystem.contract.access import GIVEN_KEY_MIN, KEY_MAX
from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from aiohttp import web

PREFIX: Final = "zpv_"
RANDOM_BYTES: Final = 32
GENERATED_SHOWN: Final = 12
GIVEN_SHOWN: Final = 4
"""How many characters of a key are kept in the clear, to tell it by: few of one that somebody chose."""
_SHAPE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


class Presented(NamedTuple):
    """A key as a request carries it. Basic authentication is ambient: a browser adds it by itself, to foreign forms too."""

    texts: tuple[str, ...]
    """Candidates; of basic authentication the password, the user name, and last both with a colon between them."""
    way: Literal["bearer", "header", "basic", "query"]


def generate() -> str:
    """A key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def generate_uuid() -> str:
    """A key as sessions get one: a random UUID (122 random bits)."""
    return str(uuid.uuid4())


def check_given(key: str, *, field: str = "api_key") -> str:
    """A key somebody chose, if it can be one. Raises InvalidRequest, which does not repeat it."""
    if not GIVEN_KEY_MIN <= len(key) <= KEY_MAX:
        raise InvalidRequest(f"{field} must have {GIVEN_KEY_MIN} to {KEY_MAX} characters", field=field)
    if not _SHAPE.fullmatch(key):
        raise InvalidRequest(f"{field} must be printable ASCII without spaces", field=field)
    if len(set(key)) < GIVEN_KEY_MIN // 2:
        raise InvalidRequest(f"{field} repeats few characters: it is too easy to guess", field=field)
    return key


def digest(key: str) -> bytes:
    """The SHA-256 a key is known by."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def presented(request: web.Request) -> Presented | None:
    """The key of `Authorization: Bearer`, `X-API-Key`, or basic authentication; None: there is none."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return Presented((rest,), "bearer")
    if scheme.lower() == "basic":
        pair = basic_pair(rest)
        texts = tuple(text for text in reversed(pair) if text) if pair is not None else ()
        texts += (":".join(pair),) if pair is not None and all(pair) else ()
        return Presented(texts, "basic") if texts else None
    named = request.headers.get("X-API-Key")
    return Presented((named,), "header") if named else None


def basic_pair(encoded: str) -> tuple[str, str] | None:
    """User and password of basic authentication; None when it is none."""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return user, password

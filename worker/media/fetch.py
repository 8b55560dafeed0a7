"""Fetches a file from a URL that somebody gave: bounded in size, time and redirects, and only from where it may come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from ecosystem.contract.errors import InvalidRequest, MediaUrlUnreachable
from ecosystem.outgoing import AddressRefused, check_literal, check_url, guarded_session, join
from worker.media.scratch import Stored, store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from yarl import URL

REDIRECTS_MAX: Final = 5
CONNECT_TIMEOUT_S: Final = 10.0
SILENCE_TIMEOUT_S: Final = 15.0
_BLOCK_BYTES: Final = 256 << 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AGENT: Final = "Mozilla/5.0 (compatible; zapvisor)"


class Rules(msgspec.Struct, frozen=True):
    """How a URL may be fetched. `cut`: take the first `limit_bytes` of what is larger instead of refusing it."""

    field: str
    limit_bytes: int
    timeout_s: float
    allow_private: bool
    cut: bool = False


async def fetch(text: str, target: Path, rules: Rules) -> Stored:
    """The file behind a URL, in `target`. Raises MediaUrlUnreachable, MediaTooLarge, InvalidRequest (empty), naming the field."""
    url = parse_url(text, rules)
    timeout = aiohttp.ClientTimeout(total=rules.timeout_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)
    try:
        async with guarded_session(
            allow_private=rules.allow_private,
            limit=2,
            keepalive_s=None,
            auto_decompress=True,
            timeout=timeout,
            headers={"User-Agent": _AGENT},
        ) as session:
            return await _follow(session, url, target, rules)
    except TimeoutError:
        raise _unreachable(rules, f"it took longer than {rules.timeout_s:g} s or fell silent") from None
    except (aiohttp.ClientError, AddressRefused, ValueError) as error:
        raise _unreachable(rules, _why(error)) from None


async def _follow(session: aiohttp.ClientSession, url: URL, target: Path, rules: Rules) -> Stored:
    """Redirects are followed here, so that each one is looked at."""
    for _ in range(REDIRECTS_MAX + 1):
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status in _REDIRECTS and "Location" in answer.headers:
                url = parse_url(join(url, answer.headers["Location"]), rules)
                continue
            if answer.status != 200:
                raise _unreachable(rules, f"it answered {answer.status}")
            return await store(
                _blocks(answer, rules),
                target,
                field=rules.field,
                limit=rules.limit_bytes,
                filename=_filename(answer, url),
                mimetype=answer.content_type,
            )
    raise _unreachable(rules, f"it redirects more than {REDIRECTS_MAX} times")


async def _blocks(answer: aiohttp.ClientResponse, rules: Rules) -> AsyncIterator[bytes]:
    left = rules.limit_bytes
    async for block in answer.content.iter_chunked(_BLOCK_BYTES):
        if rules.cut and len(block) >= left:
            yield block[:left]
            return
        left -= len(block)
        yield block


def parse_url(text: str, rules: Rules) -> URL:
    """A URL that may be fetched, as far as its text tells. Raises MediaUrlUnreachable."""
    try:
        url = check_url(text.strip(), field="it", credentials=True, fragment=True)
        check_literal(url, allow_private=rules.allow_private)
    except InvalidRequest as error:
        raise _unreachable(rules, error.message.replace("it: ", "the URL ", 1)) from None
    except AddressRefused as error:
        raise _unreachable(rules, str(error)) from None
    return url


def _filename(answer: aiohttp.ClientResponse, url: URL) -> str:
    told: Any = answer.content_disposition
    return (told.filename if told is not None else None) or url.name or "file"


def _why(error: Exception) -> str:
    """What went wrong, without what a library would add: addresses, certificates, stacks."""
    inner = getattr(error, "os_error", None) or error
    for each in (inner, error.__cause__):
        if isinstance(each, AddressRefused):
            return str(each)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "nobody answers there"
    return "its answer broke off or is not HTTP"


def _unreachable(rules: Rules, why: str) -> MediaUrlUnreachable:
    return MediaUrlUnreachable(f"{rules.field} could not be fetched: {why}", field=rules.field)

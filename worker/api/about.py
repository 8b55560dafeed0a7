"""`/app/info`, and the routes of GoWA this program knows but cannot serve: they say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import NotSupportedByEngine
from ecosystem.contract.worker import app_info
from worker.api.edge import Routes, success
from worker.api.sendmedia import LIMITS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web


async def info(request: web.Request) -> web.Response:
    """`GET /app/info`: the program, its limits, what is switched on."""
    return success("Fetch app info success", app_info(version(), request.app[LIMITS]))


def version() -> str:
    """Of the installed distribution; 0 in a bare checkout."""
    # Imported when first asked: it brings in a parser of e-mails.
    from importlib import metadata

    try:
        return metadata.version("zapvisor")
    except metadata.PackageNotFoundError:
        return "0"


def _unable(sentence: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise NotSupportedByEngine(sentence)

    handler.__doc__ = f"Answers 501: {sentence}."
    return handler


_passkey: Final = _unable("the WhatsApp engine cannot pair with a passkey; scan the QR code or use a pairing code")
_chatwoot: Final = _unable("the integration with Chatwoot is not part of this version")

ROUTES: Final[Routes] = (
    ("GET", "/app/info", info),
    ("GET", "/app/passkey", _passkey),
    ("POST", "/app/passkey/response", _passkey),
    ("POST", "/app/passkey/confirm", _passkey),
    ("POST", "/chatwoot/sync", _chatwoot),
    ("GET", "/chatwoot/sync/status", _chatwoot),
    ("POST", "/chatwoot/webhook", _chatwoot),
    ("POST", "/chatwoot/webhook/{device_id}", _chatwoot),
    ("GET", "/chatwoot/configs", _chatwoot),
    ("GET", "/devices/{device_id}/chatwoot/config", _chatwoot),
    ("PUT", "/devices/{device_id}/chatwoot/config", _chatwoot),
    ("DELETE", "/devices/{device_id}/chatwoot/config", _chatwoot),
)

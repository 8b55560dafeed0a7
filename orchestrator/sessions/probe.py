"""Tries a proxy: opens a connection to WhatsApp through it, and asks from which address the world sees it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy

if TYPE_CHECKING:
    from pathlib import Path

HOST: Final = "web.whatsapp.com"
TLS_PORT: Final = 443
HEAD_LIMIT_BYTES: Final = 8 << 10
_TYPES: Final = {"http": ProxyType.HTTP, "socks5": ProxyType.SOCKS5}


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a proxy, with its password: never stored, logged or answered."""

    type: Literal["http", "socks5"]
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"<Login at {self.type}://{self.host}:{self.port}>"


class Tried(msgspec.Struct, frozen=True):
    """What came of a try. `detail` never holds the login."""

    ok: bool
    latency_ms: float | None = None
    exit_address: str | None = None
    detail: str | None = None


class Prober:
    """`authority`: the file of the certificate authority WhatsApp's host is checked against; None: the system's.

    `address_from`: a URL that answers with its caller's address; None: nobody is asked.
    """

    def __init__(self, *, timeout_s: float, authority: Path | None, address_from: str | None) -> None:
        self._timeout_s = timeout_s
        self._authority = authority
        self._address_from = address_from
        self._context: ssl.SSLContext | None = None

    async def try_out(self, login: Login, *, with_address: bool) -> Tried:
        """Never raises: what is wrong is told in `detail`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._request(login, HOST, TLS_PORT, tls=True)
            took = round((time.monotonic() - began) * 1000, 1)
        except (ProxyTimeoutError, TimeoutError):
            return Tried(False, detail=f"no answer within {self._timeout_s:g} s")
        except ProxyConnectionError:
            return Tried(False, detail="nobody answers at the proxy's address")
        except ProxyError as error:
            return Tried(False, detail=_said(error, login))
        except (OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError) as error:
            return Tried(False, detail=f"the way to WhatsApp through it is broken: {type(error).__name__}")
        address = await self._exit_address(login) if with_address else None
        return Tried(True, took, address, "reached WhatsApp")

    async def _exit_address(self, login: Login) -> str | None:
        if self._address_from is None:
            return None
        parts = urlsplit(self._address_from)
        tls = parts.scheme == "https"
        with contextlib.suppress(
            ProxyError, ProxyConnectionError, ProxyTimeoutError, OSError, ValueError, TimeoutError, EOFError
        ):
            async with asyncio.timeout(self._timeout_s):
                port = parts.port or (TLS_PORT if tls else 80)
                answer = await self._request(login, parts.hostname or "", port, tls=tls, path=parts.path or "/")
            body = answer.partition(b"\r\n\r\n")[2].decode("ascii", "replace").strip()
            return str(ipaddress.ip_address(body.splitlines()[-1].strip() if body else ""))
        return None

    async def _request(self, login: Login, host: str, port: int, *, tls: bool, path: str = "/") -> bytes:
        """The start of the answer to a plain request through the proxy."""
        # Names are resolved by the proxy, as the session's own are: a look-up of ours would tell who is asked.
        proxy = Proxy(_TYPES[login.type], login.host, login.port, login.username, login.password, rdns=True)
        sock = await proxy.connect(dest_host=host, dest_port=port, timeout=self._timeout_s)
        context = await self._tls() if tls and host == HOST else ssl.create_default_context() if tls else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=host if context is not None else None
        )
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n".encode())
            await writer.drain()
            answer = b""
            while len(answer) < HEAD_LIMIT_BYTES and (block := await reader.read(HEAD_LIMIT_BYTES)):
                answer += block
                if tls and host == HOST:
                    break
        finally:
            writer.transport.abort()  # nothing more is wanted of it, not even a farewell
        if not answer.startswith(b"HTTP/"):
            raise ValueError("no HTTP answer")
        return answer

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            cafile = None if self._authority is None else str(self._authority)
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=cafile)
        return self._context


def _said(error: ProxyError, login: Login) -> str:
    """A proxy's refusal as a sentence, without the login in it."""
    text = str(error)
    for secret in (login.password, login.username):
        if secret:
            text = text.replace(secret, "***")
    if "407" in text or "auth" in text.lower():
        return f"the proxy refuses the login: {text[:200]}"
    return f"the proxy refuses: {text[:200]}"

"""`/app/…`: login, logout, reconnect, status."""

from __future__ import annotations

import io
import math
from typing import Final, Literal

import msgspec
import segno
from aiohttp import web

from ecosystem.contract.ids import parse_phone
from ecosystem.contract.session import QrCode, SessionState
from ecosystem.web import json_response, read_query
from worker.api.edge import SESSION, NoQuery, Routes, success

QR_PATIENCE_S: Final = 10.0
"""How long a request waits for the first QR code of a starting session."""
_QR_SCALE: Final = 8


class LoginWithCode(msgspec.Struct, frozen=True):
    """Parameters of `GET /app/login-with-code`."""

    phone: str
    device_id: str | None = None


class QrFormat(msgspec.Struct, frozen=True):
    """Parameters of `GET /app/login/qr`."""

    format: Literal["png", "json", "text"] = "png"
    device_id: str | None = None


async def login(request: web.Request) -> web.Response:
    """`GET /app/login`: where the QR code is and how long it holds."""
    read_query(request, NoQuery)
    session = request.app[SESSION]
    shown = await session.current_qr(QR_PATIENCE_S)
    return success(
        "Login success",
        {
            "device_id": session.session_id,
            "qr_link": f"{base_of(request)}/app/login/qr",
            "qr_duration": math.floor(shown.left_s()),
        },
    )


async def login_qr(request: web.Request) -> web.Response:
    """`GET /app/login/qr`: the QR code as a picture, as JSON (a QrCode) or as the text in it."""
    wanted = read_query(request, QrFormat).format
    session = request.app[SESSION]
    shown = await session.current_qr(QR_PATIENCE_S)
    headers = {"Cache-Control": "no-store", "X-QR-Seq": str(shown.seq), "X-QR-Expires-In": f"{shown.left_s():.1f}"}
    if wanted == "json":
        code = QrCode(
            session_id=session.session_id, text=shown.text, seq=shown.seq, expires_in_s=round(shown.left_s(), 1)
        )
        return json_response(code, headers=headers)
    if wanted == "text":
        return web.Response(text=shown.text, headers=headers)
    return web.Response(body=draw(shown.text), content_type="image/png", headers=headers)


def draw(text: str) -> bytes:
    """A QR code as PNG."""
    picture = io.BytesIO()
    segno.make_qr(text, error="l").save(picture, kind="png", scale=_QR_SCALE, border=4)
    return picture.getvalue()


async def login_with_code(request: web.Request) -> web.Response:
    """`GET /app/login-with-code?phone=`: a code to type on the phone."""
    phone = parse_phone(read_query(request, LoginWithCode).phone)
    session = request.app[SESSION]
    code, left_s = await session.pair_phone(phone, QR_PATIENCE_S)
    results = {"device_id": session.session_id, "pair_code": code, "expires_in_s": round(left_s, 1)}
    return success("Login with code success", results)


async def logout(request: web.Request) -> web.Response:
    """`GET|POST /app/logout`: unlinks this device; the worker stays and can be told to reconnect."""
    read_query(request, NoQuery)
    await request.app[SESSION].log_out()
    return success("Success logout")


async def reconnect(request: web.Request) -> web.Response:
    """`GET|POST /app/reconnect`: a fresh process of this session, which resumes the login or shows a QR code."""
    read_query(request, NoQuery)
    request.app[SESSION].replace("reconnect was asked for")
    return success("Reconnect success")


async def status(request: web.Request) -> web.Response:
    """`GET /app/status`: GoWA's two answers, and our state with its reason."""
    read_query(request, NoQuery)
    session = request.app[SESSION]
    return success(
        "Connection status retrieved",
        {
            "device_id": session.session_id,
            "is_connected": session.state in (SessionState.CONNECTED, SessionState.AUTHENTICATED),
            "is_logged_in": session.state is SessionState.AUTHENTICATED,
            "jid": session.address or "",
            "state": session.state,
            "reason": session.reason,
            "detail": session.detail,
            "since": session.since,
        },
    )


async def devices(request: web.Request) -> web.Response:
    """`GET /app/devices`: the one device of this session."""
    read_query(request, NoQuery)
    session = request.app[SESSION]
    device = {"name": session.push_name or "", "device": session.session_id, "jid": session.address or ""}
    return success("Fetch device success", [device])


def base_of(request: web.Request) -> str:
    """How the caller reached us: the gateway says so in X-Forwarded-*, else the request itself."""
    headers = request.headers
    scheme = headers.get("X-Forwarded-Proto", request.scheme)
    host = headers.get("X-Forwarded-Host", request.host)
    return f"{scheme}://{host}{headers.get('X-Forwarded-Prefix', '').rstrip('/')}"


ROUTES: Final[Routes] = (
    ("GET", "/app/login", login),
    ("GET", "/app/login/qr", login_qr),
    ("GET", "/app/login-with-code", login_with_code),
    ("GET", "/app/logout", logout),
    ("POST", "/app/logout", logout),
    ("GET", "/app/reconnect", reconnect),
    ("POST", "/app/reconnect", reconnect),
    ("GET", "/app/status", status),
    ("GET", "/app/devices", devices),
)

"""GoWA's `/devices…`, `/device/…`, `/app/devices`, `/app/info`: its words for sessions, in its envelope.

A device id is a session id; where one is asked for, the phone number or address of the account it is paired with does as well.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import msgspec
from aiohttp import web

from ecosystem.contract.access import Scope
from ecosystem.contract.envelope import Envelope
from ecosystem.contract.errors import DomainError, InvalidRequest, NotSupportedByEngine, SessionNotFound
from ecosystem.contract.ids import Jid, bare_jid, parse_phone
from ecosystem.contract.session import CreateSession, DesiredState, SessionState
from ecosystem.contract.worker import app_info
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.version import VERSION
from orchestrator.registry.rows import Filter
from orchestrator.sessions.names import FIELD, IN_BODY, Name, agree, names_outside_body
from orchestrator.sessions.service import Listing

if TYPE_CHECKING:
    from ecosystem.contract.session import SessionView
    from ecosystem.contract.worker import MediaLimits
    from orchestrator.sessions.names import SessionNames
    from orchestrator.sessions.pairing import Pairing
    from orchestrator.sessions.service import SessionOrchestrator

START_PATIENCE_S: Final = 10.0
PAIRING_PATIENCE_S: Final = 20.0
"""How long a login waits for the first code of a session that starts."""
DELETE_PATIENCE_S: Final = 10.0
EVERY: Final = 1_000_000
"""More than there can be: GoWA's lists have no pages."""
_STATES: Final = {
    SessionState.DISCONNECTED: "disconnected",
    SessionState.CONNECTING: "connecting",
    SessionState.CONNECTED: "connected",
    SessionState.AUTHENTICATED: "logged_in",
    SessionState.ERROR: "disconnected",
}
"""GoWA's four words for ours."""
_Text = Annotated[str, msgspec.Meta(max_length=2048)]


class DeviceWebhook(msgspec.Struct, frozen=True):
    """The members of a device's webhook, in bodies and answers. Events are separated by commas; none means all."""

    webhook_url: _Text
    webhook_secret: _Text = ""
    webhook_events: _Text = ""
    webhook_insecure_skip_verify: bool = False


class AddDevice(msgspec.Struct, frozen=True):
    """Body of `POST /devices`. Without `device_id` one is generated."""

    device_id: str | None = None
    webhook_url: _Text = ""
    webhook_secret: _Text = ""
    webhook_events: _Text = ""
    webhook_insecure_skip_verify: bool = False

    @property
    def webhook(self) -> DeviceWebhook | None:
        """The webhook it asks for, if any."""
        if not self.webhook_url:
            return None
        return DeviceWebhook(
            self.webhook_url, self.webhook_secret, self.webhook_events, self.webhook_insecure_skip_verify
        )


class LoginDevice(msgspec.Struct, frozen=True):
    """Body of `POST /device/login`: which device; with `phone` the answer is a pairing code instead of a QR code."""

    device_id: str | None = None
    phone: str | None = None


class NameDevice(msgspec.Struct, frozen=True):
    """Body of `POST /device/logout`."""

    device_id: str | None = None


class PhoneQuery(msgspec.Struct, frozen=True):
    """`POST /devices/{device_id}/login/code`."""

    phone: str


class Device(msgspec.Struct, frozen=True):
    """A session as GoWA's device lists show it. `jid` and `phone_number` are empty until it is paired."""

    id: str
    phone_number: str
    display_name: str
    state: str
    jid: str
    created_at: datetime


class DeviceName(msgspec.Struct, frozen=True):
    """A session as `GET /app/devices` shows it."""

    name: str
    device: str
    jid: str


class DeviceWebhooks(Protocol):
    """One webhook per device. Both raise SessionNotFound and RegistryDown, `put` an error naming the field too.

    `by_admin`: whether the admin asks, who may name private addresses.
    """

    async def get(self, session_id: str) -> DeviceWebhook: ...

    async def put(self, session_id: str, webhook: DeviceWebhook, *, by_admin: bool) -> None: ...

    def check(self, webhook: DeviceWebhook, *, by_admin: bool) -> None:
        """Raises an error naming the field, before anything is created."""
        ...


class DeviceRoutes:
    """The handlers of one orchestrator."""

    def __init__(
        self,
        sessions: SessionOrchestrator,
        names: SessionNames,
        pairing: Pairing,
        webhooks: DeviceWebhooks,
        *,
        limits: MediaLimits,
    ) -> None:
        self._sessions = sessions
        self._limits = limits
        self._names = names
        self._pairing = pairing
        self._webhooks = webhooks

    def add_routes(self, app: web.Application) -> None:
        """Before the gateway's, which has the rest of `/app`."""
        one = "/devices/{device_id}"
        app.add_routes(
            [
                web.get("/devices", self.page),
                web.post("/devices", self.add),
                web.get(one, self.get),
                web.delete(one, self.remove),
                web.get(f"{one}/login", self.login),
                web.post(f"{one}/login/code", self.login_code),
                web.post(f"{one}/logout", self.logout),
                web.post(f"{one}/reconnect", self.reconnect),
                web.get(f"{one}/status", self.status),
                web.get(f"{one}/webhook", self.webhook),
                web.patch(f"{one}/webhook", self.set_webhook),
                web.get(f"{one}/chatwoot/config", chatwoot),
                web.put(f"{one}/chatwoot/config", chatwoot),
                web.delete(f"{one}/chatwoot/config", chatwoot),
                web.post("/device/login", self.device_login),
                web.post("/device/logout", self.device_logout),
                web.get("/device/list", self.active),
                web.get("/app/devices", self.every),
                web.get("/app/info", self.info),
                web.post("/chatwoot/sync", chatwoot),
                web.get("/chatwoot/sync/status", chatwoot),
                web.post("/chatwoot/webhook", chatwoot),
                web.post("/chatwoot/webhook/{device_id}", chatwoot),
                web.get("/chatwoot/configs", chatwoot),
            ]
        )

    # --- lists

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Every session; for a session's key, that one."""
        wanted = Filter(session_id=caller_of(request).session_id)
        return success("List devices", [device_of(view) for view in await self._all(wanted)])

    async def active(self, request: web.Request) -> web.StreamResponse:
        """The same of those that are wanted running."""
        wanted = Filter(session_id=caller_of(request).session_id, desired=DesiredState.RUNNING)
        return success("List devices", [device_of(view) for view in await self._all(wanted)])

    async def every(self, request: web.Request) -> web.StreamResponse:
        """Every session (for a session's key, that one), in the words of the single-device API."""
        return success("Fetch device success", await device_names(self._sessions, caller_of(request).session_id))

    # --- one device

    async def add(self, request: web.Request) -> web.StreamResponse:
        """A new session, started. Raises ScopeMissing, and as SessionOrchestrator.create does."""
        body = await read_body(request, AddDevice, empty=b"{}")
        caller = caller_of(request)
        if body.webhook is not None:
            # Adding a device is control; who is told of its events is a setting here as anywhere.
            caller.require_scope(Scope.SETTINGS)
            self._webhooks.check(body.webhook, by_admin=caller.is_admin)
        try:
            view = await self._sessions.create(CreateSession(session_id=body.device_id), wait_s=START_PATIENCE_S)
        except DomainError as error:
            error.field = FIELD if error.field == "session_id" else error.field
            raise
        results: dict[str, Any] = msgspec.to_builtins(device_of(view))
        if body.webhook is not None:
            await self._webhooks.put(view.session_id, body.webhook, by_admin=caller.is_admin)
            results |= msgspec.to_builtins(body.webhook)
        return success("Device added", results)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Raises SessionNotFound."""
        return success("Device info", device_of(await self._sessions.get(await self._device(request))))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Logged out where that is possible, then deleted; its folder goes to the archive."""
        session_id = await self._device(request)
        try:
            await self._sessions.delete(session_id, logout=True, wait_s=DELETE_PATIENCE_S)
        except SessionNotFound:
            raise
        except DomainError:
            # A session that cannot be reached any more must be deletable: its phone shows the link as inactive.
            await self._sessions.delete(session_id, wait_s=DELETE_PATIENCE_S)
        return success("Device removed")

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Starts it where it rests; where the QR code is and how long it holds. Raises as Pairing.qr does."""
        return await self._show_qr(request, await self._device(request))

    async def login_code(self, request: web.Request) -> web.StreamResponse:
        """A code to type on the phone. Raises InvalidPhone, and as Pairing.code does."""
        phone = parse_phone(read_query(request, PhoneQuery).phone)
        return await self._show_code(await self._device(request), phone)

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """Unlinked from its phone; it stays and can be paired again. Raises as SessionOrchestrator.logout does."""
        await self._sessions.logout(await self._device(request))
        return success("Logout requested")

    async def reconnect(self, request: web.Request) -> web.StreamResponse:
        """A fresh process, whatever runs now."""
        await self._sessions.restart(await self._device(request))
        return success("Reconnect requested")

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Is it connected, is it logged in?"""
        view = await self._sessions.get(await self._device(request))
        results = {
            "device_id": view.session_id,
            "is_connected": view.status in (SessionState.CONNECTED, SessionState.AUTHENTICATED),
            "is_logged_in": view.status is SessionState.AUTHENTICATED,
        }
        return success("Device status", results)

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        """The device's own webhook. Its secret is never shown."""
        session_id = await self._device(request)
        found = await self._webhooks.get(session_id)
        return success("Device webhook retrieved", {FIELD: session_id, **msgspec.to_builtins(found)})

    async def set_webhook(self, request: web.Request) -> web.StreamResponse:
        """Sets the device's own webhook; an empty URL takes it away."""
        session_id = await self._device(request)
        body = await read_body(request, DeviceWebhook)
        await self._webhooks.put(session_id, body, by_admin=caller_of(request).is_admin)
        return success("Device webhook updated", {FIELD: session_id, **msgspec.to_builtins(body)})

    # --- /device: the device is named in header, query or body

    async def device_login(self, request: web.Request) -> web.StreamResponse:
        """Adds the device where it is new, then logs it in by QR code, or by pairing code for a phone."""
        body = await read_body(request, LoginDevice, empty=b"{}")
        phone = parse_phone(body.phone) if body.phone is not None else None
        names = self._named(request, body.device_id)
        try:
            row = await agree(names, self._names)
        except SessionNotFound:
            # Only what may be an id gets here and on: anything else is refused by its field.
            await self._sessions.create(CreateSession(session_id=names[0].text), wait_s=START_PATIENCE_S)
            row = await self._names.by_id(names[0].text)
        if row is None:
            row = await self._names.default(wait_s=START_PATIENCE_S)
        if phone is not None:
            return await self._show_code(row.session_id, phone)
        return await self._show_qr(request, row.session_id)

    async def device_logout(self, request: web.Request) -> web.StreamResponse:
        """Unlinks the device from its phone. Raises SessionNotFound, and as SessionOrchestrator.logout does."""
        body = await read_body(request, NameDevice, empty=b"{}")
        row = await agree(self._named(request, body.device_id), self._names)
        if row is None:
            raise InvalidRequest("device_id is required", field=FIELD)
        await self._sessions.logout(row.session_id)
        return success("Logout requested")

    # ---

    async def info(self, _: web.Request) -> web.StreamResponse:
        """The program, its limits in bytes, what is switched on."""
        return success("Fetch app info success", app_info(VERSION, self._limits))

    async def _device(self, request: web.Request) -> str:
        row = await self._names.find(request.match_info["device_id"], field=FIELD)
        return row.session_id

    def _named(self, request: web.Request, in_body: str | None) -> list[Name]:
        names = names_outside_body(request.headers, request.query)
        return [*names, Name(in_body, IN_BODY)] if in_body else names

    async def _all(self, wanted: Filter) -> list[SessionView]:
        return (await self._sessions.page(Listing(filter=wanted, sort="created_at", limit=EVERY))).sessions

    async def _show_qr(self, request: web.Request, session_id: str) -> web.StreamResponse:
        await self._sessions.start(session_id, wait_s=START_PATIENCE_S)
        code = await self._pairing.qr(session_id, wait_s=PAIRING_PATIENCE_S)
        results = {
            FIELD: session_id,
            "qr_link": f"{base_of(request)}/api/{session_id}/app/login/qr",
            "qr_duration": math.floor(code.expires_in_s),
        }
        return success("Login success", results)

    async def _show_code(self, session_id: str, phone: str) -> web.StreamResponse:
        await self._sessions.start(session_id, wait_s=START_PATIENCE_S)
        # Once a QR code is shown, a pairing code can be had as well.
        await self._pairing.qr(session_id, wait_s=PAIRING_PATIENCE_S)
        code = await self._pairing.code(session_id, phone)
        return success("Login with code started", {FIELD: session_id, "pair_code": code.code})


async def chatwoot(_: web.Request) -> web.StreamResponse:
    """Answers 501: the integration with Chatwoot is not part of this version."""
    raise NotSupportedByEngine("the integration with Chatwoot is not part of this version")


def device_of(view: SessionView) -> Device:
    """A session as GoWA's lists show it."""
    return Device(
        id=view.session_id,
        phone_number=view.phone or "",
        display_name=view.push_name or view.name,
        state=_STATES[view.status],
        jid=_address(view),
        created_at=view.created_at,
    )


async def device_names(sessions: SessionOrchestrator, only: str | None) -> list[DeviceName]:
    """Every session, or `only` that one, as `GET /app/devices` shows it. Raises RegistryDown."""
    page = await sessions.page(Listing(filter=Filter(session_id=only), sort="created_at", limit=EVERY))
    return [DeviceName(view.push_name or "", view.session_id, _address(view)) for view in page.sessions]


def _address(view: SessionView) -> str:
    """The account's address, without the number of its device: what GoWA's lists show and its webhooks call `device_id`."""
    return bare_jid(Jid(view.jid)) if view.jid else ""


def base_of(request: web.Request) -> str:
    """How the caller reached us: a proxy in front says so in X-Forwarded-*, else the request itself."""
    headers = request.headers
    scheme = headers.get("X-Forwarded-Proto", request.scheme)
    host = headers.get("X-Forwarded-Host", request.host)
    return f"{scheme}://{host}{headers.get('X-Forwarded-Prefix', '').rstrip('/')}"


def success(message: str, results: Any = None) -> web.Response:
    """The envelope of a success."""
    return json_response(Envelope(status=200, code="SUCCESS", message=message, results=results))

"""A session's proxy: set, shown, removed, tried, and watched while its session should be connected.

A change is applied by a fresh process, before that sends its first byte. Passwords are sealed and never given out again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError, InvalidRequest, ProxyNotSet
from ecosystem.contract.operations import ProxyHealth, ProxyTested, ProxyView
from ecosystem.contract.session import DesiredState, ProxySettings, Reason, SessionState
from ecosystem.outgoing import AddressRefused, resolve
from orchestrator.registry import operations
from orchestrator.registry.rows import StoredProxy
from orchestrator.sessions.probe import Login, Prober, Tried

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection, Database, Written
    from orchestrator.registry.rows import SessionRow
    from orchestrator.registry.secrets import SecretBox
    from orchestrator.sessions.service import SessionOrchestrator

LOOK_S: Final = 1.0
AGAIN_S: Final = 5.0
"""Pause between tries of a proxy whose session cannot connect."""
AT_ONCE: Final = 4
TEXT_LIMIT: Final = 255
LOOK_UP_S: Final = 5.0
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_LOG: Final = logging.getLogger(__name__)


async def _public_address(body: ProxySettings) -> str:
    """An address of the proxy. Raises InvalidRequest unless all of them are of the internet at large."""
    try:
        async with asyncio.timeout(LOOK_UP_S):
            return (await resolve(body.host, body.port, allow_private=False))[0]
    except AddressRefused:
        raise InvalidRequest(
            "host: leads to a private address", field="host", hint="the admin key may set it"
        ) from None
    except (OSError, TimeoutError):
        raise InvalidRequest("host: its name cannot be resolved", field="host") from None


class Proxies:
    """`interval_s`: how often proxies that give no trouble are tried; 0: never."""

    def __init__(
        self, sessions: SessionOrchestrator, database: Database, box: SecretBox, prober: Prober, *, interval_s: float
    ) -> None:
        self._sessions = sessions
        self._database = database
        self._box = box
        self._prober = prober
        self._interval_s = interval_s
        self._health: dict[str, ProxyHealth] = {}
        self._tried: dict[str, float] = {}

    # --- what the API asks

    async def get(self, session_id: str) -> ProxyView:
        """Raises SessionNotFound, RegistryDown."""
        return self._view(await self._sessions.row(session_id))

    async def set(self, session_id: str, body: ProxySettings, *, allow_private: bool) -> ProxyView:
        """Takes effect at once: a running session gets a fresh process. Without a password the stored one stays, where host and
        user stay too. Raises InvalidRequest naming the field, SessionNotFound, IllegalAction, RegistryDown.

        `allow_private`: whether who asks may name addresses that are not of the internet at large.
        """
        check(body)
        row = await self._sessions.row(session_id)
        if not allow_private:
            await _public_address(body)
        return await self._write(row, self._stored(body, row.proxy), required=body.required)

    async def of_new(self, body: ProxySettings, *, allow_private: bool) -> Written:
        """Judges the proxy of a session to be made; what it returns writes it with the session. Raises as `set` does."""
        check(body)
        if not allow_private:
            await _public_address(body)
        stored = self._stored(body, None)

        async def write(connection: Connection, session_id: str) -> None:
            await operations.set_proxy(connection, session_id, stored, required=body.required)

        return write

    async def remove(self, session_id: str, *, required: bool | None = None) -> ProxyView:
        """Takes the proxy away. Where one is required that stays so, and the session down, unless `required` is False.

        Raises SessionNotFound, IllegalAction, RegistryDown.
        """
        row = await self._sessions.row(session_id)
        return await self._write(row, None, required=row.proxy_required if required is None else required)

    async def test(self, session_id: str, body: ProxySettings | None = None, *, allow_private: bool) -> ProxyTested:
        """Tries the session's proxy, or the one in `body`. Raises ProxyNotSet, InvalidRequest, SessionNotFound."""
        row = await self._sessions.row(session_id)
        if body is not None:
            check(body)
            # The address that was looked at is the one that is connected to: asked again, a name server may say another.
            host = body.host if allow_private else await _public_address(body)
            login = Login(type=body.type, host=host, port=body.port, username=body.username, password=body.password)
        elif row.proxy is not None:
            login = self._login(row.proxy)
        else:
            raise ProxyNotSet(session_id=session_id, hint="set one: PUT /sessions/{id}/proxy, or `zapvisor proxy set`")
        tried = await self._prober.try_out(login, with_address=True)
        if body is None:
            self._note(row, tried)
        return ProxyTested(
            session_id,
            tried.ok,
            login.type,
            login.host if body is None else body.host,
            login.port,
            tried.latency_ms,
            tried.exit_address,
            tried.detail,
        )

    # --- watching

    async def run(self) -> None:
        """Tries proxies as they fall due, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.sweep()
            except DomainError as error:
                _LOG.info("proxy_check_waits", extra={"code": error.code})

    async def sweep(self) -> None:
        """One round. Raises RegistryDown while stored secrets cannot be read."""
        fleet, now = self._sessions.fleet, time.monotonic()
        watched = {row.session_id: row for row in fleet.rows.values() if _is_watched(row)}
        for memory in (self._health, self._tried, fleet.proxy_troubles):
            for gone in memory.keys() - watched.keys():
                del memory[gone]
        due = [row for row in watched.values() if self._is_due(row, now)]
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(row: SessionRow) -> None:
            async with slots:
                if row.proxy is not None:
                    self._note(row, await self._prober.try_out(self._login(row.proxy), with_address=False))

        await asyncio.gather(*(one(row) for row in due))

    def _is_due(self, row: SessionRow, now: float) -> bool:
        tried = self._tried.get(row.session_id)
        shown = self._sessions.fleet.show(
            row, self._sessions.fleet.assess(row.session_id, self._sessions.fleet.look.beat(row.session_id))
        )
        in_trouble = shown.reason in (Reason.NETWORK, Reason.PROXY_FAILED) or (
            row.jid is not None and shown.status is SessionState.CONNECTING
        )
        if tried is None:
            return bool(self._interval_s) or in_trouble
        pause = AGAIN_S if in_trouble else self._interval_s
        return bool(pause) and now - tried >= pause

    def _note(self, row: SessionRow, tried: Tried) -> None:
        session_id = row.session_id
        before = self._health.get(session_id)
        self._tried[session_id] = time.monotonic()
        address = tried.exit_address or (before.exit_address if before is not None and tried.ok else None)
        self._health[session_id] = ProxyHealth(tried.ok, datetime.now(UTC), tried.latency_ms, address, tried.detail)
        troubles = self._sessions.fleet.proxy_troubles
        if tried.ok:
            troubles.pop(session_id, None)
        elif row.proxy is not None and row.proxy.enabled:
            troubles[session_id] = tried.detail or "the proxy cannot be used"
        if before is None or before.ok is not tried.ok:
            level = logging.INFO if tried.ok else logging.WARNING
            _LOG.log(level, "proxy_tried", extra={"session_id": session_id, "ok": tried.ok, "detail": tried.detail})

    # --- inside

    async def _write(self, row: SessionRow, proxy: StoredProxy | None, *, required: bool) -> ProxyView:
        session_id = row.session_id
        async with self._database.transaction() as connection:
            await operations.set_proxy(connection, session_id, proxy, required=required)
        for memory in (self._health, self._tried, self._sessions.fleet.proxy_troubles):
            memory.pop(session_id, None)
        fresh = await self._sessions.row(session_id)
        self._sessions.fleet.learn(fresh)
        if fresh.desired is DesiredState.RUNNING and not fresh.unloaded:
            await self._sessions.restart(session_id)
        return self._view(fresh)

    def _stored(self, body: ProxySettings, before: StoredProxy | None) -> StoredProxy:
        return StoredProxy(
            enabled=body.enabled,
            type=body.type,
            host=body.host,
            port=body.port,
            username=body.username,
            password_sealed=self._seal(body, before),
        )

    def _seal(self, body: ProxySettings, before: StoredProxy | None) -> bytes | None:
        if body.password is not None:
            return self._box.seal(body.password)
        same = before is not None and (before.host, before.username) == (body.host, body.username)
        return before.password_sealed if before is not None and same else None

    def _login(self, proxy: StoredProxy) -> Login:
        sealed = proxy.password_sealed
        return Login(
            type=proxy.type,
            host=proxy.host,
            port=proxy.port,
            username=proxy.username,
            password=None if sealed is None else self._box.open(sealed),
        )

    def _view(self, row: SessionRow) -> ProxyView:
        proxy = row.proxy
        if proxy is None:
            return ProxyView(row.session_id, False, row.proxy_required)
        return ProxyView(
            row.session_id,
            proxy.enabled,
            row.proxy_required,
            proxy.type,
            proxy.host,
            proxy.port,
            proxy.username,
            proxy.password_sealed is not None,
            self._health.get(row.session_id),
        )


def check(body: ProxySettings) -> None:
    """Raises InvalidRequest naming the field that cannot be."""
    if not _HOST.fullmatch(body.host):
        raise InvalidRequest("host must be a host name or an address, without scheme and port", field="host")
    if not 1 <= body.port <= 65535:
        raise InvalidRequest("port must be 1 to 65535", field="port")
    if body.password and not body.username:
        raise InvalidRequest("a password needs a username", field="username")
    for name, text in (("username", body.username), ("password", body.password)):
        if text is not None and (not 0 < len(text) <= TEXT_LIMIT or any(char < " " for char in text)):
            raise InvalidRequest(f"{name} must have 1 to {TEXT_LIMIT} characters, none of them a control", field=name)


def _is_watched(row: SessionRow) -> bool:
    wanted = row.desired is DesiredState.RUNNING and not row.unloaded and not row.deleting
    return wanted and row.proxy is not None and row.proxy.enabled

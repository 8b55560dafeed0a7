"""Which session a request is for: what it is called, and where; an id, or the WhatsApp account it is paired with."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from ecosystem.contract.errors import (
    DomainError,
    InvalidJid,
    InvalidPhone,
    InvalidSessionId,
    NamesDisagree,
    ReservedSessionId,
    SessionExists,
    SessionIdRequired,
    SessionNotFound,
    WorkerStarting,
)
from ecosystem.contract.ids import DEFAULT_SESSION, Jid, bare_jid, parse_recipient, parse_session_id
from ecosystem.contract.session import CreateSession, Reason
from orchestrator.observed import Beat

if TYPE_CHECKING:
    from multidict import MultiMapping

    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.rows import SessionRow
    from orchestrator.sessions.service import SessionOrchestrator

NAME_MAX: Final = 255
HEADER: Final = "X-Device-Id"
FIELD: Final = "device_id"
IN_PATH: Final = "the path"
IN_QUERY: Final = "device_id in the query"
IN_BODY: Final = "device_id in the body"
BY_DEFAULT: Final = "default, because nothing before names one"
LOOK_S: Final = 0.25
_UNPAIRED: Final = frozenset(
    {Reason.CREATED, Reason.PAIRING, Reason.PAIRING_EXPIRED, Reason.PAIRING_FAILED, Reason.LOGGED_OUT}
)


class Name(msgspec.Struct, frozen=True):
    """What a session was called, and where."""

    text: str
    where: str

    @property
    def field(self) -> str:
        """As an error names it."""
        return {HEADER: HEADER, IN_PATH: "session_id"}.get(self.where, FIELD)

    def __str__(self) -> str:
        return f"'{_printable(self.text)}' by {self.where}"


class SessionNames:
    """Finds sessions by what callers call them."""

    def __init__(self, sessions: SessionOrchestrator) -> None:
        self._sessions = sessions
        self._making = asyncio.Lock()

    async def by_id(self, session_id: str) -> SessionRow:
        """From memory, so that an outage of the registry stops nobody; unknown here may be new there.

        Raises SessionNotFound, RegistryDown.
        """
        row = self._sessions.fleet.rows.get(session_id)
        return row if row is not None else await self._sessions.row(session_id)

    async def find(self, text: str, *, field: str) -> SessionRow:
        """The session with that id, else the one session paired with that phone number, JID or LID.

        Raises SessionIdRequired, SessionNotFound (also where several sessions are paired with that account), RegistryDown.
        """
        name = unquote(text).strip()
        if not name:
            raise SessionIdRequired(f"{field} is empty", field=field)
        with contextlib.suppress(InvalidSessionId, ReservedSessionId, SessionNotFound):
            return await self.by_id(parse_session_id(name))
        found = self._paired_with(name)
        if len(found) == 1:
            return found[0]
        shown = _printable(name)
        if found:
            raise SessionNotFound(
                f"Device not found: {len(found)} sessions are paired with {shown}",
                field=field,
                hint=f"name one of {', '.join(row.session_id for row in found)}",
            )
        raise SessionNotFound(
            f"Device not found: {shown}",
            field=field,
            hint="an id is 1 to 63 characters of a-z, 0-9 and '-'; GET /sessions lists them all",
        )

    async def default(self, *, wait_s: float) -> SessionRow:
        """The session `default`; where there is none it is created and gets `wait_s` seconds to start.

        Raises SessionLimit, PortsExhausted, RegistryDown.
        """
        with contextlib.suppress(SessionNotFound):
            row = await self.by_id(DEFAULT_SESSION)
            # Found while another request creates it: then it has only just begun to start.
            if not self._making.locked():
                return row
        # Several first requests at once: one creates it, the others wait for its start as well.
        async with self._making:
            with contextlib.suppress(SessionNotFound):
                return await self.by_id(DEFAULT_SESSION)
            # Another orchestrator on the same registry was faster: then it is there all the same.
            with contextlib.suppress(SessionExists):
                await self._sessions.create(CreateSession(session_id=DEFAULT_SESSION))
            return await self._started(wait_s)

    async def _started(self, wait_s: float) -> SessionRow:
        """The default session's row, once its worker takes requests or `wait_s` is over."""
        end = time.monotonic() + wait_s
        while True:
            row = await self.by_id(DEFAULT_SESSION)
            try:
                self._sessions.fleet.endpoint(row)
            except WorkerStarting:
                if time.monotonic() < end:
                    await self._sessions.reconciler.looked(LOOK_S)
                    continue
            except DomainError:
                pass  # whoever wanted a worker of it hears why there is none
            return row

    def _paired_with(self, name: str) -> list[SessionRow]:
        try:
            wanted = parse_recipient(name)
        except (InvalidJid, InvalidPhone):
            return []
        fleet = self._sessions.fleet
        return [row for row in fleet.rows.values() if not row.deleting and wanted in _accounts(fleet, row)]


def names_outside_body(headers: MultiMapping[str], query: MultiMapping[str]) -> list[Name]:
    """The names in headers and query; an empty one is none."""
    found = [Name(text, HEADER) for text in headers.getall(HEADER, [])]
    found += [Name(text, IN_QUERY) for text in query.getall(FIELD, [])]
    return [name for name in found if name.text.strip()]


async def agree(names: list[Name], known: SessionNames) -> SessionRow | None:
    """The one session all of them name; None where there is no name.

    Raises SessionNotFound, NamesDisagree (also where one of several is unknown), RegistryDown.
    """
    if not names:
        return None
    if len({name.text for name in names}) == 1:
        return await _found(names[0], known)
    rows: list[SessionRow] = []
    for name in names:
        try:
            rows.append(await _found(name, known))
        except SessionNotFound:
            other = next(one for one in names if one.text != name.text)
            raise disagreement(other, name) from None
        if rows[-1].session_id != rows[0].session_id:
            raise disagreement(names[0], name)
    return rows[0]


async def _found(name: Name, known: SessionNames) -> SessionRow:
    """In a path there is an id and nothing else."""
    return await (known.by_id(name.text) if name.where == IN_PATH else known.find(name.text, field=name.field))


def disagreement(one: Name, other: Name) -> NamesDisagree:
    """Names both, so that nobody has to guess which one was meant."""
    return NamesDisagree(
        f"two sessions are named: {one} and {other}",
        field=other.field,
        hint="name the session once",
    )


def _accounts(fleet: Fleet, row: SessionRow) -> tuple[str, ...]:
    """The session's own addresses, without device; none when it is known not to be paired."""
    beat = fleet.look.beat(row.session_id)
    jid, lid, reason = row.jid, row.lid, row.reason
    if isinstance(beat, Beat):
        seen = beat.heartbeat
        jid, lid, reason = seen.jid or jid, seen.lid or lid, seen.reason
    if reason in _UNPAIRED:
        return ()
    return tuple(bare_jid(Jid(address)) for address in (jid, lid) if address)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:NAME_MAX])

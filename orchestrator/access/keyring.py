"""Every key in memory: requests are decided without a query, and go on being decided while the registry is away.

The registry counts every change of keys; `refresh` reads what is above the last count it saw. A key nobody knows here may have
been made elsewhere a moment ago, so it is only refused after a refresh that began later than the question. All who wait share it:
any number of wrong keys costs one query at a time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ecosystem.contract.access import KeyGrant, KeyStatus
from ecosystem.contract.errors import ApiKeyExpired, ApiKeyRevoked, ApiKeyUnknown, DomainError, RegistryDown
from orchestrator.access.caller import LOGIN_ID, Caller, Kind, Way, admin, login
from orchestrator.access.secret import digest
from orchestrator.registry import keys as registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.access.secret import Presented
    from orchestrator.registry.database import Database
    from orchestrator.registry.keys import KeyRow

REFRESH_S: Final = 2.0
"""How long a change made through another orchestrator may go unnoticed here."""
TOUCH_S: Final = 30.0
PURGE_S: Final = 3600.0
_LOG: Final = logging.getLogger(__name__)


class Keyring:
    """The keys. `run` is the task that keeps them current; `learn` takes in what was just written here.

    `logins`: users with their passwords, who may what the admin key may.
    """

    def __init__(self, database: Database, *, admin_key: str, logins: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._admin = digest(admin_key)
        self._logins = {user: digest(f"{user}:{password}") for user, password in (logins or {}).items()}
        self._rows: dict[str, KeyRow] = {}
        self._by_hash: dict[bytes, str] = {}
        self._signed_out: dict[str, datetime] = {}
        self._revision = 0
        self._loaded = False
        self._answers = True
        self._refreshes = 0
        self._refreshing = asyncio.Lock()
        self._used: dict[str, datetime] = {}
        self.changed = asyncio.Event()
        """Set whenever keys changed; whoever waits clears it."""

    def __repr__(self) -> str:
        return f"<Keyring {len(self._rows)} keys, revision {self._revision}>"

    # --- deciding

    async def identify(self, given: Presented) -> Caller:
        """Whose key it is. Raises ApiKeyUnknown, ApiKeyRevoked, ApiKeyExpired, or RegistryDown when it cannot be told."""
        try:
            return self.standing(given)
        except ApiKeyUnknown:
            await self._catch_up()
            return self.standing(given)

    def standing(self, given: Presented) -> Caller:
        """Whose key it is, as far as it is known here. Raises ApiKeyUnknown, ApiKeyRevoked, ApiKeyExpired."""
        digests = [digest(text) for text in given.texts]
        # Digests have one length, so that the time of comparing tells nothing of the key.
        if sum(hmac.compare_digest(each, self._admin) for each in digests):
            return admin(given.way)
        if given.way == "basic":
            for user, known in self._logins.items():
                if hmac.compare_digest(digests[-1], known):
                    return login(user, "basic")
        row = self._find(digests)
        if row is None:
            raise ApiKeyUnknown
        return self._caller(row, given)

    def by_id(self, key_id: str) -> KeyRow | None:
        """The key of that id, good or not; None when there is none."""
        return self._rows.get(key_id)

    def good(self, key_id: str) -> Caller | None:
        """The holder of a key by its id, as a cookie names it; None when the key is good no longer."""
        user = key_id.removeprefix(LOGIN_ID)
        if user != key_id:
            return login(user, "cookie") if user in self._logins else None
        row = self._rows.get(key_id)
        now = datetime.now(UTC)
        if row is None or row.status(now) is not KeyStatus.ACTIVE:
            return None
        self._used[row.id] = now
        return _as_caller(row, "cookie")

    @property
    def has_logins(self) -> bool:
        """Whether users with passwords may do what the admin key may."""
        return bool(self._logins)

    def is_admin_key(self, key: str) -> bool:
        """Whether it is the admin key itself."""
        return hmac.compare_digest(digest(key), self._admin)

    def _find(self, digests: Iterable[bytes]) -> KeyRow | None:
        """A dict tells by its time where a digest lies at most, which says nothing of the key; the match is in constant time."""
        for each in digests:
            row = self._rows.get(self._by_hash.get(each, ""))
            if row is not None and hmac.compare_digest(row.hash, each):
                return row
        return None

    def _caller(self, row: KeyRow, given: Presented) -> Caller:
        now = datetime.now(UTC)
        status = row.status(now)
        if status is KeyStatus.REVOKED:
            raise ApiKeyRevoked
        if status is KeyStatus.EXPIRED:
            raise ApiKeyExpired
        self._used[row.id] = now
        return _as_caller(row, given.way)

    # --- what workers are told

    def grants(self, session_id: str) -> tuple[int, tuple[KeyGrant, ...]]:
        """The keys that open a session's worker, and the revision they are of (it rises with each change of them)."""
        now = datetime.now(UTC)
        own = [row for row in self._rows.values() if row.session_id == session_id]
        revision = max((row.revision for row in own), default=0)
        return revision, tuple(
            KeyGrant(key_id=row.id, hash=row.hash.hex(), scopes=row.scopes, expires_at=row.expires_at)
            for row in own
            # Expired ones too: the worker says "expired" of them, as the gateway does.
            if row.status(now) is not KeyStatus.REVOKED
        )

    @property
    def loaded(self) -> bool:
        """Whether the keys were ever read: before that a session's keys are not known to be none."""
        return self._loaded

    # --- sign-outs

    def signed_out(self, nonce: str) -> bool:
        """Whether that cookie was signed out."""
        return nonce in self._signed_out

    async def sign_out(self, nonce: str, expires_at: datetime) -> None:
        """Ends a cookie everywhere; while the registry is away, here at least."""
        self._signed_out[nonce] = expires_at
        try:
            async with self._database.transaction() as connection:
                await registry.sign_out(connection, nonce, expires_at)
        except RegistryDown:
            _LOG.warning("sign_out_not_stored")

    # --- staying current

    def learn(self, *rows: KeyRow) -> None:
        """Rows that were written just now."""
        for row in rows:
            before = self._rows.get(row.id)
            if before is not None and before.revision > row.revision:
                continue
            self._rows[row.id] = row
            holder = self._rows.get(self._by_hash.get(row.hash, ""))
            # The same text may have been a key before, revoked since: the living one is meant.
            if holder is None or holder.id == row.id or row.revoked_at is None:
                self._by_hash[row.hash] = row.id
        self.changed.set()

    async def refresh(self) -> None:
        """Reads what changed. Raises RegistryDown."""
        async with self._database.use() as connection:
            rows, outs, revision = await registry.changed_since(connection, self._revision)
        later = datetime.now(UTC) + timedelta(days=1)
        self._signed_out.update(dict.fromkeys(outs, later))
        if rows:
            self.learn(*rows)
        self._revision = max(self._revision, revision)
        if not self._loaded:
            self._loaded = True
            self.changed.set()

    async def _catch_up(self) -> None:
        """Returns after a refresh that began later than this call. Raises RegistryDown."""
        asked = self._refreshes
        async with self._refreshing:
            if self._refreshes == asked:
                self._refreshes += 1
                self._answers = False
                await self.refresh()
                self._answers = True
            elif not self._answers:
                raise RegistryDown

    async def run(self) -> None:
        """Keeps the memory current and notes when keys were used, until cancelled."""
        loop = asyncio.get_running_loop()
        touched, purged = loop.time(), loop.time()
        while True:
            try:
                await self._catch_up()
                if loop.time() - touched > TOUCH_S:
                    touched = loop.time()
                    await self.note_use()
                if loop.time() - purged > PURGE_S:
                    purged = loop.time()
                    await self._purge()
            except DomainError as error:
                _LOG.debug("keys_not_refreshed", extra={"code": error.code})
            await asyncio.sleep(REFRESH_S)

    async def note_use(self) -> None:
        """Writes down when keys were last used. Raises RegistryDown; then it is noted the next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.use() as connection:
                await registry.touch(connection, used)
        except RegistryDown:
            self._used = {**used, **self._used}
            raise

    async def _purge(self) -> None:
        async with self._database.transaction() as connection:
            await registry.purge(connection)
        now = datetime.now(UTC)
        self._signed_out = {nonce: until for nonce, until in self._signed_out.items() if until > now}
        horizon = now - timedelta(days=registry.REVOKED_KEPT_DAYS)
        for row in list(self._rows.values()):
            if row.revoked_at is not None and row.revoked_at < horizon:
                del self._rows[row.id]
                if self._by_hash.get(row.hash) == row.id:
                    del self._by_hash[row.hash]


def _as_caller(row: KeyRow, way: Way) -> Caller:
    return Caller(
        kind=Kind.FLEET if row.session_id is None else Kind.SESSION,
        key_id=row.id,
        name=row.name,
        session_id=row.session_id,
        scopes=row.scopes,
        way=way,
    )

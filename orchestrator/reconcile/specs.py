"""What a worker is told, and the folder it lives in."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ecosystem.contract.errors import ProxyFailed
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.worker import RenewalRules, Retention, WorkerSpec
from ecosystem.definition import session_log
from ecosystem.home import session_folder
from orchestrator.reconcile.crons import parse_exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ecosystem.contract.access import KeyGrant
    from ecosystem.settings import Settings
    from orchestrator.registry.rows import SessionRow

_ULID_LENGTH: Final = 26
_CROCKFORD: Final = {char: value for value, char in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}


def _no_grants(_: str) -> tuple[int, tuple[KeyGrant, ...]]:
    return 0, ()


def _no_secrets(_: bytes) -> str:
    raise ProxyFailed("stored secrets cannot be read here")


class Workshop:
    """Makes specifications, folders and archives. All but `spec` blocks on the disk: call it in a thread.

    `grants`: the keys of a session, and the revision they are of.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        redis_url: str,
        keys: tuple[str, ...],
        push_key: str | None = None,
        grants: Callable[[str], tuple[int, tuple[KeyGrant, ...]]] = _no_grants,
        open_secret: Callable[[bytes], str] = _no_secrets,
    ) -> None:
        self._settings = settings
        self._push_hash = None if push_key is None else hashlib.sha256(push_key.encode()).hexdigest()
        self._grants = grants
        self._open_secret = open_secret
        self._redis_url = redis_url
        self._hashes = tuple(hashlib.sha256(key.encode()).hexdigest() for key in keys)

    def spec(self, row: SessionRow, port: int) -> WorkerSpec:
        """The specification of the row's present generation."""
        settings = self._settings
        revision, grants = self._grants(row.session_id)
        return WorkerSpec(
            session_id=row.session_id,
            generation=row.generation,
            folder=str(self.folder(row.session_id)),
            host=settings.worker_host,
            port=port,
            redis_url=self._redis_url,
            redis_prefix=settings.redis_prefix,
            access_key_hashes=self._hashes,
            push_key_hash=self._push_hash,
            access_revision=revision,
            access_keys=grants,
            rates=settings.rates,
            heartbeat_interval_s=settings.heartbeat_interval_s,
            heartbeat_ttl_s=settings.heartbeat_ttl_s,
            pairing_timeout_s=settings.qr_code_timeout_s,
            connects_per_second=settings.connects_per_second,
            connects_spread_s=settings.max_sessions / settings.connects_per_second,
            transfers_at_once=settings.transfers_at_once,
            path_check_s=settings.path_check_s,
            stop_grace_s=row.rules.kill_timeout_s or settings.stop_grace_s,
            stop_exit_codes=_stop_exit_codes(row, settings),
            event_stream_max=settings.event_stream_max,
            device_name=settings.device_name,
            media=settings.media,
            retention=Retention(
                days=settings.chat_retention_days,
                rows=settings.chat_retention_rows,
                media_s=settings.media_keep_s,
                media_bytes=settings.media_keep_bytes,
            ),
            renewal=RenewalRules(
                after_pairing=settings.renew_after_pairing,
                grown_bytes=settings.renew_grown_bytes,
                idle_s=settings.renew_idle_s,
            ),
            log_level=settings.log_level,
            log_json=settings.log_pretty is not True,
            metadata=row.metadata,
            proxy_url=self._proxy_url(row),
        )

    def _proxy_url(self, row: SessionRow) -> str | None:
        """What the engine connects through, its login included. Raises ProxyFailed where one is required and none is there."""
        proxy = row.proxy
        if proxy is None or not proxy.enabled:
            if row.proxy_required:
                raise ProxyFailed(
                    "a proxy is required and none is set",
                    session_id=row.session_id,
                    hint="set one with `zapvisor proxy set`, or stop requiring one",
                )
            return None
        login = ""
        if proxy.username is not None:
            sealed = proxy.password_sealed
            password = "" if sealed is None else f":{quote(self._open_secret(sealed), safe='')}"
            login = f"{quote(proxy.username, safe='')}{password}@"
        return proxy.address.replace("://", f"://{login}", 1)

    def folder(self, session_id: str) -> Path:
        """Where the session keeps its keys and chats."""
        return session_folder(self._settings.storage, session_id)

    def make_folder(self, session_id: str) -> None:
        """The session's folder, for this user's eyes only. Raises OSError."""
        folder = self.folder(session_id)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)

    def archive(self, session_id: str) -> Path | None:
        """Moves the session's folder and logs away; None when there was no folder. May be repeated. Raises OSError."""
        folder = self.folder(session_id)
        target = self._settings.paths.archive / f"{session_id}-{new_ulid()}"
        moved = None
        if folder.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.move(folder, target)
            target.chmod(0o700)
            moved = target
        log = session_log(self._settings, session_id)
        for file in sorted(log.parent.glob(f"{log.name}*")):
            number = file.name.removeprefix(log.name)
            if number and not number.removeprefix(".").isdigit():
                continue  # another session's
            if moved is None:
                file.unlink(missing_ok=True)
            else:
                shutil.move(file, moved / file.name)
        return moved

    def purge(self) -> list[Path]:
        """Removes archives older than the retention time; what was removed. Raises OSError."""
        archive = self._settings.paths.archive
        if not archive.is_dir():
            return []
        removed = []
        for folder in sorted(archive.iterdir()):
            made = archived_at(folder.name)
            if made is not None and time.time() - made > self._settings.archive_retention_s:
                shutil.rmtree(folder)
                removed.append(folder)
        return removed

    def writable(self) -> bool:
        """Whether sessions can have folders."""
        storage = self._settings.storage
        while not storage.exists():
            storage = storage.parent
        return os.access(storage, os.W_OK | os.X_OK)


def archived_at(name: str) -> float | None:
    """When an archive `<id>-<ULID>` was made, in seconds since 1970; None for any other name."""
    head, _, stamp = name.rpartition("-")
    if not head or len(stamp) != _ULID_LENGTH or not set(stamp) <= _CROCKFORD.keys():
        return None
    milliseconds = 0
    for char in stamp[:10]:
        milliseconds = milliseconds << 5 | _CROCKFORD[char]
    return milliseconds / 1000


def _stop_exit_codes(row: SessionRow, settings: Settings) -> tuple[int, ...]:
    """The session's own where it has any say in it, even none at all; else the fleet's."""
    own = row.rules.stop_exit_codes
    return parse_exit_codes(settings.stop_exit_codes) if own is None else tuple(own)

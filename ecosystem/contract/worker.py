"""What a worker is told, and how a process backend reports it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from ecosystem.contract.access import KeyGrant, Rates


class MediaLimits(msgspec.Struct, frozen=True):
    """How large a file may be that a session sends, by what it is sent as, and how URLs are fetched."""

    image_max_bytes: int = 25 << 20
    video_max_bytes: int = 200 << 20
    audio_max_bytes: int = 50 << 20
    file_max_bytes: int = 200 << 20
    sticker_max_bytes: int = 10 << 20
    download_max_bytes: int = 500 << 20
    """Of a message that came in: how large a file is fetched."""
    url_timeout_s: float = 60.0
    allow_private_urls: bool = True
    """Whether a URL may lead to an address that is not one of the internet at large."""
    private_for_sessions: bool = False
    """Whether it may where a session's key gave it, not only the admin's."""


def app_info(version: str, limits: MediaLimits) -> dict[str, Any]:
    """GoWA's answer to `/app/info`: the program and its limits in bytes."""
    return {
        "version": f"v{version}",
        "os": "Zapvisor",
        "base_path": "",
        "max_file_size": limits.file_max_bytes,
        "max_video_size": limits.video_max_bytes,
        "max_image_size": limits.image_max_bytes,
        "max_audio_size": limits.audio_max_bytes,
        "max_sticker_size": limits.sticker_max_bytes,
        "max_download_size": limits.download_max_bytes,
        "chatwoot_enabled": False,
    }


class Retention(msgspec.Struct, frozen=True):
    """How long a session remembers messages: at most so many days, and at most so many messages; 0: without end.

    `media_s`: how long fetched files stay after their last use; `media_bytes`: how much of them stays.
    """

    days: int = 0
    rows: int = 0
    media_s: float = 0
    media_bytes: int = 0


class RenewalRules(msgspec.Struct, frozen=True):
    """When a worker asks for a fresh process: once after pairing, and when it was idle for `idle_s` and has grown."""

    after_pairing: bool = True
    grown_bytes: int = 2 << 20
    """By how much more than the least it has had since its login. 0: never."""
    idle_s: float = 30.0


class WorkerSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All one worker needs to know. Holds secrets: it travels over a socket or in a 0600 file, never argv or environment.

    `folder` is the session's own (absolute). `redis_url` is redis://, rediss:// or unix://. Durations in seconds.
    """

    session_id: str
    generation: int
    folder: str
    host: str
    port: int
    redis_url: str
    redis_prefix: str
    access_key_hashes: tuple[str, ...]
    """SHA-256 (hex) of the keys that open the whole of the worker's port: the admin's and the gateway's."""
    push_key_hash: str | None = None
    """SHA-256 (hex) of the key that may tell the worker, by `PUT /access`, of changed keys, and nothing else."""
    access_revision: int = 0
    access_keys: tuple[KeyGrant, ...] = ()
    """The session's own keys, as they were at that revision."""
    rates: Rates = Rates()
    """How often the worker's own port may be asked."""
    connect: bool = True
    """False: serve the API but leave WhatsApp alone."""
    heartbeat_interval_s: float = 2.0
    heartbeat_ttl_s: float = 9.0
    pairing_timeout_s: float = 160.0
    """How long QR codes or a pairing code are offered before the session rests as `pairing_expired`."""
    stop_exit_codes: tuple[int, ...] = ()
    """Exit codes after which nobody starts it again at once."""
    connects_per_second: float = 10.0
    """Connections to WhatsApp all workers together may open."""
    connects_spread_s: float = 20.0
    """Over how long to spread them while Redis, where they are counted, is away."""
    transfers_at_once: int = 4
    """Large files, and sessions whose past is fetched, at the same time over the whole fleet; 0: any number."""
    path_check_s: float = 300.0
    """How often WhatsApp is asked whether it answers."""
    stop_grace_s: float = 5.0
    event_stream_max: int = 1_000_000
    proxy_url: str | None = None
    device_name: str = "Zapvisor"
    media: MediaLimits = MediaLimits()
    retention: Retention = Retention()
    renewal: RenewalRules = RenewalRules()
    log_level: str = "info"
    log_json: bool = False
    metadata: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<WorkerSpec {self.session_id} generation {self.generation} port {self.port}>"


class ProcessState(StrEnum):
    """What the process backend sees."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"


class WorkerProcess(msgspec.Struct, frozen=True):
    """One worker as its backend sees it. `held`: an operator stopped it with the backend's own tools, leave it so."""

    session_id: str
    state: ProcessState
    generation: int
    port: int
    pid: int | None = None
    uptime_s: float = 0.0
    starts: int = 0
    """How often a process was started under this specification."""
    exit_code: int | None = None
    """Of the last death; negative: the number of the signal that killed it."""
    spawn_error: str | None = None
    held: bool = False
    description: str = ""
    renewals: int = 0
    """How many of its processes asked for a successor themselves, with nothing wrong: exit code REPLACE."""

    @property
    def restarts(self) -> int:
        """How often a process was started because the one before it had died."""
        return max(0, self.starts - 1 - self.renewals)

"""Every setting with its type, default and meaning, and the names it goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from ecosystem.contract.access import Rates
from ecosystem.contract.worker import MediaLimits
from ecosystem.home import Home

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instance's settings. Durations end in `_s`, sizes in `_bytes`; paths are absolute once loaded."""

    home: str
    """The one folder everything is written into."""
    environment: Literal["development", "production"] = "development"
    """Chooses the defaults of webhook_timeout_s and webhook_retry_count."""

    # --- who listens where
    listen_host: str = "127.0.0.1"
    """Address of the gateway. Nothing listens beyond loopback unless this says so."""
    port: Port = 3000
    worker_host: str = "127.0.0.1"
    """Address the workers' own ports listen on."""
    base_port: Annotated[int, msgspec.Meta(ge=1024, le=65535)] = 3001
    """First port of the workers; the range is `max_sessions` + `spare_ports` wide."""
    spare_ports: Annotated[int, msgspec.Meta(ge=0, le=10000)] = 100
    """Ports beyond `max_sessions`, to step over busy ones."""
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100
    """How many sessions may exist."""
    public_url: str | None = None
    """How clients reach the gateway, for links in answers. Unset: as the request came."""

    # --- keys
    admin_api_key: str | None = None
    """Unset: generated at the first start into `admin.key`."""
    app_basic_auth: str | None = None
    """`user:password[,user:password]`: who may do all the admin key may, by basic authentication, as GoWA has it."""
    rate_limit_key_requests: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 60_000
    """Requests a minute for each key but the admin key; a minute's worth may come at once. 0: no limit."""
    rate_limit_key_sends: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 6_000
    """Messages a minute for each key but the admin key. 0: no limit."""
    rate_limit_session_requests: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 60_000
    """Requests a minute for each session, whoever asks. 0: no limit."""
    rate_limit_session_sends: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 6_000
    """Messages a minute for each session, whoever sends. 0: no limit."""
    sign_in_hold_s: Annotated[float, msgspec.Meta(ge=60, le=30 * 86400)] = 12 * 3600
    """How long a browser stays signed in."""
    audit_keep_s: Annotated[float, msgspec.Meta(ge=0)] = 180 * 86400
    """How long the audit log is kept, at least a day. 0: for ever."""
    cors_origins: str | None = None
    """Web sites whose pages may use the API with a key, separated by commas, such as `https://crm.example`; `*`: every one."""
    trusted_proxies: str | None = None
    """Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, separated by commas."""

    # --- state
    database_url: str | None = None
    """Unset: the embedded PostgreSQL."""
    postgres_user: str | None = None
    """The user the embedded PostgreSQL and Redis run as when started by root. Unset: zapvisor, else postgres."""
    redis_url: str | None = None
    """Unset: the embedded Redis."""
    redis_prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "zapvisor"
    """First part of every key in Redis: keeps instances on one server apart."""
    database_pool_max: Annotated[int, msgspec.Meta(ge=2, le=200)] = 8
    """Connections to the database at most."""
    session_storage_path: str | None = None
    """Unset: `storages` in the home."""
    archive_retention_s: NonNegative = 30 * 86400
    """How long the folder of a deleted session is kept."""

    # --- sessions
    prefork: bool = True
    """Fork workers from a preloaded zygote. False: execute each one plainly (about four times the memory)."""
    memory_merge: bool = False
    """Offer the workers' memory to the kernel for merging equal pages (KSM), which it does where the host has that turned on."""
    memory_sweep: bool = True
    """Workers drop pages of memory that say nothing the zygote's do not, every few seconds (about 4 MB less a session)."""
    single_session_mode: bool = False
    """Only the session `default`: it is created on first use, and no other can be."""
    session_timeout_s: NonNegative = 86400
    """Inactivity after which an unpaired or on-demand session is unloaded, never deleted; the next request loads it. 0: never."""
    qr_code_timeout_s: Annotated[float, msgspec.Meta(ge=20, le=160)] = 160
    """How long pairing is offered before the session rests as `pairing_expired`. WhatsApp ends it after 160 s anyway."""
    device_name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)] = "Zapvisor"
    """What the phone's list of linked devices shows."""
    heartbeat_interval_s: Annotated[float, msgspec.Meta(ge=0.2, le=60)] = 2
    """How often a worker gives a sign of life."""
    heartbeat_ttl_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 9
    """How long one sign of life counts; at least three intervals."""
    stop_grace_s: Annotated[float, msgspec.Meta(ge=1, le=120)] = 8
    """How long a worker may take to stop before it is killed."""
    event_stream_max: Annotated[int, msgspec.Meta(ge=1000)] = 1_000_000
    """Events kept in Redis, about."""
    chat_retention_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    """How long a session remembers messages; 0: without end. Older ones go when it has nothing else to do."""
    chat_retention_rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many messages a session remembers at most, the newest; 0: any number."""

    # --- repair
    reconcile_interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1
    """How often wanted and actual state are compared, at the latest."""
    starts_at_once: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    """How many starts one tick may order."""
    min_uptime_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0
    """A worker that lived this long before it died did not fail: the death does not count. 0: every death counts."""
    renew_after_pairing: bool = True
    """Replace a worker once after it paired, when it is idle: a fresh one needs about 3 MB less. Nothing is lost by it."""
    renew_grown_bytes: Annotated[int, msgspec.Meta(ge=0)] = 2 << 20
    """Replace an idle worker whose own memory has grown by more than this since its login. 0: never."""
    renew_idle_s: Annotated[float, msgspec.Meta(ge=5, le=86400)] = 30
    """How long a worker that has grown must have been idle before it is replaced."""
    max_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """A worker that uses more memory (PSS) is replaced. 0: no limit."""
    cron_restart: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """When sessions get a fresh worker, as five fields of cron in UTC. Empty: never."""
    stop_exit_codes: str = ""
    """Exit codes, separated by commas, after which a session stays down until it is started."""
    alert_down_s: Annotated[float, msgspec.Meta(ge=1)] = 300
    """How long a paired session may be without login before that is an alert."""
    alert_backlog: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Events waiting in a session's outbox from which on that is an alert."""
    alert_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 << 20
    """A worker that uses more memory (PSS) for `alert_strain_s` is an alert. 0: none."""
    alert_cpu_percent: NonNegative = 90
    """The same for its share of one processor core. 0: none."""
    alert_api_ms: NonNegative = 10_000
    """The same for the milliseconds its requests take, as long as somebody asks. 0: none."""
    alert_strain_s: Annotated[float, msgspec.Meta(ge=1)] = 300
    """How long a worker may be over one of them."""
    alert_disk_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 512 << 20
    """Less room on the disk of the sessions' folders is an alert."""
    starts_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 10
    """How many workers may be started a second, all sessions together."""
    connects_per_second: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] = 10
    """How many connections to WhatsApp may be opened a second, all together; the first try after a break comes on top."""
    transfers_at_once: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 4
    """Large files, and sessions whose past is fetched, at a time over the whole fleet: each may take 50 MB. 0: any number."""
    path_check_s: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 300
    """How often a session asks WhatsApp whether it answers, with jitter; at once where there is doubt."""
    max_restarts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    """Deaths within `restart_window_s` after which a session is given up as `crash_loop`."""
    restart_window_s: Positive = 300
    """See `max_restarts`."""
    restart_delay_s: Positive = 1
    """First pause of the back-off; it doubles, with jitter, up to `restart_delay_max_s`."""
    restart_delay_max_s: Positive = 60
    """Longest pause of the back-off."""
    lost_after_s: Positive = 20
    """A running worker without heartbeats for this long is replaced; two `heartbeat_ttl_s` at least."""

    # --- proxies
    proxy_check_interval_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 300
    """How often the proxy of each session is tried; one whose session cannot connect is tried at once. 0: never."""
    proxy_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10
    """How long a try of a proxy may take."""
    proxy_private_for_sessions: bool = False
    """Whether a session's key may name proxies at private addresses too; the admin key always may."""
    proxy_address_from: str | None = None
    """Answers with its caller's address as plain text; asked through a proxy that is tested. `off`: nobody is asked.
    Unset: https://api.ipify.org; with the sandbox, nobody."""

    # --- resources
    sample_interval_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60
    """How often memory, processor, messages and queues are sampled for graphs."""
    sample_keep_s: Positive = 2 * 86400
    """How long samples are kept as they were taken."""
    sample_keep_hours_s: Positive = 62 * 86400
    """How long they are kept as hourly means and sums."""
    log_total_max_bytes: Annotated[int, msgspec.Meta(ge=0)] = 2 << 30
    """All logs together; beyond it the oldest rotated files go. 0: no limit."""
    metrics_open: bool = False
    """Serve `/metrics` without a key."""
    metrics_sessions_max: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    """Sessions with metrics of their own; beyond it only sums of the fleet grow."""

    # --- HTTP
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=120)] = 15
    """How long a request waits for a session that is being started, reloaded or loaded, before it is answered 503."""
    body_limit_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1 << 20
    """Largest body of the control API; bodies for workers are streamed and limited there."""
    media_private_for_sessions: bool = False
    """Whether a session's key may have media fetched from private addresses too; the admin key always may."""
    connections_max: Annotated[int, msgspec.Meta(ge=8, le=1_000_000)] = 2000
    """Connections the gateway holds at once, at most a third of its open files. Beyond it those without a request go first."""
    worker_timeout_s: Positive = 90
    """How long the gateway waits for a worker to answer."""
    media_timeout_s: Positive = 900
    """How long it waits where files are fetched, converted and carried; the clock starts when the request is through."""

    # --- files
    image_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 25 << 20
    """Largest picture that is sent."""
    video_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 200 << 20
    """Largest video that is sent."""
    audio_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 50 << 20
    """Largest sound or voice note that is sent."""
    file_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 200 << 20
    """Largest document that is sent."""
    sticker_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 10 << 20
    """Largest picture or video a sticker is made of."""
    download_max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 500 << 20
    """Largest file of a message that is fetched from WhatsApp."""
    media_url_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60
    """How long a file may take to come from the URL a request names."""
    media_keep_s: NonNegative = 0
    """How long fetched files of messages stay in a session's folder after they were last asked for; 0: for good."""
    media_keep_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How much of them a session keeps, the latest used; 0: any amount."""

    # --- logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below it are not written."""
    log_pretty: bool | None = None
    """True: lines for people; false: JSON. Unset: people on a terminal, JSON elsewhere."""
    log_dir: str | None = None
    """Unset: `logs` in the home."""
    log_max_bytes: Annotated[int, msgspec.Meta(ge=10_000)] = 10 << 20
    """Size at which a log file is rotated."""
    log_backups: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    """Rotated files kept beside each log."""

    # --- the sandbox WhatsApp
    sandbox: bool = False
    """Run against the sandbox WhatsApp instead of the real one."""
    sandbox_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port of the sandbox's front door; 0: the first free one from 4400 on, kept for the home's life."""

    # --- pages
    dashboard_enabled: bool = True
    """Serve the pages: sign-in, and the description of the API at `/docs`."""
    dashboard_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """0: beside the gateway on its port."""
    dashboard_basic_auth: str | None = None
    """`user:password`."""
    # --- webhooks and feeds
    webhook_timeout_s: Positive | None = None
    """How long a webhook may take to answer. Unset: 10 s, in production 15 s."""
    webhook_retry_count: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    """Tries of a delivery. Unset: 3, in production 5."""
    webhook_workers: Annotated[int, msgspec.Meta(ge=1, le=200)] = 5
    """RQ workers that deliver webhooks, five to a process; each serves many targets at once."""
    webhook_private_for_sessions: bool = False
    """Whether a session's key may set webhooks at private addresses too; the admin key always may."""
    webhook_give_up_s: Positive = 86400
    """How long an event is tried while its target is down, before it becomes a dead letter."""
    webhook_backlog_max: Annotated[int, msgspec.Meta(ge=100)] = 100_000
    """Events that may wait for one target; beyond it the oldest become dead letters."""
    webhook_keep_s: Positive = 3 * 86400
    """How long delivered events are kept, for the delivery log and replays."""
    webhook_dead_keep_s: Positive = 30 * 86400
    """How long dead letters are kept."""
    event_stream_keep: Annotated[int, msgspec.Meta(ge=100)] = 10_000
    """Events kept in Redis, about, once everybody who reads them has."""
    zapvisor_secret_key: str | None = None
    """Encrypts secrets in the database; several with commas: the first encrypts. Unset: made at first use into `secret.key`."""
    # --- read for later parts of the product
    ai_selected: Literal["GPT", "GEMINI"] | None = None
    """Which model answers where a session has that switched on."""
    openai_key: str | None = None
    """Key of the OpenAI API."""
    gemini_key: str | None = None
    """Key of the Gemini API."""

    def __repr__(self) -> str:
        return f"<Settings of {self.home}>"

    @property
    def paths(self) -> Home:
        """Where things lie in the home."""
        return Home(Path(self.home))

    @property
    def storage(self) -> Path:
        """Parent of the sessions' folders."""
        return Path(self.session_storage_path) if self.session_storage_path else self.paths.root / "storages"

    @property
    def media(self) -> MediaLimits:
        """How large files may be, as workers are told and `/app/info` tells."""
        return MediaLimits(
            image_max_bytes=self.image_max_bytes,
            video_max_bytes=self.video_max_bytes,
            audio_max_bytes=self.audio_max_bytes,
            file_max_bytes=self.file_max_bytes,
            sticker_max_bytes=self.sticker_max_bytes,
            download_max_bytes=self.download_max_bytes,
            url_timeout_s=self.media_url_timeout_s,
            private_for_sessions=self.media_private_for_sessions,
        )

    @property
    def rates(self) -> Rates:
        """How often keys and sessions may, as the gateway judges and workers are told."""
        return Rates(
            key_requests=self.rate_limit_key_requests,
            key_sends=self.rate_limit_key_sends,
            session_requests=self.rate_limit_session_requests,
            session_sends=self.rate_limit_session_sends,
        )

    @property
    def logins(self) -> dict[str, str]:
        """Each user of `app_basic_auth` with the password."""
        pairs = (part.strip().partition(":") for part in (self.app_basic_auth or "").split(",") if part.strip())
        return {user: password for user, _, password in pairs}

    @property
    def ports(self) -> range:
        """Every port a worker may be leased."""
        return range(self.base_port, self.base_port + self.max_sessions + self.spare_ports)


SECRET_FIELDS: Final = frozenset(
    {"admin_api_key", "app_basic_auth", "database_url", "redis_url", "dashboard_basic_auth", "openai_key", "gemini_key"}
) | {"zapvisor_secret_key"}
"""Never shown: `describe`, logs and errors print `***` instead."""

ALIASES: Final[dict[str, str]] = {
    "ZAPVISOR_HOME": "home",
    "PM2_HOME": "home",
    "PM2_LOG_DIR": "log_dir",
    "NODE_ENV": "environment",
    "SERVER_PORT": "port",
    "ADMIN_TOKEN": "admin_api_key",
    "DB_URI": "database_url",
    "SESSION_TIMEOUT": "session_timeout_s",
    "QR_CODE_TIMEOUT": "qr_code_timeout_s",
    "WEBHOOK_TIMEOUT": "webhook_timeout_s",
    "WHATSAPP_SETTING_MAX_IMAGE_SIZE": "image_max_bytes",
    "WHATSAPP_SETTING_MAX_VIDEO_SIZE": "video_max_bytes",
    "WHATSAPP_SETTING_MAX_AUDIO_SIZE": "audio_max_bytes",
    "WHATSAPP_SETTING_MAX_FILE_SIZE": "file_max_bytes",
    "WHATSAPP_SETTING_MAX_DOWNLOAD_SIZE": "download_max_bytes",
}
"""Names in the environment that stand for a field under another name; the field's own name wins over them."""

_SUPABASE: Final = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY")
HINTS: Final[dict[str, str]] = {
    **dict.fromkeys(_SUPABASE, "Supabase is PostgreSQL: put its connection string into DATABASE_URL"),
    "OPENAI_ASSISTANT": "OpenAI shut the Assistants API down on 2026-08-26: put the instructions into the session's ai_config",
}
"""Names people bring along that mean something else here: refused with this sentence, never silently ignored."""

IGNORED: Final = frozenset({"MASTER_PROCESS", "SESSION_NAME", "DB_KEYS_URI"})
"""Names of the systems people come from that have no meaning here and do no harm."""

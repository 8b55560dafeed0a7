"""What an instance is told: defaults < ecosystem.toml < .env < environment < flags, checked before anything starts.

`Settings` is the whole tree; every field has one name in the environment (its own in upper case, or an alias) and one key in
`ecosystem.toml` (its own). An unknown key, or a value that does not fit, is an InvalidSettings naming it and where it stood.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
import typing
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec

from ecosystem.contract.errors import InvalidSettings
from ecosystem.home import Home, default_home
from ecosystem.redis_url import parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    single_session_mode: bool = False
    """Only the session `default`. Not acted on yet."""
    session_timeout_s: NonNegative = 86400
    """Inactivity after which a session is unloaded, never deleted. Not acted on yet."""
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
    max_restarts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    """Deaths within `restart_window_s` after which a session is given up as `crash_loop`."""
    restart_window_s: Positive = 300
    """See `max_restarts`."""
    restart_delay_s: Positive = 1
    """First pause of the back-off; it doubles, with jitter, up to `restart_delay_max_s`."""
    restart_delay_max_s: Positive = 60
    """Longest pause of the back-off."""
    lost_after_s: Positive = 30
    """A running worker without heartbeats for this long is replaced."""

    # --- HTTP
    body_limit_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1 << 20
    """Largest body of the control API; bodies for workers are streamed and limited there."""
    worker_timeout_s: Positive = 90
    """How long the gateway waits for a worker to answer."""

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

    # --- read for later parts of the product
    dashboard_enabled: bool = True
    """Serve the dashboard."""
    dashboard_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """0: beside the gateway on its port."""
    dashboard_basic_auth: str | None = None
    """`user:password`."""
    webhook_timeout_s: Positive | None = None
    """How long a webhook may take to answer. Unset: 10 s, in production 15 s."""
    webhook_retry_count: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    """Tries of a delivery. Unset: 3, in production 5."""
    webhook_workers: Annotated[int, msgspec.Meta(ge=1, le=200)] = 5
    """Processes that deliver webhooks; each serves many targets at once."""
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
    def ports(self) -> range:
        """Every port a worker may be leased."""
        return range(self.base_port, self.base_port + self.max_sessions + self.spare_ports)


SECRET_FIELDS: Final = frozenset(
    {"admin_api_key", "database_url", "redis_url", "dashboard_basic_auth", "openai_key", "gemini_key"}
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

_POSTGRES_PARTS: Final = ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD")
_NOT_FIELDS: Final = {*IGNORED, *_POSTGRES_PARTS, "ZAPVISOR_CONFIG", "ZAPVISOR_URL", "ZAPVISOR_KEY"}
"""Names that are ours but no setting: ignored, parts of another one, or read by the command alone."""
_FLAGS: Final = "the command line"
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_ASSIGNMENT: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)", re.ASCII)
_QUOTED: Final = re.compile(r"""(?P<quote>["'])(?P<inner>.*)(?P=quote)(?:\s+#.*)?""")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class _Given(NamedTuple):
    """A value with the name the user wrote it under, and where."""

    value: object
    name: str
    where: str


def load(
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    folder: Path | None = None,
    config: Path | None = None,
) -> Settings:
    """The settings of this start. `folder` (the working directory unless given) may hold `.env` and `ecosystem.toml`.

    `config` names another TOML file. Raises InvalidSettings.
    """
    environ = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    given: dict[str, _Given] = {}
    toml_path = config or _config_path(environ, folder)
    if toml_path is not None:
        given |= _from_toml(toml_path)
    dotenv = folder / ".env"
    names = read_dotenv(dotenv) if dotenv.is_file() else {}
    given |= _from_names(names, names, where=str(dotenv), strict=True)
    given |= _from_names(environ, {**names, **environ}, where="the environment", strict=False)
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = _Given(_converted(name, name, value, _FLAGS), name.upper(), _FLAGS)
    values = {field: one.value for field, one in given.items()}
    for name in ("home", "session_storage_path", "log_dir"):
        if values.get(name):
            values[name] = str(Path(os.path.expanduser(str(values[name]))).absolute())  # noqa: PTH111 -- keeps "~user" working
    values.setdefault("home", str(default_home()))
    try:
        return check(values)
    except InvalidSettings as error:
        raise _placed(error, given) from None


def check(values: Mapping[str, object]) -> Settings:
    """`values` (by field name) as Settings, each converted and judged. Raises InvalidSettings naming the first bad one."""
    try:
        settings = msgspec.convert(dict(values), Settings, strict=False)
    except msgspec.ValidationError as error:
        field = _field_of(str(error))
        sentence = str(error).split(" - at ", maxsplit=1)[0]
        raise InvalidSettings(
            f"{(field or 'settings').upper()}: {sentence}",
            field=(field or "").upper() or None,
            hint=_one_of(field),
        ) from None
    for name in _FIELDS:
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidSettings(f"{name.upper()}: must be a finite number", field=name.upper())
    _check_together(settings)
    return settings


def save(settings: Settings, path: Path) -> None:
    """Writes the resolved settings (they hold secrets: 0600), atomically."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # one left behind by a crash would keep its own mode
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(settings), indent=2))
    temporary.replace(path)


def read_saved(path: Path) -> Settings:
    """The settings `save` wrote. Raises InvalidSettings when there are none or they do not fit."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        raise InvalidSettings(f"there is no {path}", hint="start the instance with `zapvisor up`") from None
    except msgspec.DecodeError as error:
        raise InvalidSettings(f"{path} cannot be read: {error}") from None


def read_dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a `.env` file; `#` comments, `export ` and surrounding quotes are understood."""
    found: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(text)
        if match is None:
            raise InvalidSettings(f"{path}, line {number}: expected NAME=value")
        quoted = _QUOTED.fullmatch(match["value"])
        found[match["name"]] = (
            quoted["inner"] if quoted else re.split(r"(?:^|\s)#", match["value"], maxsplit=1)[0].rstrip()
        )
    return found


def _text(path: Path) -> str:
    """The file's text, without a byte order mark. Raises InvalidSettings."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"{path} is not UTF-8 text") from None


def _config_path(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("ZAPVISOR_CONFIG")
    if named:
        return Path(named)
    beside = folder / "ecosystem.toml"
    return beside if beside.is_file() else None


def _from_toml(path: Path) -> dict[str, _Given]:
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{path}: {error}", field="config") from None
    found: dict[str, _Given] = {}
    for key, value in table.items():
        if key not in _FIELDS:
            raise _unknown(key, str(path), list(_FIELDS))
        found[key] = _Given(_converted(key, key, value, str(path)), key, str(path))
    return found


def _from_names(names: Mapping[str, str], parts: Mapping[str, str], *, where: str, strict: bool) -> dict[str, _Given]:
    """Settings among environment-like names. `strict`: every name must be one (a `.env` file holds nothing else).

    `parts` are the names the POSTGRES_* parts are looked up in: a stronger source may add to those of a weaker one.
    """
    found: dict[str, _Given] = {}
    for name, text in names.items():
        if name in HINTS and text:
            raise InvalidSettings(f"{name} (in {where}): {HINTS[name]}", field=name)
        field = _field_named(name)
        if field is None:
            if name not in _NOT_FIELDS and (strict or name.startswith("ZAPVISOR_")):
                raise _unknown(name, where, [*(n.upper() for n in _FIELDS), *ALIASES])
        # `NAME=` in a compose file means: not set.
        elif text and (field not in found or _rank(name) < _rank(found[field].name)):
            found[field] = _Given(_converted(field, name, text, where), name, where)
    if "database_url" not in found and parts.get("POSTGRES_HOST") and any(names.get(part) for part in _POSTGRES_PARTS):
        found["database_url"] = _Given(_database_url(parts, where), "POSTGRES_HOST", where)
        found.pop("postgres_user", None)
    return found


def _field_named(name: str) -> str | None:
    """The field an environment name stands for. Only whole names count, and HOME is the user's own folder."""
    own = name.lower() if name.isupper() else ""
    return own if own in _FIELDS and own != "home" else ALIASES.get(name)


def _rank(name: str) -> int:
    """Where two names of one field are given, the field's own wins, then the order of `ALIASES`."""
    return list(ALIASES).index(name) if name in ALIASES else -1


def _database_url(parts: Mapping[str, str], where: str) -> str:
    port = parts.get("POSTGRES_PORT") or "5432"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InvalidSettings(f"POSTGRES_PORT (in {where}): must be a port", field="POSTGRES_PORT")
    quote = urllib.parse.quote
    user = quote(parts.get("POSTGRES_USER") or "postgres", safe="")
    password = f":{quote(parts['POSTGRES_PASSWORD'], safe='')}" if parts.get("POSTGRES_PASSWORD") else ""
    name = parts["POSTGRES_HOST"].strip("[]")
    host = f"[{name}]" if ":" in name else quote(name, safe="")
    database = quote(parts.get("POSTGRES_DB") or "zapvisor", safe="")
    return f"postgresql://{user}{password}@{host}:{port}/{database}"


def _converted(field: str, name: str, value: object, where: str) -> object:
    return _duration(name, value, where) if field.endswith("_s") else value


def _duration(name: str, value: object, where: str) -> object:
    """`24h`, `60s`, `1.5m` or plain seconds as seconds; what is no text passes through."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise InvalidSettings(
            f"{name} (in {where}): '{value}' is not a duration", field=name, hint="write for example 30s, 5m or 24h"
        )
    return float(match[1]) * _UNITS[match[2]]


def _placed(error: InvalidSettings, given: Mapping[str, _Given]) -> InvalidSettings:
    """The same error naming what the user wrote, and where, if the offending field was given at all."""
    source = given.get((error.field or "").lower())
    if source is None:
        return error
    sentence = error.message.removeprefix(f"{error.field}: ")
    return InvalidSettings(f"{source.name} (in {source.where}): {sentence}", field=source.name, hint=error.hint)


def _unknown(name: str, where: str, known: list[str]) -> InvalidSettings:
    near = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.upper(), known, n=1)
    return InvalidSettings(
        f"{name} (in {where}) is not a setting", field=name, hint=f"did you mean {near[0]}?" if near else None
    )


def _field_of(message: str) -> str | None:
    match = re.search(r"`\$\.(\w+)", message) or re.search(r"field `(\w+)`", message)
    return match[1] if match else None


def _one_of(field: str | None) -> str | None:
    """A hint listing what a field with few values may be."""
    kind = typing.get_type_hints(Settings).get(field or "")
    for part in (kind, *typing.get_args(kind)):
        if typing.get_origin(part) is Literal:
            return "one of " + ", ".join(typing.get_args(part))
        if part is bool:
            return "one of true, false"
    return None


def _check_together(settings: Settings) -> None:
    """What no single field can say. Raises InvalidSettings."""
    ports = settings.ports
    if ports.stop > 65536:
        raise InvalidSettings("BASE_PORT + MAX_SESSIONS + SPARE_PORTS goes beyond port 65535", field="BASE_PORT")
    if settings.port in ports:
        raise InvalidSettings(
            f"PORT {settings.port} lies inside the workers' ports {ports.start} to {ports.stop - 1}", field="PORT"
        )
    if settings.heartbeat_ttl_s < 3 * settings.heartbeat_interval_s:
        raise InvalidSettings(
            "HEARTBEAT_TTL_S must be at least three times HEARTBEAT_INTERVAL_S", field="HEARTBEAT_TTL_S"
        )
    for field, url, schemes in (
        ("DATABASE_URL", settings.database_url, ("postgres", "postgresql")),
        ("REDIS_URL", settings.redis_url, ("redis", "rediss", "unix")),
    ):
        if url is not None and url.partition("://")[0] not in schemes:
            raise InvalidSettings(f"{field} must begin with {' or '.join(f'{s}://' for s in schemes)}", field=field)
    if settings.redis_url is not None:
        try:
            parse_redis_url(settings.redis_url)
        except ValueError as error:
            raise InvalidSettings(f"REDIS_URL: {error}", field="REDIS_URL") from None
    for field, path in (
        ("HOME", settings.home), ("SESSION_STORAGE_PATH", settings.session_storage_path), ("LOG_DIR", settings.log_dir)
    ):  # fmt: skip
        if path is not None and not path.isprintable():
            raise InvalidSettings(f"{field}: a path cannot hold control characters", field=field)
    settings.paths.check_sockets()

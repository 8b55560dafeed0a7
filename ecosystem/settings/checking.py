"""Whether values make a whole: types and bounds of each field, and what no single field can say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from ecosystem.contract.access import GIVEN_KEY_MIN, KEY_MAX
from ecosystem.contract.errors import InvalidSettings
from ecosystem.contract.misfits import misfit
from ecosystem.redis_url import parse_redis_url
from ecosystem.settings.fields import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(values: Mapping[str, object]) -> Settings:
    """`values` (by field name) as Settings, each converted and judged. Raises InvalidSettings naming the first bad one."""
    try:
        settings = msgspec.convert(dict(values), Settings, strict=False)
    except msgspec.ValidationError as error:
        field, sentence, hint = misfit(error, Settings)
        name = field.upper() or None
        raise InvalidSettings(f"{name or 'SETTINGS'}: {sentence}", field=name, hint=hint) from None
    for name in (field.name for field in msgspec.structs.fields(Settings)):
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidSettings(f"{name.upper()}: must be a finite number", field=name.upper())
    _check_together(settings)
    return settings


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
    for user, password in settings.logins.items():
        if not user or not GIVEN_KEY_MIN <= len(password) <= KEY_MAX or not f"{user}{password}".isprintable():
            raise InvalidSettings(
                f"APP_BASIC_AUTH: write user:password, with {GIVEN_KEY_MIN} to {KEY_MAX} characters in the password",
                field="APP_BASIC_AUTH",
                hint="it opens every session, so it must not be easy to guess",
            )
    settings.paths.check_sockets()

"""PostgreSQL and Redis of somebody else: whether they can be used, and if not, why, in words without a secret."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from ecosystem.contract.errors import InvalidSettings, RedisDown, RegistryDown
from ecosystem.redis_url import parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.contract.errors import DomainError
    from ecosystem.settings import Settings

PATIENCE_S: Final = 30.0
"""How long a start waits for a server that is not there: after a power cut it may come up later than we do."""

_PROBE_TIMEOUT_S: Final = 2
_MAX_SENTENCE: Final = 300
_LASTING: Final = (
    # PostgreSQL's words, then OpenSSL's, then Redis'. In another language than English they only cost patience.
    "password authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry",
    "is not permitted to log in", "permission denied for database", "server does not support SSL",
    "invalid sslmode value", "Servname not supported",
    "certificate verify failed", "CERTIFICATE_VERIFY_FAILED", "does not match host name", "root certificate file",
    "WRONGPASS", "NOAUTH", "invalid username-password", "invalid password", "Authentication required",
    "client already authenticated", "no password is set", "without any password configured", "DB index is out of range",
)  # fmt: skip
"""Parts of answers that waiting does not change."""


class Trouble(msgspec.Struct, frozen=True):
    """Why a server cannot be used now. `lasting`: waiting is of no use, a setting is wrong."""

    sentence: str
    lasting: bool


def database_trouble(url: str) -> Trouble | None:
    """None when the database takes a query now. Blocks for a few seconds at most."""
    import psycopg  # heavy, and only needed here

    try:
        with psycopg.connect(url, connect_timeout=_PROBE_TIMEOUT_S, autocommit=True) as link:
            link.execute("SELECT 1")
    except psycopg.ProgrammingError as error:  # the URL itself: nobody was asked
        return msgspec.structs.replace(_trouble("PostgreSQL", url, error), lasting=True)
    except psycopg.Error as error:
        return _trouble("PostgreSQL", url, error)
    except UnicodeError:
        return Trouble("DATABASE_URL holds a character no address has", lasting=True)
    return None


def redis_trouble(url: str) -> Trouble | None:
    """None when Redis answers PING now. Blocks for a few seconds at most."""
    import redis

    client = redis.Redis.from_url(url, socket_timeout=_PROBE_TIMEOUT_S, socket_connect_timeout=_PROBE_TIMEOUT_S)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return _trouble("Redis", url, error)
    finally:
        client.close()
    return None


class Watch:
    """The external servers of one start, asked again and again until both answer."""

    def __init__(self, settings: Settings, *, patience_s: float = PATIENCE_S) -> None:
        self._settings = settings
        self._end = time.monotonic() + patience_s

    def database_answers(self) -> bool:
        """Whether DATABASE_URL can be used. Raises InvalidSettings when it never will, RegistryDown after the patience."""
        url = self._settings.database_url
        return url is not None and self._passes(database_trouble(url), "DATABASE_URL", RegistryDown)

    def redis_answers(self) -> bool:
        """Whether REDIS_URL can be used. Raises InvalidSettings when it never will, RedisDown after the patience."""
        url = self._settings.redis_url
        return url is not None and self._passes(redis_trouble(url), "REDIS_URL", RedisDown)

    def _passes(self, trouble: Trouble | None, field: str, down: Callable[..., DomainError]) -> bool:
        if trouble is None:
            return True
        if trouble.lasting:
            raise InvalidSettings(f"{field}: {trouble.sentence}", field=field, hint=f"correct {field}")
        if time.monotonic() > self._end:
            raise down(f"{field}: {trouble.sentence}", field=field, hint=f"start that server, or correct {field}")
        return False


def _trouble(what: str, url: str, error: Exception) -> Trouble:
    # libpq puts each address it tried on a line of its own.
    words = " ".join(_without_password(str(error) or type(error).__name__, url).split())
    return Trouble(
        f"{what} at {_place(what, url)} cannot be used: {words[:_MAX_SENTENCE]}",
        lasting=any(part.lower() in words.lower() for part in _LASTING),
    )


def _place(what: str, url: str) -> str:
    """Host and port, or the socket; never user and password."""
    try:
        if what == "Redis":
            return parse_redis_url(url).shown
        parts = urlsplit(url)
        return f"{parts.hostname or 'the local socket'}:{parts.port or 5432}"
    except ValueError:
        return "an address that cannot be read"


def _without_password(text: str, url: str) -> str:
    """Drivers do not show passwords, except where the URL is so wrong that they took it for something else."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if password is None:
        return text.replace(url, "***")
    for form in (password, unquote(password)):
        text = text.replace(form, "***")
    return text

"""What a Redis URL says: where the server is, how to log in, and whom to trust.

The form is that of redis-py (https://redis.readthedocs.io/en/stable/connections.html), because part of the product connects with
it and part with a client of its own: both must read one URL alike.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "y": True, "t": True} | dict.fromkeys(
    ("false", "no", "0", "n", "f"), False
)


class Tls(msgspec.Struct, frozen=True):
    """How a rediss:// server is spoken to. Paths are files (`ca_path`: a folder); None is the system's own."""

    ca_file: str | None = None
    ca_path: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    check_hostname: bool = True


class Address(msgspec.Struct, frozen=True):
    """Where a Redis URL leads. `path` for unix sockets, else `host` and `port`."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    tls: Tls | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0

    def __repr__(self) -> str:
        return f"<Address {self.shown}{' tls' if self.tls else ''} db {self.database}>"

    @property
    def shown(self) -> str:
        """Where it is, without a secret."""
        return self.path or f"{self.host}:{self.port}"


def parse_redis_url(url: str) -> Address:
    """A redis://, rediss:// or unix:// URL as an Address. Raises ValueError, never showing the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the host of the Redis URL is not one") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        return Address(
            path=unquote(parts.path), username=username, password=password, database=_database(query.get("db", "0"))
        )
    try:
        port = parts.port or 6379
    except ValueError:
        raise ValueError("the port of the Redis URL is not a number") from None
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=port,
        tls=_tls(query) if parts.scheme == "rediss" else None,
        username=username,
        password=password,
        database=_database(parts.path.strip("/") or query.get("db", "0")),
    )


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("the database of the Redis URL is not a number")
    return int(text)


def _tls(query: dict[str, str]) -> Tls:
    options = {name: value for name, value in query.items() if name.startswith("ssl_")}
    ca_file, ca_path = options.pop("ssl_ca_certs", None), options.pop("ssl_ca_path", None)
    cert_file, key_file = options.pop("ssl_certfile", None), options.pop("ssl_keyfile", None)
    reqs, check = options.pop("ssl_cert_reqs", "required"), options.pop("ssl_check_hostname", "true").lower()
    if options:
        # To trust more, or less, than was asked for would be the wrong guess.
        raise ValueError(f"{min(options)} of the Redis URL is not supported")
    if reqs not in ("none", "optional", "required"):
        raise ValueError("ssl_cert_reqs of the Redis URL is none, optional or required")
    if check not in _BOOLEANS:
        raise ValueError("ssl_check_hostname of the Redis URL is true or false")
    if key_file is not None and cert_file is None:
        raise ValueError("ssl_keyfile of the Redis URL needs ssl_certfile")
    # A client always gets a certificate: `optional` means for it what `required` means.
    verify = reqs != "none"
    return Tls(
        ca_file=ca_file, ca_path=ca_path, cert_file=cert_file, key_file=key_file,
        verify=verify, check_hostname=verify and _BOOLEANS[check],
    )  # fmt: skip

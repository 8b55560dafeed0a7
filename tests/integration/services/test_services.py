"""The embedded PostgreSQL and Redis, run as supervisord runs them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
import redis as redis_library

from ecosystem import definition
from ecosystem import settings as settings_module
from ecosystem.contract.errors import EXIT_CODE, ErrorKind, InvalidSettings, RedisDown, RegistryDown
from ecosystem.services import account as accounts
from ecosystem.services import postgres, redis
from ecosystem.settings import Settings
from tests.support.supervised import REPOSITORY, Supervised, until

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_ROOT: Final = os.geteuid() == 0


class Services:
    """A home whose services run directly below the test, without supervisord."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="zvs-", dir="/tmp"))
        self.root.chmod(0o711)
        self.settings = Settings(home=str(self.root / "h"))
        self.home = self.settings.paths
        self.home.run.mkdir(parents=True)
        settings_module.save(self.settings, self.home.settings)
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Runs one service's program."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with (self.root / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"ecosystem.services.{name}", "--home", self.settings.home],
                env=environment,
                stdout=output,
                stderr=output,
            )
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    yield made
    made.end()


def connect(services: Services) -> psycopg.Connection:
    return psycopg.connect(postgres.dsn(services.home), autocommit=True)


def test_postgres_starts_durable_private_and_in_utf8(services: Services) -> None:
    server = services.start("postgres")
    postgres.wait_ready(services.settings)
    with connect(services) as link:

        def setting(name: str) -> str:
            row = link.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row is not None
            return str(row[0])

        assert setting("server_version_num") >= "160000"
        assert setting("server_encoding") == "UTF8"
        assert setting("listen_addresses") == ""
        assert setting("fsync") == "on"
        assert setting("synchronous_commit") == "on"
        assert int(setting("max_connections")) < 100
        lowered = link.execute("SELECT lower('ÇÃO') < 'd', lower('ÇÃO')").fetchone()
        assert lowered is not None
        assert lowered[1] == "ção"
    folder = services.home.postgres_socket_dir
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres.data_folder(services.home).stat().st_mode) == 0o700
    owner = pwd.getpwuid(Path(f"/proc/{server.pid}").stat().st_uid)
    assert owner.pw_uid != 0
    assert folder.stat().st_uid == owner.pw_uid
    assert _listening_ports(server.pid) == set()


def _listening_ports(pid: int) -> set[int]:
    """TCP ports on which the process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def test_postgres_survives_kill_nine_with_its_data_and_is_back_in_seconds(services: Services) -> None:
    server = services.start("postgres")
    postgres.wait_ready(services.settings)
    with connect(services) as link:
        link.execute("CREATE TABLE kept (n int)")
        link.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        server.kill()
        server.wait()
    assert (postgres.data_folder(services.home) / "postmaster.pid").exists()
    began = time.monotonic()
    services.start("postgres")
    postgres.wait_ready(services.settings)
    assert time.monotonic() - began < 30
    with connect(services) as link:
        row = link.execute("SELECT count(*) FROM kept").fetchone()
        assert row == (1000,)


def test_a_stale_lock_naming_a_living_stranger_does_not_stop_postgres(services: Services) -> None:
    server = services.start("postgres")
    postgres.wait_ready(services.settings)
    server.kill()
    server.wait()
    lock = postgres.data_folder(services.home) / "postmaster.pid"
    account = accounts.service_account(services.settings)
    stranger = subprocess.Popen(["/bin/sleep", "60"], **accounts.as_account(account))  # type: ignore[call-overload]
    try:
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        services.start("postgres")
        postgres.wait_ready(services.settings)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_second_postgres_on_a_living_cluster_refuses(services: Services) -> None:
    server = services.start("postgres")
    postgres.wait_ready(services.settings)
    second = services.start("postgres")
    assert second.wait(30) != 0
    assert "another PostgreSQL runs" in (services.root / "postgres.log").read_text()
    assert server.poll() is None
    assert postgres.answers(services.settings)


def test_an_interrupted_first_start_is_taken_up_again(services: Services) -> None:
    for pause in (0.05, 0.3, 0.6):
        server = services.start("postgres")
        time.sleep(pause)
        server.kill()
        server.wait()
    for _ in range(3):
        server = services.start("postgres")
        until("a cluster in the making", lambda: any(services.home.postgres.glob("new-*/PG_VERSION")), 30)
        server.kill()
        server.wait()  # initdb goes on for a moment, and is in the way of the next start
    server = services.start("postgres")
    postgres.wait_ready(services.settings)
    assert server.poll() is None
    assert not list(services.home.postgres.glob("new-*"))
    assert not list(services.home.postgres.glob("copy-*"))


def test_redis_keeps_what_was_written_over_kill_nine(services: Services) -> None:
    server = services.start("redis")
    redis.wait_ready(services.settings)
    with redis_library.Redis.from_url(redis.url(services.home)) as client:
        client.xadd("stream", {"event": "one"})
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        time.sleep(1.2)  # "every second" is what the append-only file promises
    assert _listening_ports(server.pid) == set()
    assert stat.S_IMODE(services.home.redis_socket.parent.stat().st_mode) == 0o700
    if IS_ROOT:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    server.kill()
    server.wait()
    began = time.monotonic()
    services.start("redis")
    redis.wait_ready(services.settings)
    assert time.monotonic() - began < 30
    with redis_library.Redis.from_url(redis.url(services.home)) as client:
        assert client.xlen("stream") == 1


def test_both_die_with_supervisord() -> None:
    with Supervised(programs=_service_programs) as own:
        postgres.wait_ready(own.settings)
        redis.wait_ready(own.settings)
        pids = [own.program_pid("postgres"), own.program_pid("redis")]
        os.kill(own.pid, signal.SIGKILL)
        assert own.supervisord is not None
        own.supervisord.wait()
        until("gone", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout=60)
        own.start()
        postgres.wait_ready(own.settings)
        redis.wait_ready(own.settings)
        own.end()
        log = own.home.log("supervisord").read_text()
        assert log.rindex("stopped: redis (exit status 0)") < log.rindex("stopped: postgres (exit status 0)")


def _service_programs(settings: Settings) -> tuple[definition.Program, ...]:
    return tuple(program for program in definition.programs(settings) if program.name in {"postgres", "redis"})


def test_waiting_has_an_end(services: Services) -> None:
    with pytest.raises(RegistryDown):
        postgres.wait_ready(services.settings, 0.2)
    with pytest.raises(RedisDown):
        redis.wait_ready(services.settings, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        elsewhere = Settings(
            home=services.settings.home,
            redis_url=f"redis://127.0.0.1:{port}/0",
            database_url=f"postgresql://nobody@127.0.0.1:{port}/none",
        )
        began = time.monotonic()
        assert not redis.answers(elsewhere)
        assert not postgres.answers(elsewhere)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_home_the_service_user_cannot_reach_is_a_clear_error(services: Services, name: str) -> None:
    services.root.chmod(0o700)  # as /root is
    account = accounts.service_account(services.settings)
    if not IS_ROOT:
        # An ordinary user runs the services as itself, whom its own closed folder does not bar.
        services.start(name)
        {"postgres": postgres, "redis": redis}[name].wait_ready(services.settings)
        return
    with pytest.raises(InvalidSettings, match=f"user {account.name}.*cannot enter {services.root},"):
        accounts.check_reachable(services.home.root, account)
    process = services.start(name)
    assert process.wait(30) == EXIT_CODE[ErrorKind.INVALID]
    printed = (services.root / f"{name}.log").read_text()
    assert "cannot enter" in printed
    assert "/var/lib/zapvisor" in printed
    assert stat.S_IMODE(services.root.stat().st_mode) == 0o700, "nobody's folder is opened"

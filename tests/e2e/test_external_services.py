"""The product on a PostgreSQL and a Redis of somebody else, reached over TCP with a password, with and without TLS."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import psutil
import pytest

from ecosystem.contract.errors import EXIT_CODE, ErrorKind
from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import Instance, until
from tests.support.ports import free_ports
from tests.support.tcp_services import DATABASE, HOST, USER, Authority, TcpServices, TlsTerminator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_TIMEOUT_S: Final = 90
"""How long `zapvisor up` waits at most; a message must come before."""


class Urls(NamedTuple):
    """Where the services are, from outside."""

    database: str
    redis: str

    def settings(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database, "REDIS_URL": self.redis}


@pytest.fixture(scope="module")
def services() -> Iterator[TcpServices]:
    with TcpServices() as running:
        yield running


@pytest.fixture(scope="module")
def authority(services: TcpServices) -> Authority:
    return Authority(services.root)


@pytest.fixture(scope="module")
def terminators(services: TcpServices, authority: Authority) -> Iterator[tuple[TlsTerminator, TlsTerminator]]:
    context = authority.server_context()
    with (
        TlsTerminator(services.postgres_port, context, postgres=True) as database,
        TlsTerminator(services.redis_port, context) as redis,
    ):
        yield database, redis


def plain(services: TcpServices, **changed: object) -> Urls:
    """Without TLS. `changed`: another password or port."""
    values = {
        "password": services.password, "redis_password": services.redis_password,
        "port": services.postgres_port, "redis_port": services.redis_port, **changed,
    }  # fmt: skip
    secret, redis_secret = (quote(str(values[name]), safe="") for name in ("password", "redis_password"))
    return Urls(
        f"postgresql://{USER}:{secret}@{HOST}:{values['port']}/{DATABASE}?sslmode=disable",
        f"redis://:{redis_secret}@{HOST}:{values['redis_port']}/0",
    )


def encrypted(services: TcpServices, terminators: tuple[TlsTerminator, TlsTerminator], ca_file: Path) -> Urls:
    """With TLS, trusting `ca_file` and nobody else."""
    database, redis = terminators
    secret, redis_secret = (quote(text, safe="") for text in (services.password, services.redis_password))
    ca = quote(str(ca_file), safe="")
    return Urls(
        f"postgresql://{USER}:{secret}@{HOST}:{database.port}/{DATABASE}?sslmode=verify-full&sslrootcert={ca}",
        f"rediss://:{redis_secret}@{HOST}:{redis.port}/1?ssl_ca_certs={ca}",
    )


def two_sessions_talk(instance: Instance) -> None:
    for name, number in (("alpha", ALPHA), ("beta", BETA)):
        instance.create(name)
        instance.pair(name, number)
    instance.send("alpha", BETA, "over somebody else's services")
    until("decrypted", lambda: "over somebody else's services" in instance.texts("beta", ALPHA))


def nothing_embedded_runs(instance: Instance) -> None:
    programs = {line.split()[0] for line in instance.supervisorctl("status").splitlines()}
    assert {"orchestrator", "zygote", "session:alpha", "session:beta"} <= programs
    assert not programs & {"postgres", "redis"}
    assert not instance.home.postgres_socket_dir.exists()
    assert not instance.home.redis_socket.exists()


def no_secret_is_to_be_seen(instance: Instance, secrets: tuple[str, ...]) -> None:
    """In no command line, no environment and no log; each in the form it has in the URL and in its own."""
    forms = {form.encode() for secret in secrets for form in (secret, quote(secret, safe=""))}
    top = instance.supervisord()
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seen = "\0".join([*process.cmdline(), *process.environ().values()]).encode()
            assert not [form for form in forms if form in seen], process
    logs = [path for path in instance.home.logs.rglob("*") if path.is_file()]
    assert len(logs) > 3
    for log in logs:
        assert not [form for form in forms if form in log.read_bytes()], log


def test_with_passwords_over_plain_tcp(services: TcpServices) -> None:
    with Instance(**plain(services).settings()) as instance:  # type: ignore[arg-type]
        instance.up()
        two_sessions_talk(instance)
        nothing_embedded_runs(instance)
        no_secret_is_to_be_seen(instance, (services.password, services.redis_password))
        assert services.stored_sessions() == ["alpha", "beta"]
        doctor = {found["check"]: found["result"] for found in instance.zap_json("doctor")}
        assert [doctor[check] for check in ("services", "database", "redis", "ready")] == ["ok"] * 4
        instance.zap("stop", "beta")
        instance.down()
        assert not instance.processes()
        instance.up()
        instance.wait_status("alpha", "authenticated")
        assert instance.session("beta")["desired"] == "stopped"
        for name in ("alpha", "beta"):
            instance.zap("delete", name, "--yes")
        until("the registry is empty", lambda: not services.stored_sessions())


def test_with_tls_checked_to_the_name(
    services: TcpServices, authority: Authority, terminators: tuple[TlsTerminator, TlsTerminator]
) -> None:
    database, redis = terminators
    urls = encrypted(services, terminators, authority.ca_file)
    with Instance(REDIS_PREFIX="tls", **urls.settings()) as instance:  # type: ignore[arg-type]
        instance.up()
        two_sessions_talk(instance)
        nothing_embedded_runs(instance)
        no_secret_is_to_be_seen(instance, (services.password, services.redis_password))
        # The orchestrator keeps connections to both; each worker keeps two to Redis.
        assert database.connections >= 2
        assert redis.connections >= 5
        doctor = {found["check"]: found["result"] for found in instance.zap_json("doctor")}
        assert [doctor[check] for check in ("database", "redis", "ready")] == ["ok"] * 3
        for name in ("alpha", "beta"):
            instance.zap("delete", name, "--yes")
        until("the registry is empty", lambda: not services.stored_sessions())


def refused(urls: Urls, *, field: str, kind: ErrorKind, words: str, secrets: tuple[str, ...]) -> float:
    """`up` ends with the error and leaves nothing; `doctor` says the same. Seconds `up` took."""
    with Instance(sandbox=False, **urls.settings()) as instance:
        begun = time.monotonic()
        up = instance.zap("up", "--detach", check=False, timeout=START_TIMEOUT_S)
        took = time.monotonic() - begun
        told = up.stdout + up.stderr
        assert up.returncode == EXIT_CODE[kind], told
        assert field in told
        assert words in told
        assert not instance.processes()
        doctor = instance.zap("doctor", check=False)
        assert doctor.returncode == 1
        assert words in doctor.stdout
        for secret in secrets:
            assert secret not in told + doctor.stdout + doctor.stderr
            assert quote(secret, safe="") not in told + doctor.stdout + doctor.stderr
        return took


def test_a_wrong_password_of_the_database_is_said_at_once(services: TcpServices) -> None:
    urls = plain(services, password="wrong/secret")
    took = refused(
        urls,
        field="DATABASE_URL",
        kind=ErrorKind.INVALID,
        words="password authentication failed",
        secrets=("wrong/secret", services.redis_password),
    )
    assert took < 60


def test_a_wrong_password_of_redis_is_said_at_once(services: TcpServices) -> None:
    urls = plain(services, redis_password="wrong/secret")
    took = refused(
        urls,
        field="REDIS_URL",
        kind=ErrorKind.INVALID,
        words="invalid username-password",
        secrets=("wrong/secret", services.password),
    )
    assert took < 60


def test_a_server_that_is_not_there_is_said_before_the_start_times_out(services: TcpServices) -> None:
    nowhere = free_ports()
    refused(
        plain(services, port=nowhere),
        field="DATABASE_URL",
        kind=ErrorKind.UNAVAILABLE,
        words=f"{HOST}:{nowhere}",
        secrets=(services.password, services.redis_password),
    )


@pytest.mark.parametrize("which", ["database", "redis"])
def test_a_certificate_of_somebody_else_is_refused(
    services: TcpServices, authority: Authority, terminators: tuple[TlsTerminator, TlsTerminator], which: str
) -> None:
    good = encrypted(services, terminators, authority.ca_file)
    bad = encrypted(services, terminators, authority.other_ca_file)
    urls = Urls(bad.database, good.redis) if which == "database" else Urls(good.database, bad.redis)
    refused(
        urls,
        field="DATABASE_URL" if which == "database" else "REDIS_URL",
        kind=ErrorKind.INVALID,
        words="certificate verify failed",
        secrets=(services.password, services.redis_password),
    )

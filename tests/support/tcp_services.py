"""PostgreSQL and Redis as somebody else would run them: on TCP, with a password, with or without TLS in front.

The servers in the wheels are built without TLS; a terminator of our own stands before them, with certificates of a throw-away CA.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import secrets
import shutil
import signal
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psycopg
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ecosystem.services import account as accounts
from ecosystem.services import postgres
from ecosystem.settings import check
from tests.support.ports import free_ports
from tests.support.redis_process import binary as redis_binary

if TYPE_CHECKING:
    from collections.abc import Callable

USER: Final = "fleet"
DATABASE: Final = "fleetdb"
HOST: Final = "localhost"
"""A name, so that a certificate's name is really compared."""
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest."""
_READY_S: Final = 30.0


class TcpServices:
    """Both servers, running. Use as a context manager: leaving it removes everything."""

    def __init__(self) -> None:
        # Directly below /tmp, open to pass through: the user PostgreSQL runs as has to reach it.
        self.root = Path(tempfile.mkdtemp(prefix="zvx-", dir="/tmp"))
        self.root.chmod(0o711)
        self.password = f"pg/{secrets.token_hex(12)}@%"
        self.redis_password = f"rd/{secrets.token_hex(12)}@%"
        self.postgres_port = free_ports()
        self.redis_port = free_ports()
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start_postgres()
            self._start_redis()
            self._wait(self._prepare_database, "PostgreSQL", psycopg.Error)
            self._wait(self._ping_redis, "Redis", redis.RedisError)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.send_signal(signal.SIGINT)
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _wait(self, probe: Callable[[], None], what: str, failure: type[Exception]) -> None:
        end = time.monotonic() + _READY_S
        while True:
            try:
                return probe()
            except failure as error:
                if time.monotonic() > end:
                    raise AssertionError(f"{what} did not come up") from error
                time.sleep(0.1)

    def _start_postgres(self) -> None:
        home = check({"home": str(self.root)}).paths
        account = accounts.service_account(check({"home": str(self.root)}))
        home.postgres.mkdir(mode=0o711)
        binaries = postgres.provide_binaries(home, account)
        data = home.postgres / "cluster"
        accounts.own_folder(data, account)
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(binaries.root / "lib"), "LC_ALL": "C"}
        password = home.postgres / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        as_account = accounts.as_account(account)
        initdb = [str(binaries.initdb), "-D", str(data), "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run(
            [*initdb, "--encoding=UTF8", "--no-sync"],
            env=environment, cwd="/", capture_output=True, check=True, timeout=120, **as_account,  # type: ignore[call-overload]
        )  # fmt: skip
        password.unlink()
        options = {"listen_addresses": "127.0.0.1", "port": self.postgres_port, "unix_socket_directories": ""}
        command = [str(binaries.server), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]
        with (self.root / "postgres.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(command, env=environment, cwd="/", stdout=log, stderr=log, **as_account)  # type: ignore[call-overload]
            )

    def _start_redis(self) -> None:
        settings = self.root / "redis.conf"
        settings.write_text(
            f'bind 127.0.0.1\nport {self.redis_port}\ndir "{self.root}"\nsave ""\nrequirepass "{self.redis_password}"\n'
        )
        with (self.root / "redis.log").open("ab") as log:
            self._running.append(subprocess.Popen([redis_binary(), str(settings)], stdout=log, stderr=log))

    def _prepare_database(self) -> None:
        with psycopg.connect(self._admin(), autocommit=True) as link:
            if link.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                link.execute(f"CREATE DATABASE {DATABASE}".encode())

    def _admin(self) -> str:
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.postgres_port, user=USER, password=self.password, dbname="postgres"
        )

    def _ping_redis(self) -> None:
        with redis.Redis(port=self.redis_port, password=self.redis_password) as client:
            client.ping()

    def stored_sessions(self) -> list[str]:
        """Ids in the registry, read past the product."""
        info = psycopg.conninfo.make_conninfo(self._admin(), dbname=DATABASE)
        with psycopg.connect(info) as link:
            return [str(row[0]) for row in link.execute("SELECT session_id FROM sessions ORDER BY session_id")]


class Authority:
    """A throw-away certificate authority, and one certificate of it for `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"
        self.other_ca_file = folder / "other-ca.pem"
        self._server_file = folder / "server.pem"
        key, certificate = _issue("the test's authority", None)
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.other_ca_file.write_bytes(_issue("somebody else", None)[1].public_bytes(serialization.Encoding.PEM))
        server_key, server = _issue(HOST, (key, certificate))
        self._server_file.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + server.public_bytes(serialization.Encoding.PEM)
        )

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._server_file)
        return context


_Issued = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def _issue(name: str, issuer: _Issued | None) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer, issuer_name = (issuer[0], issuer[1].subject) if issuer is not None else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(signer, hashes.SHA256())


class TlsTerminator:
    """Speaks TLS on a port of its own and hands what is inside to a plain one. Use as a context manager.

    `postgres`: a client asks for TLS first, in PostgreSQL's way; one that does not is turned away.
    """

    def __init__(self, target: int, context: ssl.SSLContext, *, postgres: bool = False) -> None:
        self.port = 0
        self.connections = 0
        self._target = target
        self._context = context
        self._postgres = postgres
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls-terminator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        tls = None if self._postgres else self._context
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            return  # a client that distrusts us, or the end of the test
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._postgres:
            if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(self._context)
        self.connections += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            ways = [
                asyncio.ensure_future(_pump(reader, inner_writer)),
                asyncio.ensure_future(_pump(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()

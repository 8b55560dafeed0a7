"""The public HTTP API as seen from outside, over the standard library: TCP, TLS or a unix socket."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import msgspec

from cli.texts import tr
from ecosystem.contract.envelope import Envelope
from ecosystem.contract.errors import (
    HTTP_STATUS,
    ApiKeyMissing,
    ApiKeyUnknown,
    DomainError,
    ErrorKind,
    InternalError,
    InvalidRequest,
    NotRunning,
    Problem,
    WorkerTimeout,
    all_errors,
    from_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecosystem.home import Home

T = TypeVar("T")

Query: TypeAlias = Mapping[str, str | int | float | bool | None]
Waiting: TypeAlias = Callable[[str], AbstractContextManager[object]]

TIMEOUT_S: Final = 30.0
"""How long the server may be silent before a plain request is given up; a `wait` is added to it."""
BODY_LIMIT_BYTES: Final = 64 << 20
LINE_LIMIT_BYTES: Final = 1 << 20
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}", re.ASCII)


class Address(msgspec.Struct, frozen=True):
    """Where a server answers: `host` and `port`, or the unix socket `path`; `prefix` is put before every route."""

    scheme: str
    host: str
    port: int
    path: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def is_exposed(self) -> bool:
        """Whether what is sent there crosses a network in the clear."""
        return self.scheme == "http" and self.host not in LOOPBACK and not self.host.startswith("127.")

    @classmethod
    def parse(cls, url: str) -> Address:
        """`http://host:port`, `https://host/prefix` or `unix:///path`. Raises InvalidRequest."""
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidRequest(tr("--url: {error}", error=error), field="url") from None
        if parts.username is not None or parts.password is not None:
            raise InvalidRequest(
                tr("--url holds a user or password"), field="url", hint=tr("put the key into ZAPVISOR_KEY")
            )
        if parts.query or parts.fragment:
            raise InvalidRequest(tr("--url has a query or a fragment"), field="url")
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            return cls("unix", "localhost", 0, path=parts.path)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidRequest(
                tr("--url must look like http://host:3000, https://host or unix:///path/to/socket"), field="url"
            )
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, port or default, prefix=parts.path.rstrip("/"))


class _InstanceFile(msgspec.Struct, frozen=True):
    """What a running instance says of itself (`Home.instance`)."""

    url: str
    pid: int | None = None
    version: str | None = None


class _SavedKey(msgspec.Struct, frozen=True):
    """The one field a client wants of the saved settings."""

    admin_api_key: str | None = None


def local_address(home: Home) -> Address:
    """Where the instance of `home` answers. Raises NotRunning when it does not run."""
    hint = tr("start it with `zapvisor up`, or name another one with --home or --url")
    try:
        raw = home.instance.read_bytes()
    except FileNotFoundError:
        raise NotRunning(tr("Zapvisor is not running in {root}", root=home.root), hint=hint) from None
    except OSError as error:
        raise NotRunning(
            tr("{instance} cannot be read: {strerror}", instance=home.instance, strerror=error.strerror),
            hint=tr("run this as the user who started Zapvisor, or set ZAPVISOR_URL and ZAPVISOR_KEY"),
        ) from None
    try:
        return Address.parse(msgspec.json.decode(raw, type=_InstanceFile).url)
    except (msgspec.DecodeError, InvalidRequest):
        raise NotRunning(
            tr("{instance} cannot be read", instance=home.instance),
            hint=tr("restart it: `zapvisor down`, `zapvisor up`"),
        ) from None


def local_key(home: Home) -> str | None:
    """The admin key the instance of `home` was started with, else the generated one. Raises ApiKeyMissing."""
    # The saved settings come first: admin.key may be left over from a start before ADMIN_API_KEY was set.
    raw = _read_private(home.settings)
    if raw:
        try:
            key = msgspec.json.decode(raw, type=_SavedKey).admin_api_key
        except msgspec.DecodeError:
            key = None
        if key:
            return key
    generated = _read_private(home.admin_key)
    return generated.decode("utf-8", "replace").strip() if generated else None


def _read_private(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ApiKeyMissing(
            tr("{path} cannot be read: {strerror}", path=path, strerror=error.strerror),
            hint=tr("run this as the user who started Zapvisor, or set ZAPVISOR_KEY"),
        ) from None


def checked_key(key: str) -> str:
    """`key`, if it can stand in a header; otherwise ApiKeyUnknown, which does not repeat it."""
    if not _KEY.fullmatch(key):
        raise ApiKeyUnknown(tr("the key holds characters no key has"), field="key", hint=tr("check ZAPVISOR_KEY"))
    return key


class Answer(msgspec.Struct, frozen=True):
    """A successful answer. `headers` by lower-case name."""

    status: int
    body: bytes
    headers: dict[str, str]

    def decode(self, type_: type[T]) -> T:
        """The body as `type_`. Raises InternalError when the server speaks another version of the API."""
        try:
            return msgspec.json.decode(self.body, type=type_)
        except msgspec.DecodeError as error:
            raise InternalError(
                tr("the server's answer is not understood: {error}", error=error),
                hint=tr("are client and server of the same version?"),
            ) from None


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Cancel:
    """Ends a stream from another thread; calling it again changes nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.done = False

    def __call__(self) -> None:
        with self._lock:
            self.done = True
            self._shut()

    def watch(self, sock: socket.socket | None) -> None:
        """From now on it is `sock` that is shut; at once where it was cancelled before."""
        with self._lock:
            self._socket = sock
            if self.done:
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)


class Client:
    """Requests to one server, one connection each. Every failure is a DomainError."""

    def __init__(
        self, address: Address, key: str | None, *, timeout: float = TIMEOUT_S, waiting: Waiting | None = None
    ) -> None:
        """`waiting` is entered, with a sentence, while a request is under way."""
        self.address = address
        self._key = key
        self._timeout = timeout
        self._waiting = waiting or _silent

    def __repr__(self) -> str:
        return f"<Client of {self.address}>"

    def hurried(self, timeout: float) -> Client:
        """The same, silent, with `timeout` seconds for an answer."""
        return Client(self.address, self._key, timeout=timeout)

    def environ(self) -> dict[str, str]:
        """What another `zapvisor` is started with to talk to the same server."""
        return {"ZAPVISOR_URL": str(self.address)} | ({"ZAPVISOR_KEY": self._key} if self._key else {})

    def get(self, path: str, query: Query | None = None, *, wait: float = 0) -> Answer:
        """GET; `wait` is how long the server was told it may take on top of the usual, in seconds."""
        return self.request("GET", path, query, wait=wait)

    def post(self, path: str, body: object = None, query: Query | None = None, *, wait: float = 0) -> Answer:
        """POST of `body` (any JSON-able value; None: no body)."""
        return self.request("POST", path, query, body=body, wait=wait)

    def delete(self, path: str, query: Query | None = None, *, wait: float = 0) -> Answer:
        """DELETE."""
        return self.request("DELETE", path, query, wait=wait)

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        wait: float = 0,
        accept: Collection[int] = (),
    ) -> Answer:
        """One request and its whole answer. Raises the DomainError the server names, NotRunning or WorkerTimeout.

        `accept`: statuses that are an answer and no failure, beside those from 200 to 299.
        """

        def exchange(connection: http.client.HTTPConnection) -> Answer:
            response = self._send(connection, method, path, query, body)
            return _read(response, accept)

        with self._waiting(tr("waiting for {address}", address=self.address)):
            return self._with_connection(exchange, self._timeout + wait)

    def stream(
        self,
        path: str,
        query: Query | None = None,
        *,
        on_open: Callable[[], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[bytes]:
        """Lines of a text answer as they come, without their ends.

        `on_open`, called once the server has accepted, makes the stream an endless one: silence is no failure then.
        `cancel` ends it from another thread. Raises like `request`, and NotRunning when the stream breaks off.
        """
        connection = self._connection(self._timeout)
        try:
            try:
                if cancel is not None:
                    connection.connect()
                    cancel.watch(connection.sock)
                response = self._send(connection, "GET", path, query, None)
                if response.status >= 400:
                    _read(response)
                # A log may be silent for days. Death of the other side still ends the wait: a unix or loopback peer's
                # at once, a lost network's after the kernel's keep-alive probes.
                if on_open is not None:
                    if connection.sock is not None:
                        _keep_alive(connection.sock)
                    on_open()
                while line := response.readline(LINE_LIMIT_BYTES):
                    yield line.rstrip(b"\r\n")
            except (OSError, http.client.HTTPException) as error:
                if cancel is not None and cancel.done:
                    return
                raise self._translated(error) from error
        finally:
            if cancel is not None:
                cancel.watch(None)
            connection.close()

    def _with_connection(self, exchange: Callable[[http.client.HTTPConnection], T], timeout: float) -> T:
        connection = self._connection(timeout)
        try:
            return exchange(connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._translated(error) from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        address = self.address
        if address.scheme == "unix":
            return _UnixConnection(address.path, timeout)
        if address.scheme == "https":
            return http.client.HTTPSConnection(
                address.host, address.port, timeout=timeout, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, query: Query | None, body: object
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json, text/plain;q=0.9, */*;q=0.5", "User-Agent": "zapvisor"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        connection.request(method, self.address.prefix + path + _encoded(query), body=data, headers=headers)
        return connection.getresponse()

    def _translated(self, error: Exception) -> DomainError:
        if isinstance(error, TimeoutError):
            return WorkerTimeout(
                tr("{address} does not answer in time", address=self.address), hint=tr("see `zapvisor doctor`")
            )
        if isinstance(error, ssl.SSLError):
            return NotRunning(
                tr("no safe connection to {address}: {reason}", address=self.address, reason=error.reason or error),
                hint=tr("check the certificate"),
            )
        if isinstance(error, http.client.IncompleteRead):
            return NotRunning(tr("{address} broke the answer off", address=self.address), hint=tr("try again"))
        if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
            return NotRunning(
                tr("what answers at {address} does not speak HTTP", address=self.address), hint=tr("check --url")
            )
        reason = getattr(error, "strerror", None) or type(error).__name__
        return NotRunning(
            tr("nothing answers at {address}: {reason}", address=self.address, reason=reason),
            hint=tr("is it running? try `zapvisor doctor`"),
        )


def _silent(_: str) -> AbstractContextManager[object]:
    return nullcontext()


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def _encoded(query: Query | None) -> str:
    pairs = []
    for name, value in (query or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        else:
            pairs.append((name, f"{value:g}" if isinstance(value, float) else str(value)))
    return f"?{urllib.parse.urlencode(pairs)}" if pairs else ""


def _keep_alive(sock: socket.socket) -> None:
    sock.settimeout(None)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _read(response: http.client.HTTPResponse, accept: Collection[int] = ()) -> Answer:
    body = response.read(BODY_LIMIT_BYTES)
    if response.length:  # `read` with a limit does not mind a missing rest
        raise http.client.IncompleteRead(body, response.length)
    answer = Answer(response.status, body, {name.lower(): value for name, value in response.getheaders()})
    if 200 <= answer.status < 300 or answer.status in accept:
        return answer
    raise error_of(answer)


# --- errors


def error_of(answer: Answer) -> DomainError:
    """The failure a non-2xx answer stands for: a problem document, the single-session envelope, or a bare status."""
    error = _from_problem_body(answer) or _from_envelope(answer) or _from_status(answer)
    if error.retry_after_s is None:
        error.retry_after_s = _seconds(answer.headers.get("retry-after"))
    return error


def _from_problem_body(answer: Answer) -> DomainError | None:
    try:
        return from_problem(msgspec.json.decode(answer.body, type=Problem))
    except msgspec.DecodeError:
        return None


def _from_envelope(answer: Answer) -> DomainError | None:
    try:
        envelope = msgspec.json.decode(answer.body, type=Envelope)
    except msgspec.DecodeError:
        return None
    code = envelope.code.lower()
    known = next((cls for cls in all_errors() if cls.code == code), None)
    details = envelope.results if isinstance(envelope.results, dict) else {}

    def detail(name: str) -> str | None:
        value = details.get(name)
        return value if isinstance(value, str) else None

    return from_problem(
        Problem(
            status=answer.status,
            code=code,
            kind=known.kind if known else kind_of(answer),
            title=code.replace("_", " ").capitalize(),
            detail=envelope.message,
            error=envelope.message,
            retryable=False,
            hint=detail("hint"),
            field=detail("field"),
            session_id=detail("session_id"),
            state=detail("state"),
            upstream_code=detail("upstream_code"),
        )
    )


def _from_status(answer: Answer) -> DomainError:
    kind = kind_of(answer)
    phrase = http.client.responses.get(answer.status, "")
    sentence = tr("the server answered {status} {phrase}", status=answer.status, phrase=phrase).rstrip()
    return from_problem(
        Problem(
            status=answer.status,
            code=f"http_{answer.status}",
            kind=kind,
            title=sentence,
            detail=sentence,
            error=sentence,
            retryable=False,
            hint=tr("is this a Zapvisor? check --url") if answer.status < 500 else None,
        )
    )


def kind_of(answer: Answer) -> ErrorKind:
    """The kind a bare HTTP status stands for."""
    if answer.status == 503:  # two kinds share it; only one says when to come back
        return ErrorKind.UNAVAILABLE
    for kind, status in HTTP_STATUS.items():
        if status == answer.status:
            return kind
    return ErrorKind.INVALID if 300 <= answer.status < 500 else ErrorKind.INTERNAL


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None

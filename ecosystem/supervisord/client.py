"""A typed client of one instance's supervisord: XML-RPC over its unix socket, one connection per call, every call bounded.

Synchronous: an event loop calls it in a thread.
"""

from __future__ import annotations

import http.client
import json
import socket
import xmlrpc.client  # nosec B411
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from xml.parsers.expat import ExpatError

import msgspec

from ecosystem.contract.errors import BackendDown, IllegalAction, InvalidRequest, RouteNotFound
from ecosystem.contract.worker import WorkerProcess, WorkerSpec
from ecosystem.supervisord.faults import BAD_SPEC, BUSY

if TYPE_CHECKING:
    from pathlib import Path

    from ecosystem.home import Home

DEFAULT_TIMEOUT_S: Final = 5.0
"""Longer than the zygote is waited for (3 s), so that a slow fork is answered rather than guessed at."""

# supervisor.xmlrpc.Faults; not imported: it would bring half of supervisord along.
_BAD_NAME: Final = 10
_SHUTDOWN_STATE: Final = 6
_ALREADY_STARTED: Final = 60
_NOT_RUNNING: Final = 70
_FAILED_STARTS: Final = frozenset({20, 21, 40, 50})
_NO_LOG: Final = 20


class ProgramState(StrEnum):
    """supervisord's own states."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


class ProcessInfo(msgspec.Struct, frozen=True):
    """One process of supervisord's, a program or a session."""

    group: str
    name: str
    state: ProgramState
    pid: int | None
    uptime_s: int
    spawn_error: str | None
    description: str
    log: str

    @property
    def full_name(self) -> str:
        """As supervisorctl takes it: `postgres`, `session:alpha`."""
        return self.name if self.group == self.name else f"{self.group}:{self.name}"


class SupervisordClient:
    """`timeout` in seconds bounds each call. Every method raises BackendDown when supervisord cannot be reached."""

    def __init__(self, path: Path, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        self._path = path
        self._timeout = timeout

    @classmethod
    def of(cls, home: Home, *, timeout: float = DEFAULT_TIMEOUT_S) -> SupervisordClient:
        """The client of the instance in `home`."""
        return cls(home.supervisord_socket, timeout=timeout)

    # --- sessions

    def session_start(self, spec: WorkerSpec) -> WorkerProcess:
        """Starts a session's worker, or does nothing where it runs with that generation.

        Raises IllegalAction while another generation runs or the last one still stops, InvalidRequest for a bad spec.
        """
        # Plain ASCII: XML has no way to carry every character JSON has.
        text = json.dumps(msgspec.to_builtins(spec))
        return msgspec.json.decode(self._text("session.start", text), type=WorkerProcess)

    def session_stop(self, session_id: str) -> bool:
        """Has a worker stop, within its grace; returns at once. False when there was nothing to stop."""
        return bool(self._call("session.stop", session_id))

    def session_remove(self, session_id: str) -> bool:
        """Forgets a session that does not run; false when it was not known. Raises IllegalAction while it runs."""
        return bool(self._call("session.remove", session_id))

    def session_list(self) -> list[WorkerProcess]:
        """Every session's worker, in one call."""
        return msgspec.json.decode(self._text("session.list"), type=list[WorkerProcess])

    def session_ready(self) -> bool:
        """Whether a worker can be started now: the zygote is loaded, or none is needed."""
        return bool(self._call("session.ready"))

    # --- programs

    def all_processes(self) -> list[ProcessInfo]:
        """Every program and session as supervisord sees it."""
        answer = self._call("supervisor.getAllProcessInfo")
        try:
            return [_info(row) for row in answer]
        except (KeyError, TypeError, ValueError) as error:
            raise BackendDown(f"supervisord answered something unexpected: {error!r}") from error

    def start_process(self, name: str) -> None:
        """Starts a program without waiting for it; nothing where it runs. Raises RouteNotFound for an unknown name."""
        self._call("supervisor.startProcess", name, False, ignore=_ALREADY_STARTED)

    def stop_process(self, name: str, *, wait: bool = True) -> None:
        """Stops a program; nothing where it does not run. With `wait` the call is bounded by the client's timeout."""
        self._call("supervisor.stopProcess", name, wait, ignore=_NOT_RUNNING)

    def restart_process(self, name: str) -> None:
        """Stops and starts a program."""
        self.stop_process(name)
        self.start_process(name)

    def signal_process(self, name: str, signal: str) -> None:
        """Sends a signal by its short name. Raises RouteNotFound for an unknown name, IllegalAction where it does not run."""
        self._call("supervisor.signalProcess", name, signal)

    def clear_log(self, name: str) -> None:
        """Empties a program's log. Raises RouteNotFound for an unknown name."""
        self._call("supervisor.clearProcessLogs", name)

    def tail(self, name: str, size: int = 16_384) -> str:
        """The last `size` bytes of a program's log. Raises RouteNotFound for an unknown name."""
        return str(self._call("supervisor.readProcessStdoutLog", name, -size, 0, ignore=_NO_LOG) or "")

    def pid(self) -> int:
        """supervisord's own."""
        return int(self._call("supervisor.getPID"))

    def shutdown(self) -> None:
        """Has supervisord stop everything and end; returns at once."""
        self._call("supervisor.shutdown")

    def reload(self) -> None:
        """Has supervisord stop everything, read its configuration and start again; sessions are forgotten. Returns at once."""
        self._call("supervisor.restart")

    # --- transport

    def _text(self, method: str, *arguments: str) -> str:
        answer = self._call(method, *arguments)
        if not isinstance(answer, str):
            raise BackendDown(f"supervisord answered {method} with {type(answer).__name__}")
        return answer

    def _call(self, method: str, *arguments: object, ignore: int | None = None) -> Any:
        transport = _UnixTransport(self._path, self._timeout)
        try:
            with xmlrpc.client.ServerProxy(
                "http://supervisord/RPC2", transport=transport, allow_none=True, use_builtin_types=True
            ) as proxy:
                return getattr(proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == ignore:
                return None
            raise _translated(method, fault) from None
        except TimeoutError as error:
            raise BackendDown(f"supervisord did not answer {method} within {self._timeout:g} s") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise BackendDown(f"supervisord cannot be reached: {error}") from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(self.timeout)
        try:
            link.connect(str(self._path))
        except BaseException:
            link.close()
            raise
        self.sock = link


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__(use_builtin_types=True)
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path, self._timeout)
        self._connection = host, connection  # what the proxy closes at its end
        return connection

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        # Never the standard library's silent second try: a start that was cut off may have happened.
        return self.single_request(host, handler, request_body, verbose)


def _info(row: dict[str, Any]) -> ProcessInfo:
    started, now = int(row["start"]), int(row["now"])
    pid = int(row["pid"]) or None
    return ProcessInfo(
        group=str(row["group"]),
        name=str(row["name"]),
        state=ProgramState(row["statename"]),
        pid=pid,
        uptime_s=max(0, now - started) if pid else 0,
        spawn_error=str(row["spawnerr"]) or None,
        description=str(row["description"]),
        log=str(row["stdout_logfile"]),
    )


def _translated(method: str, fault: xmlrpc.client.Fault) -> Exception:
    """supervisord's refusals in our words."""
    text = fault.faultString
    match fault.faultCode:
        case code if code == BUSY:
            return IllegalAction(text, hint="wait until it has stopped")
        case code if code == BAD_SPEC:
            return InvalidRequest(text)
        case code if code == _BAD_NAME:
            return RouteNotFound(f"supervisord knows no process {text.removeprefix('BAD_NAME: ')}")
        case code if code == _NOT_RUNNING:
            return IllegalAction(f"{text.removeprefix('NOT_RUNNING: ')} is not running")
        case code if code == _SHUTDOWN_STATE:
            return BackendDown("supervisord is shutting down")
        case code if code in _FAILED_STARTS:
            return BackendDown(f"supervisord could not do it: {text}")
    return BackendDown(f"supervisord refused {method}: {text}")

"""One session's worker inside supervisord: a Subprocess that may be forked by the zygote and tells more about its end."""

from __future__ import annotations

import os
import shlex
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from supervisor.datatypes import RestartWhenExitUnexpected
from supervisor.options import ProcessConfig
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates, getProcessStateDescription

from ecosystem.contract.exitcodes import NOT_RESTARTED_AT_ONCE, WorkerExit
from ecosystem.contract.worker import ProcessState, WorkerProcess, WorkerSpec
from ecosystem.supervisord.link import ForkRequest, ZygoteLink

if TYPE_CHECKING:
    from pathlib import Path

    from ecosystem.definition import SessionTemplate

GROUP: Final = "session"
START_S: Final = 1
"""A worker that ends sooner failed to start."""
START_RETRIES: Final = 3
FLAP_S: Final = 60.0
REPAIRS_AT_ONCE: Final = 3
"""So many deaths within FLAP_S are repaired at once; after them whoever watches paces the starts."""
STOP_MARGIN_S: Final = 0.5
"""Beyond the worker's own grace: one that uses it up must not be killed on the finishing line."""

UNHARMED: Final = frozenset({WorkerExit.STOPPED, WorkerExit.REPLACE})
"""Ends of a worker with which nothing is wrong."""

STATES: Final = {
    ProcessStates.STOPPED: ProcessState.EXITED,
    ProcessStates.STARTING: ProcessState.STARTING,
    ProcessStates.RUNNING: ProcessState.RUNNING,
    ProcessStates.BACKOFF: ProcessState.BACKOFF,
    ProcessStates.STOPPING: ProcessState.STOPPING,
    ProcessStates.EXITED: ProcessState.EXITED,
    ProcessStates.FATAL: ProcessState.EXITED,
    ProcessStates.UNKNOWN: ProcessState.EXITED,
}


class SessionConfig(ProcessConfig):  # type: ignore[misc]
    """supervisord's view of one WorkerSpec. Without a `link` the worker is executed, reading its spec from `spec_file`."""

    def __init__(
        self,
        options: Any,
        template: SessionTemplate,
        raw: bytes,
        spec: WorkerSpec,
        link: ZygoteLink | None,
        spec_file: Path,
    ) -> None:
        self.template = template
        self.raw = raw
        self.spec = spec
        self.link = link
        super().__init__(
            options,
            name=spec.session_id,
            uid=None,
            command=shlex.join((*template.command, "--spec", str(spec_file)))
            if link is None
            else f"wa:{spec.session_id}",
            directory=template.directory,
            umask=0o077,
            priority=template.priority,
            autostart=False,
            autorestart=RestartWhenExitUnexpected,
            startsecs=START_S,
            startretries=START_RETRIES,
            stdout_logfile=f"{template.logs}/{spec.session_id}.log",
            stdout_capture_maxbytes=0,
            stdout_events_enabled=False,
            stdout_syslog=False,
            stdout_logfile_backups=template.log_backups,
            stdout_logfile_maxbytes=template.log_max_bytes,
            stderr_logfile=None,
            stderr_capture_maxbytes=0,
            stderr_events_enabled=False,
            stderr_syslog=False,
            stderr_logfile_backups=0,
            stderr_logfile_maxbytes=0,
            stopsignal=signal.SIGTERM,
            stopwaitsecs=spec.stop_grace_s + STOP_MARGIN_S,
            stopasgroup=False,
            killasgroup=True,
            exitcodes=sorted({*NOT_RESTARTED_AT_ONCE, *spec.stop_exit_codes}),
            redirect_stderr=True,
            environment=dict(template.environment),
        )

    def make_process(self, group: Any = None) -> SessionProcess:
        process = SessionProcess(self)
        process.group = group
        return process


class SessionProcess(Subprocess):  # type: ignore[misc]
    """`held` says that an operator stopped it with supervisord's own tools; starting it in any way clears that."""

    # supervisord's own, untyped there
    config: SessionConfig
    pid: int
    state: int
    laststart: float
    backoff: int
    spawnerr: str | None
    dispatchers: dict[int, Any]
    pipes: dict[str, int]

    def __init__(self, config: SessionConfig) -> None:
        super().__init__(config)
        self.held = False
        self.starts = self.renewals = 0
        self.exit_code: int | None = None
        self._running_since: float | None = None
        self._failure = ""
        self._deaths: list[float] = []

    def replace(self, config: SessionConfig) -> None:
        """Gives a process that does not run another specification; one of another generation gets a clean record with it."""
        if config.spec.generation != self.config.spec.generation:
            self.starts = self.renewals = 0
            self._deaths = []
        self.config = config
        self.backoff = 0
        self.exit_code = None
        self.spawnerr = None

    def get_execv_args(self) -> tuple[str, list[str]]:
        """Never used after a fork by the zygote, but asked for before it."""
        if self.config.link is not None:
            return self.config.command, [self.config.command]
        filename, argv = super().get_execv_args()
        return filename, argv

    def spawn(self) -> int | None:
        """Starts the worker; None where that failed, which is then BACKOFF with its reason in `spawnerr`."""
        self.held = False
        self._failure = ""
        options = self.config.options
        if self.config.link is not None:
            # Everything about a child but its birth is supervisord's own: pipes, logs, states. So only `fork` is swapped.
            options.fork = self._fork
        try:
            pid: int | None = super().spawn()
        finally:
            if self.config.link is not None:
                del options.fork
        if pid:
            self.starts += 1
            self._running_since = time.monotonic()
            return pid
        # supervisord closes the pipes of a failed start but keeps their dispatchers: those would read another session's
        # output once their numbers are given out again.
        self.dispatchers, self.pipes = {}, {}
        self.spawnerr = self._failure or self.spawnerr
        return None

    def _fork(self) -> int:
        """Has the zygote fork. An OSError is to supervisord what a failed fork(2) is."""
        link = self.config.link
        if link is None:
            raise AssertionError
        template = self.config.template
        environment = {
            "SUPERVISOR_ENABLED": "1",
            "SUPERVISOR_PROCESS_NAME": self.config.name,
            "SUPERVISOR_GROUP_NAME": GROUP,
        }
        request = ForkRequest(
            name=self.config.name,
            spec=msgspec.Raw(self.config.raw),
            environment=environment,
            directory=template.directory,
        )
        output = self.pipes["child_stdout"]
        try:
            return link.fork(request, (self.pipes["child_stdin"], output, output))
        except OSError as error:
            self._failure = error.strerror or str(error)
            raise

    def stop(self) -> str | None:
        """Called by supervisord's own interface (and its shutdown): an operator's wish, to be respected until started again."""
        self.held = True
        message: str | None = super().stop()
        return message

    def stop_as_wished(self) -> None:
        """Called through `session.stop`: what the registry wants. Asks once, forces after the grace; returns at once."""
        self.held = False
        if self.state in {ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.BACKOFF}:
            super().stop()

    def finish(self, pid: int, sts: int) -> None:
        """The worker ended; where its code does not forbid it, the next one is started here and now, not at the next tick."""
        code = os.waitstatus_to_exitcode(sts)
        self.exit_code = code
        ran_s = time.monotonic() - self._running_since if self._running_since is not None else 0.0
        self._running_since = None
        flaps = False
        self.renewals += code == WorkerExit.REPLACE
        if code not in UNHARMED:
            self._deaths = [at for at in self._deaths if time.monotonic() - at < FLAP_S]
            # What ends within a second supervisord paces by itself.
            flaps = ran_s >= START_S and len(self._deaths) >= REPAIRS_AT_ONCE
            self._deaths.append(time.monotonic())
        self.config.autorestart = False if flaps else RestartWhenExitUnexpected
        if (flaps or code in self.config.exitcodes) and not self.killing:
            # supervisord takes an end within `startsecs` for a failed start, whatever the code, and would try again.
            self.laststart -= self.config.startsecs
        super().finish(pid, sts)
        if self.state == ProcessStates.BACKOFF:
            self.spawnerr = f"{_end(code)} after {ran_s:.1f} s; its log says why"
        elif self.state == ProcessStates.EXITED:
            self.spawnerr = None
            if self.config.options.mood == SupervisorStates.RUNNING:
                self.transition()

    def report(self) -> WorkerProcess:
        """This process as the orchestrator reads it."""
        state = STATES[self.state]
        resting = self.state in {ProcessStates.STOPPED, ProcessStates.STOPPING}
        shown = getProcessStateDescription(self.state)
        return WorkerProcess(
            session_id=self.config.spec.session_id,
            state=state,
            generation=self.config.spec.generation,
            port=self.config.spec.port,
            pid=self.pid or None,
            uptime_s=round(time.monotonic() - self._running_since, 3) if self._running_since is not None else 0.0,
            starts=self.starts,
            renewals=self.renewals,
            exit_code=self.exit_code,
            spawn_error=self.spawnerr or None,
            held=self.held and resting,
            description=f"{shown}: {self.spawnerr}" if self.spawnerr else shown,
        )


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

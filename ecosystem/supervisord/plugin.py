"""supervisord's plugin for sessions: `[rpcinterface:session]`, whose methods start, stop, remove and list workers.

All sessions are members of one group, `session`, because supervisord stops groups one after the other and a group's members at
once. Every method may be called again with the same effect. Texts in and out are JSON.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from supervisor import events
from supervisor.options import ProcessGroupConfig
from supervisor.states import STOPPED_STATES, ProcessStates, SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from ecosystem import lifeline
from ecosystem.contract.errors import DomainError
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.worker import WorkerSpec
from ecosystem.definition import SessionTemplate
from ecosystem.supervisord import handover
from ecosystem.supervisord.faults import BAD_SPEC, BUSY
from ecosystem.supervisord.link import ZygoteLink
from ecosystem.supervisord.process import GROUP, SessionConfig, SessionProcess
from ecosystem.supervisord.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

API_VERSION: Final = "1"


def make(supervisord: Any, template: str) -> SessionInterface:
    """The factory supervisord calls at its start and after every reload; `template` is the file of a SessionTemplate."""
    decoded = msgspec.json.decode(Path(template).read_bytes(), type=SessionTemplate)
    lifeline.adopt_orphans()
    interface = SessionInterface(supervisord, decoded)
    _install(supervisord, interface)
    return interface


class SessionFault(RPCError):  # type: ignore[misc]
    """A refusal whose text is a sentence of its own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code)
        self.text = text


class SessionInterface:
    """The methods of `session.*`."""

    def __init__(self, supervisord: Any, template: SessionTemplate) -> None:
        self._supervisord = supervisord
        self._template = template
        self._link = ZygoteLink(Path(template.zygote_socket)) if template.zygote_socket else None

    def start(self, spec_json: str) -> str:
        """Starts a session's worker; a WorkerProcess. Does nothing where it runs with the same generation.

        Faults: BAD_SPEC; BUSY while a worker of another generation runs, or one is still stopping.
        @param string spec_json A WorkerSpec
        @return string result A WorkerProcess
        """
        self._check_mood()
        raw = spec_json.encode()
        spec = _parse(raw)
        process = self._process(spec.session_id)
        if process is None:
            process = self._add(self._config(raw, spec))
            process.spawn()
        elif process.state == ProcessStates.STOPPING:
            raise SessionFault(BUSY, f"the worker of {spec.session_id} is still stopping")
        elif process.pid or process.state == ProcessStates.BACKOFF:
            running = process.config.spec.generation
            if process.pid and running != spec.generation:
                raise SessionFault(
                    BUSY, f"the worker of {spec.session_id} runs with generation {running}, stop it first"
                )
            if running != spec.generation:
                self._replace(process, self._config(raw, spec))
        else:
            self._replace(process, self._config(raw, spec))
        return _encode(process.report())

    def stop(self, session_id: str) -> bool:
        """Has a session's worker stop: TERM now, KILL after its grace. Returns at once; false when there is nothing to stop.

        @param string session_id The session
        @return boolean result Whether there is a worker that ends or is ending now
        """
        process = self._process(session_id)
        if process is None:
            return False
        ends = process.state not in STOPPED_STATES
        process.stop_as_wished()
        return ends

    def remove(self, session_id: str) -> bool:
        """Forgets a session whose worker does not run; false when it was not known. Fault: BUSY.

        @param string session_id The session
        @return boolean result Whether it was known
        """
        process = self._process(session_id)
        if process is None:
            return False
        if process.state not in STOPPED_STATES:
            raise SessionFault(BUSY, f"the worker of {session_id} runs, stop it first")
        group = process.group
        del group.processes[session_id]
        group.config.process_configs.remove(process.config)
        with contextlib.suppress(FileNotFoundError):
            self._spec_file(session_id).unlink()
        return True

    def list(self) -> str:
        """Every session's worker.

        @return string result A list of WorkerProcess
        """
        group = self._supervisord.process_groups.get(GROUP)
        return _encode([process.report() for process in group.processes.values()] if group is not None else [])

    def ready(self) -> bool:
        """Whether a worker can be started now: the zygote is loaded, or none is needed.

        @return boolean result Whether one can
        """
        return self._link is None or self._link.listens()

    def getAPIVersion(self) -> str:
        """The version of these methods.

        @return string result The version
        """
        return API_VERSION

    # --- not methods of the interface

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()

    def _check_mood(self) -> None:
        if self._supervisord.options.mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)

    def _process(self, session_id: str) -> SessionProcess | None:
        group = self._supervisord.process_groups.get(GROUP)
        found: SessionProcess | None = group.processes.get(session_id) if group is not None else None
        return found

    def _spec_file(self, session_id: str) -> Path:
        return Path(self._template.specs) / f"{session_id}.json"

    def _config(self, raw: bytes, spec: WorkerSpec) -> SessionConfig:
        path = self._spec_file(spec.session_id)
        if self._link is None:
            fresh = path.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(raw)
            fresh.replace(path)
        return SessionConfig(self._supervisord.options, self._template, raw, spec, self._link, path)

    def _add(self, config: SessionConfig) -> SessionProcess:
        if GROUP not in self._supervisord.process_groups:
            self._supervisord.add_process_group(
                ProcessGroupConfig(self._supervisord.options, GROUP, self._template.priority, [])
            )
        group = self._supervisord.process_groups[GROUP]
        group.config.process_configs.append(config)
        process = config.make_process(group)
        group.processes[config.name] = process
        return process

    def _replace(self, process: SessionProcess, config: SessionConfig) -> None:
        configs = process.group.config.process_configs
        # By identity: supervisord's configurations are equal when their settings are.
        configs[:] = [config if known is process.config else known for known in configs]
        process.replace(config)
        process.spawn()


def _parse(raw: bytes) -> WorkerSpec:
    try:
        spec = msgspec.json.decode(raw, type=WorkerSpec)
        parse_session_id(spec.session_id)  # it becomes part of file names
    except (msgspec.DecodeError, DomainError) as error:
        raise SessionFault(BAD_SPEC, f"the specification cannot be used: {error}") from None
    return spec


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _install(supervisord: Any, interface: SessionInterface) -> None:
    """Hooks into one life of supervisord: a reload makes new objects, and this is then called for them."""
    options = supervisord.options
    wakeups: list[Wakeup] = []

    def on_running(_: object) -> None:
        wakeups.append(Wakeup(options))

    def on_minute(_: object) -> None:
        revive(supervisord)

    cleanup: Callable[[], None] = options.cleanup

    def clean_up() -> None:
        for wakeup in wakeups:
            wakeup.close()
        interface._close()
        cleanup()

    difference: Callable[[], tuple[list[Any], list[Any], list[Any]]] = supervisord.diff_to_active

    def diff_to_active() -> tuple[list[Any], list[Any], list[Any]]:
        added, changed, removed = difference()
        return added, changed, [config for config in removed if config.name != GROUP]

    events.subscribe(events.SupervisorRunningEvent, on_running)
    events.subscribe(events.Tick60Event, on_minute)
    handover.watch(supervisord)
    options.cleanup = clean_up
    # The group stands in no file: `supervisorctl update` would take it for deleted and stop every session.
    supervisord.diff_to_active = diff_to_active


def revive(supervisord: Any) -> None:
    """Gives every program that supervisord gave up another try: a full disk or a slow machine does not last for ever.

    Sessions are left out: the reconciler decides about those.
    """
    for name, group in supervisord.process_groups.items():
        if name == GROUP:
            continue
        for process in group.processes.values():
            if process.state == ProcessStates.FATAL:
                process.spawn()

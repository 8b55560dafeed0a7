"""Renders supervisord's configuration from the definition. Nothing secret stands in it; it is 0600 all the same."""

from __future__ import annotations

import os
import re
import resource
import shlex
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import InvalidSettings
from ecosystem.definition import program_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ecosystem.definition import Program, SessionTemplate
    from ecosystem.settings import Settings

PLUGIN: Final = "ecosystem.supervisord.plugin:make"

_LEAST_DESCRIPTORS: Final = 1024
_DESCRIPTORS_PER_SESSION: Final = 6
"""Three pipes and a log, with room for those that are being started."""
_UNWRITABLE: Final = re.compile(r"""[\x00-\x1f\x7f"'\\]|\s[;#]""")
"""What supervisord's format has no way to quote in every place: quotes, and what begins a comment."""


def write(settings: Settings, programs: Iterable[Program], template: SessionTemplate) -> Path:
    """Writes supervisord.conf and the sessions' template into the home; the former's path. Raises InvalidSettings."""
    home = settings.paths
    check_paths(settings)
    _write_private(home.session_template, msgspec.json.encode(template))
    _write_private(home.supervisord_conf, render(settings, programs).encode())
    return home.supervisord_conf


def render(settings: Settings, programs: Iterable[Program]) -> str:
    """The whole file."""
    home = settings.paths
    plugin = {"supervisor.rpcinterface_factory": PLUGIN, "template": str(home.session_template)}
    sections = [
        _section("unix_http_server", {"file": str(home.supervisord_socket), "chmod": "0700"}),
        _section("supervisord", _supervisord(settings)),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("rpcinterface:session", plugin),
        _section("supervisorctl", {"serverurl": f"unix://{home.supervisord_socket}"}),
    ]
    sections += [_program(program, settings) for program in programs]
    return "\n".join(sections)


def check_paths(settings: Settings) -> None:
    """Raises InvalidSettings when a folder's name cannot be written into the file."""
    for field, value in (("ZAPVISOR_HOME", settings.home), ("LOG_DIR", settings.log_dir or "")):
        if _UNWRITABLE.search(value):
            raise InvalidSettings(
                f"{field} must hold no quotes, backslashes, control characters, nor a space before ; or #", field=field
            )


def _supervisord(settings: Settings) -> dict[str, str]:
    home = settings.paths
    options = {
        "nodaemon": "true",
        "silent": "true",
        "identifier": "zapvisor",
        "directory": settings.home,
        "pidfile": str(home.supervisord_pid),
        "logfile": str(program_log(settings, "supervisord")),
        "logfile_maxbytes": str(settings.log_max_bytes),
        "logfile_backups": str(settings.log_backups),
        "loglevel": "info",
        "childlogdir": str(program_log(settings, "supervisord").parent),
        "nocleanup": "true",
        "umask": "077",
        "minfds": str(_descriptors(settings.max_sessions)),
        "minprocs": "1",
    }
    if os.geteuid() == 0:
        options["user"] = "root"  # on purpose: it starts the services, which change their user themselves
    return options


def _program(program: Program, settings: Settings) -> str:
    options = {
        "command": shlex.join(program.command),
        "directory": settings.home,
        "priority": str(program.priority),
        "autostart": "true",
        "autorestart": "true",
        "startsecs": str(program.start_s),
        "startretries": str(program.start_retries),
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_wait_s),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(program.log),
        "stdout_logfile_maxbytes": str(settings.log_max_bytes),
        "stdout_logfile_backups": str(settings.log_backups),
    }
    if program.environment:
        options["environment"] = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return _section(f"program:{program.name}", options)


def _section(name: str, options: dict[str, str]) -> str:
    # A `%` would be the start of an expansion.
    lines = (f"{key} = {value.replace('%', '%%')}\n" for key, value in options.items())
    return f"[{name}]\n{''.join(lines)}"


def _descriptors(sessions: int) -> int:
    """How many open files supervisord asks for: what the sessions need, within what the system grants."""
    wanted = _LEAST_DESCRIPTORS + _DESCRIPTORS_PER_SESSION * sessions
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


def _write_private(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)

"""What runs: the list of programs of an instance, in the order they stop, and the template of a session's worker.

Pure: from settings to values. supervisord's configuration is rendered from it elsewhere.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

import ecosystem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecosystem.settings import Settings

# Programs start in the order of their priority and stop in the reverse one.
POSTGRES_PRIORITY: Final = 10
REDIS_PRIORITY: Final = 20
SANDBOX_PRIORITY: Final = 30
ZYGOTE_PRIORITY: Final = 40
SESSION_PRIORITY: Final = 50
ORCHESTRATOR_PRIORITY: Final = 60
WEBHOOKS_PRIORITY: Final = 70

GO_ENVIRONMENT: Final = {
    # Measured: a quarter of Go's heap growth costs nothing at the load of a session; below 16 MiB the collector thrashes.
    "GOGC": "25",
    "GOMAXPROCS": "1",
    "GOMEMLIMIT": "16MiB",
    "NEONIZE_BOT_TAG": "off",
}
"""For the WhatsApp library; Go reads it from the environment block of the process that was executed, the zygote."""

KEPT_VARIABLES: Final = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
)
KEPT_PREFIXES: Final = ("LC_", "PYTHON")
NETWORK_VARIABLES: Final = frozenset(
    {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
"""How to reach the world: the user's own, handed on unless the sandbox is the world."""


class SandboxAccess(msgspec.Struct, frozen=True):
    """What a worker needs to take the sandbox for WhatsApp."""

    ca_file: Path
    root_public_hex: str


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised program. `environment` comes on top of the base one; it holds no secrets. Durations in seconds."""

    name: str
    command: tuple[str, ...]
    priority: int
    log: Path
    environment: dict[str, str] = {}
    stop_signal: str = "TERM"
    stop_wait_s: int = 10
    start_s: int = 1
    start_retries: int = 5


class SessionTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """How every session's worker is run. `zygote_socket` None: executed, as `command` followed by `--spec FILE`."""

    zygote_socket: str | None
    command: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    specs: str
    logs: str
    log_max_bytes: int
    log_backups: int
    priority: int = SESSION_PRIORITY


def programs(settings: Settings, *, sandbox: SandboxAccess | None = None) -> tuple[Program, ...]:
    """Every program of this instance, first started first. `sandbox` must be given exactly when the settings turn it on."""
    if settings.sandbox != (sandbox is not None):
        raise ValueError("access to the sandbox must be given exactly when it is on")
    found: list[Program] = []
    if settings.database_url is None:
        found.append(_postgres(settings))
    if settings.redis_url is None:
        found.append(_redis(settings))
    if settings.sandbox:
        found.append(_sandbox(settings))
    if settings.prefork:
        found.append(_zygote(settings, sandbox))
    found.append(_orchestrator(settings))
    found.append(_webhooks(settings))
    return tuple(found)


def session_template(settings: Settings, *, sandbox: SandboxAccess | None = None) -> SessionTemplate:
    """How supervisord runs the workers of this instance."""
    home = settings.paths
    launcher = ("ecosystem.sandbox.launch", "-m", "worker") if sandbox is not None else ("worker",)
    return SessionTemplate(
        zygote_socket=str(home.zygote_socket) if settings.prefork else None,
        command=_python(*launcher),
        # A forked worker has the zygote's environment already.
        environment={} if settings.prefork else worker_environment(settings, sandbox),
        directory=str(home.root),
        specs=str(home.specs),
        logs=str(session_logs(settings)),
        log_max_bytes=settings.log_max_bytes,
        log_backups=settings.log_backups,
    )


def worker_environment(settings: Settings, sandbox: SandboxAccess | None) -> dict[str, str]:
    """What workers (or the zygote they are forked from) are executed with, beyond the base environment."""
    if sandbox is None:
        return dict(GO_ENVIRONMENT)
    return GO_ENVIRONMENT | {
        "HTTPS_PROXY": f"http://127.0.0.1:{settings.sandbox_port}",
        "SSL_CERT_FILE": str(sandbox.ca_file),
        # Go would add the system's certificate authorities to the one of the file.
        "SSL_CERT_DIR": "/nonexistent",
        "ZAPVISOR_SANDBOX_ROOT": sandbox.root_public_hex,
    }


def base_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What supervisord, and so every program, is executed with: a few plain variables of `environ`, no setting, no secret.

    A proxy's address may hold a password: it is handed on as it came, and written nowhere.
    """
    kept = {name: value for name, value in environ.items() if _is_kept(name, with_network=not settings.sandbox)}
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    kept.setdefault("LANG", "C.UTF-8")
    # Configuration and paths are UTF-8 whatever the locale says.
    kept["PYTHONUTF8"] = "1"
    kept["PYTHONUNBUFFERED"] = "1"
    if (checkout := _checkout()) is not None:
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (checkout, kept.get("PYTHONPATH"))))
    return kept


def logs_folder(settings: Settings) -> Path:
    """Where the programs' logs lie."""
    return Path(settings.log_dir) if settings.log_dir else settings.paths.logs


def program_log(settings: Settings, program: str) -> Path:
    """The log of one program."""
    return logs_folder(settings) / f"{program}.log"


def session_logs(settings: Settings) -> Path:
    """Where the sessions' logs lie."""
    return logs_folder(settings) / "sessions"


def session_log(settings: Settings, session_id: str) -> Path:
    """The log of one session's worker."""
    return session_logs(settings) / f"{session_id}.log"


def _postgres(settings: Settings) -> Program:
    return Program(
        name="postgres",
        command=_python("ecosystem.services.postgres", "--home", settings.home),
        priority=POSTGRES_PRIORITY,
        stop_signal="INT",  # "fast shutdown": clients are cut, the cluster is written out
        stop_wait_s=30,
        log=program_log(settings, "postgres"),
    )


def _redis(settings: Settings) -> Program:
    return Program(
        name="redis",
        command=_python("ecosystem.services.redis", "--home", settings.home),
        priority=REDIS_PRIORITY,
        stop_wait_s=20,
        log=program_log(settings, "redis"),
    )


def _sandbox(settings: Settings) -> Program:
    home = settings.paths
    arguments = ("--folder", str(home.sandbox), "--socket", str(home.sandbox_socket))
    return Program(
        name="sandbox",
        command=_python("ecosystem.sandbox", *arguments, "--proxy-port", str(settings.sandbox_port)),
        priority=SANDBOX_PRIORITY,
        log=program_log(settings, "sandbox"),
    )


def _zygote(settings: Settings, sandbox: SandboxAccess | None) -> Program:
    home = settings.paths
    hook = ("--after-load", "ecosystem.sandbox.trust:install") if sandbox is not None else ()
    merge = ("--merge-memory",) if settings.memory_merge else ()
    sweep = ("--sweep-memory",) if settings.memory_sweep else ()
    return Program(
        name="zygote",
        command=_python(
            "ecosystem.supervisord.zygote",
            *("--socket", str(home.zygote_socket)),
            *("--cache", str(home.cache)),
            *("--preload", "worker.preload:preload"),
            *("--child", "worker.boot:run"),
            *hook,
            *sweep,
            *merge,
        ),
        priority=ZYGOTE_PRIORITY,
        environment=worker_environment(settings, sandbox),
        stop_wait_s=5,
        log=program_log(settings, "zygote"),
    )


def _orchestrator(settings: Settings) -> Program:
    return Program(
        name="orchestrator",
        command=_python("orchestrator", "serve", "--home", settings.home),
        priority=ORCHESTRATOR_PRIORITY,
        stop_wait_s=20,
        log=program_log(settings, "orchestrator"),
    )


def _webhooks(settings: Settings) -> Program:
    return Program(
        name="webhooks",
        command=_python("orchestrator", "work", "--home", settings.home),
        priority=WEBHOOKS_PRIORITY,
        stop_wait_s=15,  # requests under way may end
        log=program_log(settings, "webhooks"),
    )


def _python(*arguments: str) -> tuple[str, ...]:
    # -P: the home is the working folder, and its `redis` and `postgres` are no packages.
    return (sys.executable, "-P", "-m", *arguments)


def _is_kept(name: str, *, with_network: bool) -> bool:
    if name in NETWORK_VARIABLES:
        return with_network
    return name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)


def _checkout() -> str | None:
    """The folder our packages lie in, where that is not the environment's own: a checkout that was not installed."""
    folder = str(Path(ecosystem.__file__).resolve().parent.parent)
    return None if folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} else folder

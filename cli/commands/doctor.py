"""A look at everything Zapvisor needs, each thing with what to do about it."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import resource
import shutil
import stat
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.commands.findings import FAIL, OK, WARN, Finding
from cli.commands.running import check_programs, check_server
from cli.context import Call, verb
from cli.texts import tr
from ecosystem import pages
from ecosystem.contract.errors import DomainError
from ecosystem.listening import is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ecosystem.settings import Settings

EXIT_FAILED: Final = 1
"""At least one check failed."""

PYTHON_LEAST: Final = (3, 11)
DISK_LEAST_BYTES: Final = 500 << 20
SESSION_BYTES: Final = 20 << 20
"""About what a paired session takes."""
OPEN_FILES_BASE: Final = 512
OPEN_FILES_EACH: Final = 8
"""Of the gateway: its own files, and what each session and its clients add."""
TASKS_BASE: Final = 200
TASKS_EACH: Final = 16
"""Threads of a worker at most; of everything else together."""
GROUP: Final = Path("/proc/self/cgroup")
GROUPS: Final = Path("/sys/fs/cgroup")
MERGING: Final = Path("/sys/kernel/mm/ksm/run")
MEMINFO: Final = Path("/proc/meminfo")
EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronised."""


@verb("doctor", examples=("zapvisor doctor", "zapvisor doctor --json", "zapvisor doctor --url https://fleet.example"))
def doctor(call: Call) -> int:
    """Check what Zapvisor needs, and say what to do.

    Ends with 1 when a check failed; warnings do not count.
    """
    findings: list[Finding] = []
    for finding in _checks(call):
        findings.append(finding)
        if not call.json and not (call.quiet and finding.result == OK):
            _print(call, finding)
    if call.json:
        call.screen.data(findings)
    return EXIT_FAILED if any(finding.result == FAIL for finding in findings) else 0


def _print(call: Call, finding: Finding) -> None:
    screen = call.screen
    screen.line(f"{screen.status(f'{finding.result:<4}')}  {finding.check:<12}  {finding.detail}")
    if finding.hint and finding.result != OK:
        screen.line(f"{'':<20}-> {finding.hint}")


def _checks(call: Call) -> Iterator[Finding]:
    """Every check, one after another. None of them raises."""
    if not call.is_remote:
        yield check_python()
        yield check_libmagic()
        yield check_ffmpeg()
        yield check_engine()
        settings, finding = _settings(call)
        yield finding
        if settings is not None:
            yield from check_home(settings)
            yield check_service_user(settings)
            yield from check_external(settings)
            yield check_open_files(settings)
            yield check_tasks(settings)
            yield check_memory(settings)
            if settings.prefork and settings.memory_sweep:
                yield check_sweeping()
            if settings.memory_merge:
                yield check_merging()
            yield check_ephemeral(settings)
            running = _is_running(settings)
            yield Finding(
                "instance", OK, tr("runs (pid {running})", running=running) if running else tr("does not run")
            )
            if running:
                yield from check_programs(settings)
            else:
                yield from check_ports(settings)
    yield check_clock()
    yield from check_server(call)


# --- this machine


def check_python() -> Finding:
    """The interpreter's version."""
    have = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON_LEAST:
        return Finding("python", OK, have)
    return Finding("python", FAIL, have, tr("install Python {names} or newer", names=".".join(map(str, PYTHON_LEAST))))


def check_libmagic() -> Finding:
    """The library that tells types of files; without it the WhatsApp engine cannot be loaded."""
    found = ctypes.util.find_library("magic")
    if found:
        return Finding("libmagic", OK, found)
    return Finding("libmagic", FAIL, tr("not found"), "apt-get install libmagic1")


def check_ffmpeg() -> Finding:
    """The program that converts voice messages and videos."""
    found = shutil.which("ffmpeg")
    if found:
        return Finding("ffmpeg", OK, found)
    return Finding("ffmpeg", WARN, tr("not found: no voice messages, no video thumbnails"), "apt-get install ffmpeg")


def check_engine() -> Finding:
    """Whether the WhatsApp engine is installed (it is not loaded: that would start its threads)."""
    if find_spec("neonize") is not None:
        return Finding("engine", OK, tr("neonize is installed"))
    return Finding("engine", FAIL, tr("neonize is not installed"), tr("install the locked requirements: make setup"))


def _settings(call: Call) -> tuple[Settings | None, Finding]:
    from ecosystem.settings import load

    try:
        settings = load(flags={"home": call.flagged_home})
    except DomainError as error:
        return None, Finding("settings", FAIL, error.message, error.hint)
    return settings, Finding(
        "settings",
        OK,
        tr(
            "home {home}, gateway {listen_host}:{port}",
            home=settings.home,
            listen_host=settings.listen_host,
            port=settings.port,
        ),
    )


def check_home(settings: Settings) -> Iterator[Finding]:
    """The home can be written, its secrets cannot be read by others, and there is room."""
    home = settings.paths
    existing = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "home",
            FAIL,
            tr("{existing} cannot be written", existing=existing),
            tr("set ZAPVISOR_HOME to a folder of yours"),
        )
    elif existing != home.root:
        yield Finding("home", OK, tr("{root} will be made", root=home.root))
    else:
        yield Finding("home", OK, str(home.root))
    for path in (home.admin_key, home.settings, home.gateway_key):
        mode = _mode(path)
        if mode is not None and mode & 0o077:
            yield Finding(
                "secrets",
                FAIL,
                tr("{path} can be read by others ({mode:o})", path=path, mode=mode),
                f"chmod 600 {path}",
            )
    yield from _check_storage(settings.storage)
    free = shutil.disk_usage(existing).free
    if free < DISK_LEAST_BYTES:
        yield Finding(
            "disk", WARN, tr("{free} MiB free", free=free >> 20), tr("make room: databases stop when the disk is full")
        )
    else:
        yield Finding(
            "disk", OK, tr("{free} GiB free", free=free >> 30) if free >> 30 else tr("{free} MiB free", free=free >> 20)
        )


def _check_storage(storage: Path) -> Iterator[Finding]:
    """Sessions' folders hold the keys of accounts: they are ours, and nobody else may look into them."""
    try:
        folders = [storage, *storage.glob("session_*")] if storage.is_dir() else []
    except OSError as error:
        yield Finding("sessions", FAIL, f"{storage}: {error.strerror}", tr("run this as the user who runs Zapvisor"))
        return
    for folder in folders:
        mode = _mode(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Finding(
                "sessions",
                FAIL,
                tr("{folder} cannot be written", folder=folder),
                tr("run this as the user who runs Zapvisor, or chown it"),
            )
        elif mode is not None and mode & 0o077 and folder != storage:
            yield Finding(
                "sessions",
                FAIL,
                tr("{path} can be read by others ({mode:o})", path=folder, mode=mode),
                f"chmod 700 {folder}",
            )


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def check_service_user(settings: Settings) -> Finding:
    """PostgreSQL does not run as root: started by root, the embedded one needs another user who can reach its folder."""
    from ecosystem.services import account as accounts

    if settings.database_url is not None and settings.redis_url is not None:
        return Finding("services", OK, tr("external (DATABASE_URL, REDIS_URL)"))
    try:
        account = accounts.service_account(settings)
        accounts.check_reachable(settings.paths.root, account)
    except DomainError as error:
        return Finding("services", FAIL, error.message, error.hint)
    return Finding("services", OK, tr("the embedded ones run as {name}", name=account.name))


def check_external(settings: Settings) -> Iterator[Finding]:
    """The database and the Redis that are not ours answer, and let us in."""
    from ecosystem.services import external

    asked = (
        ("database", "DATABASE_URL", settings.database_url, external.database_trouble),
        ("redis", "REDIS_URL", settings.redis_url, external.redis_trouble),
    )
    for check, field, url, ask in asked:
        if url is None:
            continue
        trouble = ask(url)
        if trouble is None:
            yield Finding(check, OK, tr("{field} answers", field=field))
        else:
            correct = tr("correct {field}", field=field)
            start = tr("start that server, or correct {field}", field=field)
            yield Finding(check, FAIL, trouble.sentence, correct if trouble.lasting else start)


def _is_running(settings: Settings) -> int | None:
    from ecosystem import instance

    return instance.running(settings.paths)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """The gateway's port is free, and enough of the workers' are."""
    taken = not is_free(settings.listen_host, settings.port)
    if taken:
        yield Finding(
            "port",
            FAIL,
            tr(
                "{listen_host}:{port} is taken or not ours to have",
                listen_host=settings.listen_host,
                port=settings.port,
            ),
            tr("set PORT"),
        )
    else:
        yield Finding(
            "port", OK, tr("{listen_host}:{port} is free", listen_host=settings.listen_host, port=settings.port)
        )
    ports = settings.ports
    busy = [port for port in ports if not is_free(settings.worker_host, port)]
    detail = tr(
        "{free} of {first}-{last} are free", free=len(ports) - len(busy), first=ports.start, last=ports.stop - 1
    )
    if len(ports) - len(busy) < settings.max_sessions:
        yield Finding("worker ports", WARN, detail, tr("set BASE_PORT to a quieter range, or raise SPARE_PORTS"))
    else:
        yield Finding("worker ports", OK, detail)


def check_open_files(settings: Settings) -> Finding:
    """As many files may be open as the gateway needs: two for each session, and those of clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OPEN_FILES_BASE + OPEN_FILES_EACH * settings.max_sessions
    have = hard if hard != resource.RLIM_INFINITY else max(soft, needed)
    detail = tr("{have} may be open, {needed} are needed", have=have, needed=needed)
    if have >= needed:
        return Finding("open files", OK, detail)
    return Finding(
        "open files", WARN, detail, tr("raise the limit (ulimit -n, or LimitNOFILE of the unit), or lower MAX_SESSIONS")
    )


def check_tasks(settings: Settings) -> Finding:
    """As many threads may exist as the workers have: systemd, containers and users have limits of their own."""
    needed = TASKS_BASE + TASKS_EACH * settings.max_sessions
    # The limit of a user does not hold for root; -1 is none.
    of_user = 0 if os.geteuid() == 0 else resource.getrlimit(resource.RLIMIT_NPROC)[1]
    have = min((number for number in (_tasks_of_group(), of_user) if number > 0), default=None)
    if have is None:
        return Finding("tasks", OK, tr("no limit; about {needed} are needed", needed=needed))
    detail = tr("{have} threads may exist, about {needed} are needed", have=have, needed=needed)
    if have >= needed:
        return Finding("tasks", OK, detail)
    return Finding(
        "tasks",
        WARN,
        detail,
        tr("raise the limit (TasksMax of the unit, --pids-limit, ulimit -u), or lower MAX_SESSIONS"),
    )


def _tasks_of_group() -> int:
    """Threads the control group of this process may have, with all groups above it; 0 where there is no limit."""
    try:
        path = GROUP.read_text(encoding="ascii").strip().rpartition("::")[2].strip("/")
    except OSError:
        return 0
    found = []
    for folder in (GROUPS / path, *(GROUPS / path).parents):
        try:
            text = (folder / "pids.max").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found, default=0)


def check_memory(settings: Settings) -> Finding:
    """There is room for as many sessions as may exist."""
    free = _available_memory()
    if free is None:
        return Finding("memory", OK, tr("nobody tells how much there is"))
    needed = settings.max_sessions * SESSION_BYTES
    detail = tr(
        "{free} MiB free; {count} sessions take about {needed} MiB",
        free=free >> 20,
        count=settings.max_sessions,
        needed=needed >> 20,
    )
    if free >= needed:
        return Finding("memory", OK, detail)
    return Finding("memory", WARN, detail, tr("lower MAX_SESSIONS, or give the machine more memory"))


def check_sweeping() -> Finding:
    """Workers can give memory back, now that they are to."""
    more = f"{pages.SAVED_BYTES / 1e6:.0f}"
    if pages.library() is not None:
        return Finding("sweeping", OK, tr("workers give back memory that is equal to the zygote's"))
    return Finding(
        "sweeping",
        WARN,
        tr("ecosystem/_pages.c was not compiled: each session takes about {more} MB more", more=more),
        tr("apt-get install gcc python3-dev, then make setup; or set MEMORY_SWEEP=false"),
    )


def check_merging() -> Finding:
    """The kernel merges equal pages, now that it is asked to."""
    try:
        runs = MERGING.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return Finding("merging", WARN, tr("this kernel merges no memory"), tr("set MEMORY_MERGE=false"))
    if runs:
        return Finding("merging", OK, tr("the kernel merges equal pages of memory"))
    return Finding(
        "merging",
        WARN,
        tr("MEMORY_MERGE is on, but the kernel merges nothing"),
        tr("as root: echo 1 > /sys/kernel/mm/ksm/run (and 2000 > /sys/kernel/mm/ksm/pages_to_scan)"),
    )


def _available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the kernel does not tell."""
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def check_ephemeral(settings: Settings) -> Finding:
    """The workers' ports are not those the kernel gives to outgoing connections: one of them could be taken any time."""
    try:
        low, high = map(int, EPHEMERAL.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return Finding("port range", OK, tr("nobody tells which ports the kernel gives away"))
    ports = settings.ports
    detail = tr(
        "workers {first}-{last}, outgoing connections {low}-{high}",
        first=ports.start,
        last=ports.stop - 1,
        low=low,
        high=high,
    )
    if ports.stop <= low or ports.start > high:
        return Finding("port range", OK, detail)
    return Finding(
        "port range",
        WARN,
        detail,
        tr("set BASE_PORT so that the workers' ports end below {low}", low=low),
    )


def check_clock() -> Finding:
    """The clock is not before this program was made, and is kept right by something."""
    built = Path(__file__).stat().st_mtime
    if time.time() < built - 86400:
        return Finding(
            "clock", FAIL, tr("it is before this program was installed"), tr("set the clock; run an NTP service")
        )
    state = _clock_state()
    if state == TIME_ERROR:
        return Finding(
            "clock", WARN, tr("nothing keeps it right"), tr("run an NTP service (chrony, systemd-timesyncd)")
        )
    return Finding("clock", OK, tr("synchronised") if state is not None else tr("plausible"))


def _clock_state() -> int | None:
    """What adjtimex(2) says of the clock, or None where it may not be asked. Reads only: `modes` is zero."""
    try:
        adjtimex: Callable[[Any], int] = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    state = adjtimex(ctypes.create_string_buffer(512))  # struct timex has 208 bytes on 64-bit Linux
    return state if state >= 0 else None

"""The instance on this machine: up and down."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.context import Call, verb
from cli.texts import tr

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from types import FrameType

    from ecosystem.home import Home
    from ecosystem.settings import Settings

STOP_TIMEOUT_S: Final = 60.0
FOLLOW_PAUSE_S: Final = 0.25
"""How often the followed log and the supervisor's life are looked at."""
EXIT_BY_SIGNAL: Final = 128
"""A shell's way to say that a signal ended a command: this plus its number."""
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked the foreground command to end. No Exception: nothing in between may take it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Signals:
    """While entered, the first INT, TERM or HUP raises Interrupted at an armed moment; later ones change nothing."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._armed = False
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Signals:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def arm(self) -> None:
        """From now on a signal interrupts; one that came already does so here."""
        self._armed = True
        if self.received is not None:
            self.disarm()
            raise Interrupted(self.received)

    def disarm(self) -> None:
        """From now on signals are only remembered: what follows must run to its end."""
        self._armed = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        if self._armed:
            self._armed = False  # one interruption is enough: the clean-up it starts is not to be interrupted
            raise Interrupted(self.received)


# --- up


@verb(
    "up",
    examples=(
        "zapvisor up                          # Ctrl-C stops everything",
        "zapvisor up --sandbox                # with a WhatsApp of its own, for trying out",
        "zapvisor up --detach",
        "zapvisor up --home ~/second --port 3500",
    ),
)
@click.option("-d", "--detach", is_flag=True, help="Go on in the background once everything is ready.")
@click.option("--sandbox", is_flag=True, help="Run against the built-in sandbox instead of WhatsApp.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the gateway (PORT).")
@click.option("--host", help="Address of the gateway (LISTEN_HOST); 127.0.0.1 unless told.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings to read instead of ./ecosystem.toml.",
)
def up(call: Call, detach: bool, sandbox: bool, port: int | None, host: str | None, config: Path | None) -> int:
    """Start Zapvisor here: services, gateway and every session that should run.

    In the foreground it shows the orchestrator's log; Ctrl-C or SIGTERM stops everything and ends with 0.
    """
    from ecosystem.settings import load

    flags = {"home": call.flagged_home, "sandbox": sandbox or None, "port": port, "listen_host": host}
    settings = load(flags=flags, config=config)
    _refuse_second(settings.paths)
    with Signals() as signals:
        return _up(call, settings, signals, detach=detach)


def _up(call: Call, settings: Settings, signals: Signals, *, detach: bool) -> int:
    from ecosystem import definition, instance

    begun = time.monotonic()

    def progress(step: str) -> None:
        call.screen.done(f"[{time.monotonic() - begun:6.2f} s] {step}")
        sys.stdout.flush()

    # Not interruptible: either nothing was started, or there is something `stop` finds.
    settings = instance.prepare(settings)
    log = definition.program_log(settings, "orchestrator")
    seen = log.stat().st_size if log.is_file() else 0
    try:
        supervisor = instance.start(settings, detach=detach)
    except BaseException:
        instance.release(settings.paths)
        raise
    ready = False
    try:
        try:
            signals.arm()
            instance.wait_ready(settings, progress, process=supervisor)
            ready = True
            _banner(call, settings, time.monotonic() - begun, detach=detach)
            return 0 if detach else _follow(call, log, seen, supervisor)
        finally:
            # One that comes at this very moment lands in the handler below: what was started is stopped in any case.
            signals.disarm()
    except Interrupted as interrupted:
        # Stopping a running instance is what the foreground's Ctrl-C is for; before that it is a start broken off.
        return 0 if ready and not detach else EXIT_BY_SIGNAL + interrupted.number
    finally:
        if not (detach and ready):
            with contextlib.suppress(OSError):  # the terminal may be what went away
                call.screen.done(tr("stopping"))
            instance.stop(settings.paths, STOP_TIMEOUT_S)


def _refuse_second(home: Home) -> None:
    """Raises AlreadyRunning, naming its address, where an instance with this home runs."""
    from cli.client import local_address
    from ecosystem import instance
    from ecosystem.contract.errors import AlreadyRunning, DomainError

    pid = instance.running(home)
    if pid is None:
        return
    try:
        where = str(local_address(home))
    except DomainError:  # it is only just coming up
        where = tr("still starting")
    raise AlreadyRunning(
        tr("Zapvisor runs already: {where} (home {root}, pid {pid})", where=where, root=home.root, pid=pid or "?"),
        hint=tr("see `zapvisor status`; `zapvisor down` stops it"),
    )


def _banner(call: Call, settings: Settings, took_s: float, *, detach: bool) -> None:
    """Where it answers, where the key lies, what to type next. Never the key itself."""
    from cli.client import local_address
    from cli.context import home_folder

    home = settings.paths
    address = str(local_address(home))
    key_file = home.admin_key if home.admin_key.is_file() and _is_generated(settings, home) else None
    screen = call.screen
    if call.json:
        screen.data(
            {
                "url": address,
                "home": str(home.root),
                "admin_key_file": str(key_file) if key_file else None,
                "sandbox": settings.sandbox,
                "took_s": round(took_s, 2),
            }
        )
        return
    if call.quiet:
        screen.line(address)
        return
    screen.done("")
    screen.done(screen.style(tr("Zapvisor is up after {took_s:.1f} s", took_s=took_s), "green", bold=True))
    pairs = [
        (tr("gateway"), address),
        (tr("admin key"), tr("in {file}", file=key_file) if key_file else tr("as ADMIN_API_KEY says")),
        (tr("home"), str(home.root)),
        ("WhatsApp", tr("the sandbox: no real phone is reached") if settings.sandbox else None),
    ]
    screen.fields(pairs)
    if was_sandboxed(settings):
        screen.note(
            tr("warning: this home was used with --sandbox; what was paired there is not paired with the real WhatsApp")
        )
    screen.done("")
    screen.done(tr("Next:"))
    if home_folder(None) != home.root:
        screen.done(f"  export ZAPVISOR_HOME={home.root}")
    for line in _next_steps(settings, address, key_file):
        screen.done(f"  {line}")
    screen.done("")
    screen.done(
        tr("`{command} down` stops it.", command=_command())
        if detach
        else tr("Ctrl-C stops everything. The orchestrator's log follows.")
    )
    sys.stdout.flush()


def was_sandboxed(settings: Settings) -> bool:
    """Whether an instance that reaches the real WhatsApp has a home the sandbox was used in."""
    folder = settings.paths.sandbox
    return not settings.sandbox and folder.is_dir() and any(folder.iterdir())


def _is_generated(settings: Settings, home: Home) -> bool:
    """Whether the key in the file is the one in force, and not left over from before ADMIN_API_KEY was set."""
    return settings.admin_api_key in {None, home.admin_key.read_text(encoding="utf-8").strip()}


def _next_steps(settings: Settings, address: str, key_file: Path | None) -> Iterator[str]:
    command = _command()
    yield f"{command} create alpha"
    if settings.sandbox:
        yield f"{command} sandbox phone add 5511912345678"
        yield f"{command} sandbox scan 5511912345678 alpha"
    else:
        yield f"{command} qr alpha"
    yield f"{command} menu"
    key = f"$(cat {key_file})" if key_file else "$ADMIN_API_KEY"
    yield f'curl -H "Authorization: Bearer {key}" {address}/sessions'


def _command() -> str:
    """What to type for `zapvisor` in this shell: its name where PATH has it, else the way it was started."""
    started = sys.argv[0]
    return "zapvisor" if shutil.which("zapvisor") or not started.endswith("zapvisor") else started


def _follow(call: Call, log: Path, seen: int, supervisor: subprocess.Popen[bytes]) -> int:
    """Shows the log until the supervisor ends; its exit code (0 when `zapvisor down` stopped it)."""
    from cli.output.loglines import readable

    tail = Tail(log, seen)
    while True:
        ended = supervisor.poll()
        for line in tail.lines():
            if call.json:
                continue  # the answer is one document
            if call.screen.terminal:
                call.screen.line(readable(line, call.screen))
            elif not call.quiet:
                click.echo(line)
        sys.stdout.flush()
        if ended is not None:
            call.screen.note(
                tr("the supervisor ended with {ended}", ended=ended) if ended else tr("Zapvisor was stopped")
            )
            return 1 if ended else 0
        time.sleep(FOLLOW_PAUSE_S)


class Tail:
    """New whole lines of a file that is written, rotated or not there yet."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._inode: int | None = None
        self._rest = b""

    def lines(self) -> list[bytes]:
        """Lines completed since the last call, without their ends."""
        try:
            with self._path.open("rb") as file:
                now = os.fstat(file.fileno())
                if self._inode not in (None, now.st_ino) or now.st_size < self._offset:
                    self._offset, self._rest = 0, b""  # rotated: what the old file got in its last moment is lost to us
                self._inode = now.st_ino
                file.seek(self._offset)
                data = file.read(1 << 20)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.rstrip(b"\r") for line in whole]


# --- down


@verb("down", examples=("zapvisor down", "zapvisor down --home ~/second"))
@click.option(
    "--timeout", type=click.FloatRange(1, 600), default=STOP_TIMEOUT_S, show_default=True, metavar="SECONDS",
    help="When to stop asking and to kill.",
)  # fmt: skip
def down(call: Call, timeout: float) -> None:
    """Stop the Zapvisor that runs here, sessions included.

    Sessions that ran run again after the next `up`. Where nothing runs, it says so and ends with 0.
    """
    from ecosystem import instance

    home = call.home
    # Also where no supervisor runs: after a crash there may be parts left.
    with call.screen.waiting(tr("stopping")):
        was_running = instance.stop(home, timeout)
    if call.json:
        call.screen.data({"home": str(home.root), "was_running": was_running})
    else:
        call.screen.done(
            tr("Zapvisor is down") if was_running else tr("Zapvisor was not running in {root}", root=home.root)
        )

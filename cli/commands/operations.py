"""PM2's further verbs: reload, flush, reset, signal, save, resurrect, startup, unstartup."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from cli.commands.session import SESSIONS, Done, chosen, report
from cli.context import Call, verb
from cli.texts import tr

if TYPE_CHECKING:
    from cli.client import Client

UNIT: Final = "zapvisor.service"
UNITS: Final = Path("/etc/systemd/system")
BOOTED: Final = Path("/run/systemd/system")
"""There where systemd runs the machine; see sd_booted(3)."""
SIGNALS: Final = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "KILL", "STOP", "CONT")
RELOAD_S: Final = 30.0
CHECK_S: Final = 60.0


class Unit(msgspec.Struct, frozen=True):
    """`startup`, `unstartup`: the unit and where it lies; `installed`: whether it is there now."""

    path: str
    installed: bool
    text: str


class Saved(msgspec.Struct, frozen=True):
    """`save`, `resurrect`: nothing needs to be done, because what is wanted is in the database at every moment."""

    sessions: int
    wanted_running: int


# --- verbs on sessions


@verb(
    "reload",
    examples=("zapvisor reload alpha", "zapvisor reload all", "zapvisor reload all --code      # after an upgrade"),
)
@SESSIONS
@click.option("--code", is_flag=True, help="Load the workers' code anew first, so that they come back with it.")
@click.option(
    "--wait",
    type=click.FloatRange(1, 60),
    default=RELOAD_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a session may take to be back.",
)
def reload(call: Call, sessions: tuple[str, ...], code: bool, wait: float) -> int:
    """Give sessions a fresh process, one after the other, without a request that fails.

    Requests to the session wait meanwhile. It stops at the first session that is not back in time.
    """
    from ecosystem.contract.errors import DomainError
    from ecosystem.contract.session import SessionView

    client = call.client
    renew = code

    def act(session: str) -> Done:
        nonlocal renew
        query = {"wait": wait, "fresh_zygote": True if renew else None}
        answer = client.post(f"/sessions/{session}/reload", query=query, wait=wait * 2)
        renew = False
        view = answer.decode(SessionView)
        return Done(f"{view.session_id}: {view.status} ({view.reason})", answer.body)

    named = chosen(client, sessions, desired="running")
    documents: list[bytes] = []
    for number, session in enumerate(named):
        try:
            done = act(session)
        except DomainError as error:
            error.session_id = error.session_id or session
            left = len(named) - number - 1
            if left and not call.json:
                call.screen.note(tr("{count} sessions after it were left as they were", count=left))
            raise
        documents.append(done.document)
        call.screen.done(done.sentence)
    if call.json:
        call.screen.data([msgspec.Raw(document) for document in documents])
    elif not named:
        call.screen.note(tr("no sessions"))
    return 0


@verb("flush", examples=("zapvisor flush alpha", "zapvisor flush all"))
@SESSIONS
def flush(call: Call, sessions: tuple[str, ...]) -> int:
    """Empty the logs of sessions, rotated parts included."""
    return _each(call, sessions, "flush", tr("log emptied"))


@verb("reset", examples=("zapvisor reset alpha", "zapvisor reset all"))
@SESSIONS
def reset(call: Call, sessions: tuple[str, ...]) -> int:
    """Start the counters of sessions from nought: restarts, messages, requests."""
    return _each(call, sessions, "reset", tr("counters start from nought"))


@verb("signal", examples=("zapvisor signal USR1 alpha", "zapvisor signal KILL alpha   # it is started again at once"))
@click.argument("signal", type=click.Choice(SIGNALS, case_sensitive=False))
@SESSIONS
def signal(call: Call, signal: str, sessions: tuple[str, ...]) -> int:
    """Send the processes of sessions a signal."""
    return _each(call, sessions, "signal", tr("{signal} sent", signal=signal.upper()), body={"signal": signal.upper()})


def _each(call: Call, sessions: tuple[str, ...], what: str, sentence: str, *, body: object = None) -> int:
    client = call.client

    def act(session: str) -> Done:
        return Done(f"{session}: {sentence}", client.post(f"/sessions/{session}/{what}", body).body)

    return report(call, chosen(client, sessions), act)


# --- save, resurrect


@verb("save", examples=("zapvisor save",))
def save(call: Call) -> None:
    """Nothing to do: what is wanted is saved at every moment.

    PM2 freezes its list and the environment with `save`. Here every create, start, stop and delete is in the database
    before it is answered, and settings are read anew at every start.
    """
    _show_saved(call, tr("nothing to save: every change is in the database already"))


@verb("resurrect", examples=("zapvisor resurrect",))
def resurrect(call: Call) -> None:
    """Nothing to do: `zapvisor up` starts every session that is wanted running."""
    _show_saved(call, tr("nothing to resurrect: what is wanted running is started by itself"))


def _show_saved(call: Call, sentence: str) -> None:
    found = _counts(call.client)
    if call.json:
        call.screen.data(found)
        return
    call.screen.done(sentence)
    call.screen.done(
        tr("{wanted} of {total} sessions are wanted running", wanted=found.wanted_running, total=found.sessions)
    )


def _counts(client: Client) -> Saved:
    from ecosystem.contract.session import SessionList

    total = client.get("/sessions", {"limit": 1}).decode(SessionList).total
    return Saved(total, client.get("/sessions", {"limit": 1, "desired": "running"}).decode(SessionList).total)


# --- startup


@verb("startup", examples=("zapvisor startup", "sudo zapvisor startup --install --home /var/lib/zapvisor"))
@click.option("--install", is_flag=True, help="Write the unit and enable it; needs root and systemd.")
@click.option("--user", help="The user it runs as; the one who calls unless told.")
def startup(call: Call, install: bool, user: str | None) -> None:
    """Show the systemd unit that starts Zapvisor with the machine, or install it."""
    from ecosystem.contract.errors import InvalidRequest

    user = user or _user()
    text, path = unit(call.home.root, user), UNITS / UNIT
    if install:
        if os.geteuid() != 0:
            raise InvalidRequest(tr("--install needs root"), hint=tr("call it with sudo"))
        _check_systemd()
        _check_program(user)
        _give_home(call.home.root, user)
        path.write_text(text, encoding="utf-8")
        _systemctl("daemon-reload")
        _systemctl("enable", UNIT)
    if call.json:
        call.screen.data(Unit(str(path), path.is_file(), text))
    elif install:
        call.screen.done(tr("{path} written and enabled; start it: systemctl start zapvisor", path=path))
    else:
        call.screen.line(text.rstrip("\n"))
        call.screen.note(tr("install it: sudo zapvisor startup --install, or put this into {path}", path=path))


@verb("unstartup", examples=("sudo zapvisor unstartup",))
def unstartup(call: Call) -> None:
    """Take away the systemd unit that starts Zapvisor with the machine; a running one goes on."""
    from ecosystem.contract.errors import InvalidRequest

    path = UNITS / UNIT
    there = path.is_file()
    text = path.read_text(encoding="utf-8") if there else ""
    if there:
        if os.geteuid() != 0:
            raise InvalidRequest(tr("{path} is root's", path=path), hint=tr("call it with sudo"))
        _check_systemd()
        _systemctl("disable", UNIT)
        path.unlink()
        _systemctl("daemon-reload")
    if call.json:
        call.screen.data(Unit(str(path), installed=False, text=text))
    else:
        call.screen.done(tr("{path} removed", path=path) if there else tr("there is no {path}", path=path))


def unit(home: Path, user: str) -> str:
    """The unit of the instance in `home`. It holds no setting and no secret: those are read at every start."""
    # To systemd `%` begins a specifier everywhere, and `$` a variable in commands.
    folder = str(home.parent).replace("%", "%%")
    command = _quoted(Path(sys.executable).with_name("zapvisor"))
    return f"""\
[Unit]
Description=Zapvisor: a fleet of WhatsApp sessions
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
User={user}
WorkingDirectory={folder}
ExecStart={command} up --home {_quoted(home)}
ExecStop={command} down --home {_quoted(home)}
KillMode=mixed
TimeoutStartSec=180
TimeoutStopSec=90
Restart=on-failure
RestartSec=5
LimitNOFILE=65536
TasksMax=infinity
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""


def _user() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"


def _quoted(path: Path) -> str:
    """A path as one word of a command in a unit."""
    text = str(path)
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(plain, written)
    return f'"{text}"'


def _check_systemd() -> None:
    """Raises InvalidRequest where systemd does not run this machine, whether or not its commands are installed."""
    from ecosystem.contract.errors import InvalidRequest

    if not BOOTED.is_dir() or shutil.which("systemctl") is None:
        raise InvalidRequest(
            tr("there is no systemd here"), hint=tr("have your service manager call `zapvisor up --home DIR`")
        )


def _give_home(home: Path, user: str) -> None:
    """Makes the home where there is none yet: the user it belongs to may not be able to. Raises InvalidRequest."""
    account = _account(user)
    if not home.exists():
        home.mkdir(mode=0o700, parents=True)
        os.chown(home, account.pw_uid, account.pw_gid)


def _account(user: str) -> pwd.struct_passwd:
    """Raises InvalidRequest where there is no such user."""
    from ecosystem.contract.errors import InvalidRequest

    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise InvalidRequest(
            tr("there is no user {user}", user=user), hint=f"useradd --system --user-group {user}"
        ) from None


def _check_program(user: str) -> None:
    """Raises InvalidRequest where the user cannot execute this program: systemd would only say 203/EXEC of it."""
    from ecosystem.contract.errors import InvalidRequest

    account, program = _account(user), Path(sys.executable).with_name("zapvisor")
    try:
        if account.pw_uid == os.getuid():
            subprocess.run([program, "--version"], check=True, capture_output=True, timeout=CHECK_S, cwd="/")
        else:
            subprocess.run(
                [program, "--version"],
                check=True,
                capture_output=True,
                timeout=CHECK_S,
                cwd="/",
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=os.getgrouplist(user, account.pw_gid),
            )
    except (OSError, subprocess.SubprocessError):
        raise InvalidRequest(
            tr("the user {user} cannot run {program}", user=user, program=program),
            hint=tr("install Zapvisor where that user may read, such as /opt/zapvisor, or name another with --user"),
        ) from None


def _systemctl(*words: str) -> None:
    from ecosystem.contract.errors import InternalError

    # Where it is differs between distributions: whoever sets this user's PATH can run anything as this user anyway.
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)  # nosec B607
    if done.returncode:
        raise InternalError(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")

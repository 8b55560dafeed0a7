"""Pairing a session with a phone: by QR code, drawn and renewed in the terminal, or by a code to type."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import click

from cli.context import Call, NumberParam, SessionParam, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from cli.client import Client
    from cli.output.screen import Screen
    from ecosystem.contract.errors import DomainError
    from ecosystem.contract.ids import PhoneNumber, SessionId
    from ecosystem.contract.session import PairingCode, QrCode, SessionView

TICK_S: Final = 1.0
"""Pause between two looks at the session."""
START_AGAIN_S: Final = 20.0
"""How long the server may take to give a session whose pairing expired its fresh process."""
REVIVAL_PAUSE_S: Final = 10.0
"""Least time between two such starts."""
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nobody has paired it by then.",
)


@verb(
    "qr",
    examples=(
        "zapvisor qr alpha",
        "zapvisor qr alpha --invert            # on a light background without colours",
        "zapvisor qr alpha --png alpha.png",
        "zapvisor qr alpha --once --text | qrencode -t ansiutf8",
    ),
)
@click.argument("session", type=SessionParam())
@click.option("--once", is_flag=True, help="Show the present code and end.")
@click.option("--text", "as_text", is_flag=True, help="Print the text to be encoded instead of a picture.")
@click.option("--png", metavar="FILE", help="Write a picture into FILE (`-`: standard output) instead.")
@click.option("--invert", is_flag=True, help="For dark text on a light background, where colours are off.")
@TIMEOUT
def qr(
    call: Call, session: SessionId, once: bool, as_text: bool, png: str | None, invert: bool, timeout: float
) -> None:
    """Show a session's QR code until a phone has scanned it.

    The picture renews in place, and pairing starts again when WhatsApp ends it. In a pipe, and with --json, the present
    code is printed and the command ends.
    """
    from cli.commands.waiting import countdown
    from cli.output.hangup import end_with_terminal
    from ecosystem.contract.errors import SessionAlreadyAuthenticated

    end_with_terminal()
    screen = call.screen
    client = call.client
    once = once or call.json or not screen.terminal
    presenter = _presenter(screen, client, session, as_text=as_text, png=png, invert=invert)
    ticks = codes(client, session, countdown(timeout), presenter.say)
    while True:
        try:
            code = next(ticks)
        except StopIteration as end:
            view: SessionView = end.value
            break
        presenter.show(code)
        if once:
            return
    presenter.clear()
    if once:
        raise SessionAlreadyAuthenticated(
            tr("{session} is paired already", session=session), session_id=session, state=str(view.status)
        )
    screen.done(tr("{session} is paired: {phone}", session=session, phone=view.phone or view.jid or "").rstrip(": "))


def codes(
    client: Client, session: str, left: Callable[[], float], say: Callable[[str], None]
) -> Generator[QrCode, None, SessionView]:
    """The code being shown, again every tick, renewals included; ends with the session once it is authenticated.

    Starts the session again when its pairing expired, and sits out moments in which the server or worker is away.
    Raises PairingTimeout when `left` is used up, and what makes pairing impossible.
    """
    from cli.commands.waiting import pause_of, view_of
    from ecosystem.contract.errors import (
        DomainError,
        PairingExpired,
        PairingNotReady,
        PairingTimeout,
        SessionAlreadyAuthenticated,
        SessionLoggedOut,
    )
    from ecosystem.contract.session import QrCode

    revival = Revival(client, session, say)
    while left():
        try:
            # Not `after_seq`: a fresh process counts from 1 again, and the text tells a renewal anyway.
            answer = client.get(f"/sessions/{session}/qr", {"format": "json", "wait": TICK_S}, wait=TICK_S)
            yield answer.decode(QrCode)
        except (PairingExpired, SessionLoggedOut):
            revival.start()
        except (PairingNotReady, SessionAlreadyAuthenticated):
            pass  # the session itself says whether that is good or bad
        except DomainError as error:
            _wait_out(error, left, pause_of(error))
            continue
        try:
            view = view_of(client, session)
        except DomainError as error:
            _wait_out(error, left, pause_of(error))
            continue
        if _is_paired(view, revival):
            return view
        time.sleep(min(TICK_S, left()))
    raise PairingTimeout(
        tr("nobody has paired {session} in time", session=session),
        session_id=session,
        hint=f"zapvisor qr {session}",
    )


def _wait_out(error: DomainError, left: Callable[[], float], pause: float) -> None:
    """Pauses after a failure that may pass; raises any other one, or this one when there is no time left."""
    if not error.retryable or not left():
        raise error
    time.sleep(min(pause, left()))


def _is_paired(view: SessionView, revival: Revival) -> bool:
    """Whether the session is logged in; starts it again where that is all it lacks. Raises when it cannot be paired now."""
    from ecosystem.contract.errors import IllegalAction, SessionStopped
    from ecosystem.contract.session import DesiredState, Reason, SessionState

    session = view.session_id
    if view.status is SessionState.AUTHENTICATED:
        return True
    if view.desired is DesiredState.STOPPED:
        raise SessionStopped(
            tr("{session} is stopped", session=session),
            session_id=session,
            hint=f"zapvisor start {session}",
        )
    if view.reason in {Reason.PAIRING_EXPIRED, Reason.LOGGED_OUT, Reason.PAIRING_FAILED}:
        revival.start()
    elif view.status is SessionState.ERROR and view.reason not in {Reason.BACKING_OFF, Reason.WORKER_LOST}:
        raise IllegalAction(
            tr("{session} cannot be paired now: {detail}", session=session, detail=view.detail or view.reason),
            session_id=session,
            state=f"{view.status} ({view.reason})",
            hint=tr(view.next_step) if view.next_step else None,
        )
    return False


class Revival:
    """Starts a session whose pairing is over again, but not over and over while the server has yet to show it."""

    def __init__(self, client: Client, session: str, say: Callable[[str], None]) -> None:
        self._client = client
        self._session = session
        self._say = say
        self._last: float | None = None

    def start(self) -> None:
        """Asks for a fresh process, unless that was done a moment ago."""
        now = time.monotonic()
        if self._last is not None and now - self._last < REVIVAL_PAUSE_S:
            return
        self._last = now
        self._say(tr("pairing {session} had ended; starting it again", session=self._session))
        self._client.post(f"/sessions/{self._session}/start", query={"wait": START_AGAIN_S}, wait=START_AGAIN_S)


# --- showing a code


class Presenter(Protocol):
    """What is done with the codes."""

    def show(self, code: QrCode) -> None:
        """Called at every tick, mostly with a code that was shown before."""

    def say(self, text: str) -> None:
        """A remark in between."""

    def clear(self) -> None:
        """There is nothing to show any more."""


def _presenter(
    screen: Screen, client: Client, session: str, *, as_text: bool, png: str | None, invert: bool
) -> Presenter:
    if png is not None:
        return _PictureFile(screen, client, session, png)
    if screen.json or as_text or not screen.terminal:
        return _Text(screen)
    return Picture(screen, invert=invert)


class _Text:
    """Prints the text of each new code, or all of it as JSON."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._shown = ""

    def show(self, code: QrCode) -> None:
        if code.text == self._shown:
            return
        self._shown = code.text
        if self._screen.json:
            self._screen.data(code)
        else:
            self._screen.line(code.text)
        sys.stdout.flush()

    def say(self, text: str) -> None:
        self._screen.note(text)

    def clear(self) -> None:
        pass


class _PictureFile:
    """Writes each new code into a file, readable by its owner only: who scans it owns the session."""

    def __init__(self, screen: Screen, client: Client, session: str, file: str) -> None:
        self._screen = screen
        self._client = client
        self._session = session
        self._file = file
        self._shown = ""

    def show(self, code: QrCode) -> None:
        if code.text == self._shown:
            return
        png = self._client.get(f"/sessions/{self._session}/qr", {"format": "png"}).body
        self._shown = code.text
        if self._file == "-":
            click.echo(png, nl=False)
            return
        path = Path(self._file)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(png)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if self._screen.json:
            self._screen.data({"session_id": self._session, "file": str(path), "expires_in_s": code.expires_in_s})
        else:
            self._screen.done(
                tr("{path} written; it holds for {expires_in_s:.0f} s", path=path, expires_in_s=code.expires_in_s)
            )

    def say(self, text: str) -> None:
        self._screen.note(text)

    def clear(self) -> None:
        """A code that was used opens nothing: the file may stay."""


class Picture:
    """Draws each new code over the last one, and again when the terminal's size changes."""

    def __init__(self, screen: Screen, *, invert: bool) -> None:
        self._screen = screen
        self._invert = invert
        self._shown: tuple[str, tuple[int, int]] | None = None
        self._height = 0

    def show(self, code: QrCode) -> None:
        size = self._screen.size
        if self._shown == (code.text, size):
            return
        self._screen.hush()  # from here on a line of progress would land in the picture
        self.clear()
        lines = self.lines(code, size)
        self._shown = (code.text, size)
        self._height = len(lines)
        # Raw: the picture brings its own colours, if any.
        click.echo("\n".join(lines), color=True)
        sys.stdout.flush()

    def lines(self, code: QrCode, size: tuple[int, int]) -> list[str]:
        """What is shown of `code` in a terminal of `size` columns and rows."""
        from cli.output.qrcode import draw

        columns, rows = size
        drawing = draw(code.text, colour=self._screen.colour, unicode=self._screen.unicode, invert=self._invert)
        help_lines = [
            tr("Scan it: WhatsApp > Linked devices > Link a device. (code {seq}; Ctrl-C leaves)", seq=code.seq)
        ]
        if drawing.columns > columns:
            return [
                tr(
                    "The picture needs {needed} columns, this terminal has {columns}.",
                    needed=drawing.columns,
                    columns=columns,
                ),
                tr("Widen it or make its letters smaller, or use --png FILE or `zapvisor pair`."),
            ]
        if len(drawing.lines) + len(help_lines) >= rows:
            needed = len(drawing.lines) + len(help_lines) + 1
            help_lines.append(
                tr(
                    "It needs {needed} rows, this terminal has {rows}: smaller letters, or `zapvisor pair`.",
                    needed=needed,
                    rows=rows,
                )
            )
        return [*drawing.lines, *(line[:columns] for line in help_lines)]

    def say(self, text: str) -> None:
        self.clear()  # a line below the picture would be taken for a part of it
        self._screen.note(text)

    def clear(self) -> None:
        if self._shown is None:
            return
        size = self._screen.size
        if self._screen.live:
            # After a change of size the terminal has wrapped the old lines anew; what scrolled out cannot be reached.
            if self._shown[1] != size or self._height >= size[1]:
                click.echo("\x1b[2J\x1b[H", nl=False, color=True)
            else:
                click.echo(f"\x1b[{self._height}F\x1b[J", nl=False, color=True)
        self._shown = None


# --- pairing by code


@verb("pair", examples=('zapvisor pair alpha "+55 11 91234-5678"', "zapvisor pair alpha 5511912345678 --no-wait"))
@click.argument("session", type=SessionParam())
@click.argument("phone", type=NumberParam())
@click.option("--no-wait", is_flag=True, help="Print the code and end.")
@TIMEOUT
def pair(call: Call, session: SessionId, phone: PhoneNumber, no_wait: bool, timeout: float) -> None:
    """Pair a session with a code to type on the phone.

    Prints the code and waits until the session is logged in. With --json it does not wait.
    """
    from cli.commands.waiting import countdown
    from cli.output.hangup import end_with_terminal

    end_with_terminal()
    screen = call.screen
    client = call.client
    left = countdown(timeout)
    answer, code = _ask_for_code(client, session, phone, left, screen.note)
    if call.json:
        screen.data(answer)
        return
    screen.line(code.code if call.quiet or not screen.terminal else screen.style(code.code, bold=True))
    sys.stdout.flush()
    screen.note(tr("On the phone: WhatsApp > Linked devices > Link a device > Link with phone number instead."))
    if no_wait:
        return
    view = _until_paired(client, session, countdown(min(left(), code.expires_in_s)))
    screen.done(tr("{session} is paired: {phone}", session=session, phone=view.phone or view.jid or phone))


def _ask_for_code(
    client: Client, session: str, phone: str, left: Callable[[], float], say: Callable[[str], None]
) -> tuple[bytes, PairingCode]:
    """A pairing code, as soon as the session can have one."""
    from cli.commands.waiting import pause_of, view_of
    from ecosystem.contract.errors import (
        DomainError,
        PairingExpired,
        PairingNotReady,
        SessionAlreadyAuthenticated,
        SessionLoggedOut,
    )
    from ecosystem.contract.session import PairingCode, PairPhone

    revival = Revival(client, session, say)
    while True:
        try:
            answer = client.post(f"/sessions/{session}/pairphone", PairPhone(phone))
        except (PairingExpired, SessionLoggedOut):
            if not left():
                raise
            revival.start()
        except PairingNotReady as error:
            if not left():
                raise
            if _is_paired(view_of(client, session), revival):
                raise SessionAlreadyAuthenticated(
                    tr("{session} is paired already", session=session), session_id=session
                ) from error
        except DomainError as error:
            _wait_out(error, left, pause_of(error))
            continue
        else:
            return answer.body, answer.decode(PairingCode)
        time.sleep(min(TICK_S, left()))


def _until_paired(client: Client, session: str, left: Callable[[], float]) -> SessionView:
    """The session once it is logged in. Raises PairingTimeout, or PairingExpired where WhatsApp ended it."""
    from cli.commands.waiting import pause_of, view_of
    from ecosystem.contract.errors import DomainError, PairingExpired, PairingTimeout
    from ecosystem.contract.session import Reason, SessionState

    again = tr("for a new code: zapvisor pair {session} PHONE", session=session)
    while left():
        try:
            view = view_of(client, session)
        except DomainError as error:
            _wait_out(error, left, pause_of(error))
            continue
        if view.status is SessionState.AUTHENTICATED:
            return view
        if view.reason in {Reason.PAIRING_EXPIRED, Reason.PAIRING_FAILED}:
            raise PairingExpired(view.detail or tr("the time for pairing is over"), session_id=session, hint=again)
        time.sleep(min(TICK_S, left()))
    raise PairingTimeout(
        tr("nobody has typed the code of {session} in time", session=session), session_id=session, hint=again
    )

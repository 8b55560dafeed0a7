"""Pairing: the QR code drawn and renewed in place, or a code to type; followed until the session is logged in."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from cli.client import segment
from cli.commands.pairing import codes
from cli.commands.waiting import pause_of
from cli.menu.actions import act
from cli.menu.forms import Field, Form, Page
from cli.menu.picture import picture
from cli.monit.app import STATE_COLOURS, LiveScreen, sentence
from cli.texts import tr
from ecosystem.contract.errors import DomainError, PairingNotReady, SessionStopped
from ecosystem.contract.session import PairingCode, PairPhone, QrCode, SessionState, SessionView

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.client import Client
    from cli.monit.board import Report

CODE_WAIT_S: Final = 60.0
"""How long a session may take until it can have a pairing code."""
PANEL_COLUMNS: Final = 30


class Pairing(LiveScreen):
    """The QR code of one session. `key`: its new API key, shown this once."""

    DEFAULT_CSS = """
    Pairing #split { height: 1fr; }
    Pairing #code { width: auto; height: auto; }
    Pairing #panel { width: 1fr; height: 100%; padding: 0 1 0 2; }
    Pairing #panel Static { height: auto; margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", tr("Back")),
        Binding("enter", "done", show=False),
        Binding("c", "code", tr("Code instead")),
        Binding("r", "again", tr("QR code again")),
        Binding("s", "start", tr("Start")),
    ]

    def __init__(self, session: str, *, key: str | None = None, phone: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("Pair {session}", session=session)
        self._session = session
        self._key = key
        self._phone = phone
        self._code: QrCode | PairingCode | None = None
        self._until = 0.0
        self._remark = ""
        self._small = False
        self._problem: DomainError | None = None
        self._stop = threading.Event()

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            yield Static(id="code")
            with VerticalScroll(id="panel"):
                yield Static(id="state")
                yield Static(id="how")
                yield Static(id="remark")
                yield Static(id="key")

    def ready(self) -> None:
        self.set_interval(1.0, self.draw)
        if self._phone is not None:
            self._ask_for_code(self._phone)
        else:
            self.action_again()
        self.draw()

    def on_unmount(self) -> None:
        self._stop.set()

    def resized(self) -> None:
        self.draw()

    def told(self, report: Report) -> None:  # noqa: ARG002 -- every report may change it
        self.draw()

    # --- what is shown

    @property
    def _view(self) -> SessionView | None:
        return self.live.board.sessions.get(self._session)

    def draw(self) -> None:
        """Shows the code and how far pairing has come."""
        view = self._view
        paired = view is not None and view.status is SessionState.AUTHENTICATED
        if paired:
            self._stop.set()
        self.query_one("#code", Static).update(Text("") if paired else self._drawn())
        self.query_one("#code", Static).display = not paired and self._code is not None
        self.query_one("#state", Static).update(self._state(view, paired=paired))
        self.query_one("#how", Static).update("" if paired else self._how())
        problem = self._said(self._problem) if self._problem is not None and not paired else self._remark
        self.query_one("#remark", Static).update(Text("" if paired else problem, style="bold"))
        key = tr("The session's API key, which is not shown again:") + f"\n{self._key}" if self._key else ""
        self.query_one("#key", Static).update(Text(key))

    def _said(self, problem: DomainError) -> str:
        if isinstance(problem, SessionStopped):
            return tr("{session} is stopped.\nPress s to start it.", session=self._session)
        return sentence(problem)

    def _drawn(self) -> Text:
        code = self._code
        if isinstance(code, PairingCode):
            return Text(f"\n    {'   '.join(code.code)}    \n", style="bold reverse")
        if code is None:
            return Text("")
        room = self.query_one("#split").size
        drawn = picture(
            code.text,
            max(0, room.width - PANEL_COLUMNS // 2),
            room.height,
            colour=not self.app.no_color,
            unicode=self.live.unicode,
        )
        if drawn is None:
            self._small = False
            return Text(tr("The picture does not fit:\nmake the window larger,\nor press c for a code."), style="bold")
        self._small = drawn.small
        return drawn.text()

    def action_done(self) -> None:
        """Leaves, once there is nothing left to do here."""
        view = self.live.board.sessions.get(self._session)
        if view is not None and view.status is SessionState.AUTHENTICATED:
            self.dismiss()

    def _state(self, view: SessionView | None, *, paired: bool) -> Text:
        if view is None:
            return Text(tr("Waiting for the session …"))
        text = Text.assemble((str(view.status), STATE_COLOURS.get(str(view.status), "")), f" ({view.reason})")
        if paired:
            text.append("\n\n" + tr("Paired with {phone}.", phone=view.phone or view.jid or "?"), style="bold green")
            text.append("\n\n" + tr("Enter goes back."))
        elif view.detail:
            text.append(f"\n{view.detail}")
        return text

    def _how(self) -> str:
        code = self._code
        if code is None:
            return tr("Waiting for the code …") if self._problem is None else ""
        left = max(0, math.ceil(self._until - time.monotonic()))
        if isinstance(code, PairingCode):
            return tr(
                "On the phone: WhatsApp > Linked devices > Link a device > Link with phone number instead, and type"
                " this code.\n\nIt holds for {seconds} s.",
                seconds=left,
            )
        text = tr(
            "Scan it: WhatsApp > Linked devices > Link a device.\n\nCode {number}, renewed in {seconds} s.",
            number=code.seq,
            seconds=left,
        )
        smaller = tr("The phone cannot read it? A larger window draws it larger; c asks for a code to type instead.")
        return f"{text}\n\n{smaller}" if self._small else text

    # --- following the code, in a thread

    def action_again(self) -> None:
        """Follows the QR code, from the start."""
        self._begin()
        stop, client, session = self._stop, self.live.client, self._session
        self.ask(lambda: self._follow(client, session, stop), self._ended, self._failed, group="code", exclusive=True)

    def action_start(self) -> None:
        """Starts the session, which a stopped one needs before it can be paired."""
        act(self, "start", [self._session], then=self.action_again)

    def _begin(self) -> None:
        self._stop.set()
        self._stop = threading.Event()
        self._code, self._problem, self._remark = None, None, ""
        self.draw()

    def _follow(self, client: Client, session: str, stop: threading.Event) -> SessionView | None:
        """In a thread: every code as it comes, until the session is paired or `stop` is set."""

        def left() -> float:
            return 0.0 if stop.is_set() else math.inf

        ticks = codes(client, session, left, lambda text: self._from_thread(stop, text))
        while not stop.is_set():
            try:
                code = next(ticks)
            except StopIteration as end:
                view: SessionView = end.value
                return view
            except DomainError:
                if stop.is_set():
                    return None
                raise
            self._from_thread(stop, code)
        return None

    def _from_thread(self, stop: threading.Event, what: QrCode | str) -> None:
        if not stop.is_set() and self.is_running:
            self.app.call_later(self._take, stop, what)

    def _take(self, stop: threading.Event, what: QrCode | str) -> None:
        if stop.is_set() or not self.is_attached:
            return
        if isinstance(what, str):
            self._remark = what
        else:
            self._remark = ""
            self._set(what)
        self.draw()

    def _set(self, code: QrCode | PairingCode) -> None:
        before = self._code
        if before is None or code != before:
            self._code = code
            self._until = time.monotonic() + code.expires_in_s

    def _ended(self, _: SessionView | None) -> None:
        self.live.poke(self._session)
        self.draw()

    def _failed(self, error: DomainError) -> None:
        self._code, self._problem = None, error
        self.draw()

    # --- a code to type

    def action_code(self) -> None:
        """Asks for the number, then for a code."""
        field = Field(
            "phone", tr("Phone number"), hint=tr("with country code, such as +55 11 91234-5678"), required=True
        )

        def send(values: dict[str, Any]) -> str:
            return parsed_phone(values["phone"])

        self.app.push_screen(
            Form(
                tr("Pair {session}", session=self._session),
                [Page("", (field,), tr("WhatsApp shows a question on this phone and asks for a code."))],
                send,
                self._ask_for_code,
                button=tr("Ask for a code"),
            )
        )

    def _ask_for_code(self, phone: str) -> None:
        self._begin()
        stop, client, session = self._stop, self.live.client, self._session
        self.ask(
            lambda: pairing_code(client, session, phone, stop), self._got, self._failed, group="code", exclusive=True
        )

    def _got(self, code: PairingCode | None) -> None:
        if code is not None:
            self._set(code)
            self.draw()


def parsed_phone(text: str) -> str:
    """A number as the API takes it. Raises InvalidRequest naming the field."""
    from ecosystem.contract.ids import parse_phone

    return parse_phone(text, field="phone")


def pairing_code(client: Client, session: str, phone: str, stop: threading.Event) -> PairingCode | None:
    """A code to type, as soon as the session can have one; None once `stop` is set. Raises DomainError."""
    end = time.monotonic() + CODE_WAIT_S
    while not stop.is_set():
        try:
            return client.post(f"/sessions/{segment(session)}/pairphone", PairPhone(phone)).decode(PairingCode)
        except DomainError as error:
            if time.monotonic() > end or not (error.retryable or isinstance(error, PairingNotReady)):
                raise
            stop.wait(pause_of(error))
    return None

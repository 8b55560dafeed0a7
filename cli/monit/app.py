"""The application every full-screen view runs in: the board and its threads, the banner, the ways out, a clean terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from cli.monit.background import in_thread
from cli.monit.board import Board, Happened
from cli.monit.live import FIGURES_S, Live
from cli.monit.ways_out import WaysOut
from cli.output.hangup import end_with_terminal
from cli.output.problems import hint_of, message_of
from cli.output.screen import clean, speaks_unicode
from cli.texts import tr
from ecosystem.contract.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.client import Client
    from cli.monit.board import Report
    from ecosystem.contract.webhook import WebhookPayload

INTERRUPTED: Final = 130
"""Ended by Ctrl-C: 128 + SIGINT, as a shell counts."""
RECENT_EVENTS: Final = 200
STATE_COLOURS: Final = {
    "authenticated": "green",
    "connected": "yellow",
    "connecting": "yellow",
    "disconnected": "bright_black",
    "error": "red",
}


class Told(Message):
    """A report of one of the threads."""

    bubble = False

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


class Banner(Static):
    """Says that the server is away, and nothing else."""

    DEFAULT_CSS = """
    Banner { height: auto; max-height: 3; display: none; background: $error; color: $text; text-style: bold; padding: 0 1; }
    Banner.away { display: block; }
    """

    def tell(self, error: DomainError | None) -> None:
        """Shows why there is no answer, or goes away."""
        self.set_class(error is not None, "away")
        if error is not None:
            message = clean(error.message.splitlines()[0] if error.message else error.code)
            self.update(Text(f"{tr('Trying again.')} ({message})"))


class TitleBar(Static):
    """The first line: where one is, and which server it is."""

    DEFAULT_CSS = """
    TitleBar { height: 1; background: $primary; color: $text; text-style: bold; padding: 0 1; }
    TitleBar:ansi { background: ansi_default; color: ansi_default; text-style: reverse bold; }
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def render(self) -> Text:
        app = self.app
        left = f"Zapvisor  {self._title}"
        right = app.whereabouts if isinstance(app, LiveApp) else ""
        room = self.size.width
        gap = room - len(left) - len(right)
        line = f"{left}{' ' * gap}{right}" if gap > 1 else left
        return Text(line[: max(0, room)], no_wrap=True, overflow="ellipsis")


class LiveScreen(Screen[Any]):
    """A full screen of the application: title, banner, body, key hints. `told` is called for each report."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", tr("Back")),
        Binding("question_mark", "help", tr("Help"), key_display="?"),
    ]
    title_text = ""
    prepared = False
    """Whether the widgets are there: reports and changes of size may come before."""

    def compose(self) -> ComposeResult:
        yield TitleBar(self.title_text)
        yield Banner()
        yield from self.body()
        yield Footer(show_command_palette=False)

    def body(self) -> ComposeResult:
        """What is between the title and the hints."""
        yield from ()

    def on_mount(self) -> None:
        self.query_one(Banner).tell(self.live.board.error)
        self.prepared = True
        self.ready()

    def on_resize(self) -> None:
        if self.prepared:
            self.resized()

    def resized(self) -> None:
        """Called when the window has another size; also once at the start."""

    def ready(self) -> None:
        """Called once the widgets are there."""

    def told(self, report: Report) -> None:
        """Called after the board took `report` in, also while another screen is in front."""

    @property
    def live(self) -> LiveApp:
        """The application, with its board and client."""
        return cast("LiveApp", self.app)

    def action_back(self) -> None:
        self.dismiss()

    def action_help(self) -> None:
        self.live.show_help(self)

    def ask(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], Any] | None = None,
        failed: Callable[[DomainError], Any] | None = None,
        *,
        group: str = "ask",
        exclusive: bool = False,
    ) -> None:
        """Does `work` in a thread; then calls `then` with its result, or `failed` (else a notice) with its DomainError.

        Neither is called when the screen has been left meanwhile. `exclusive`: an earlier one of the group is dropped.
        """

        async def run() -> None:
            try:
                result = await in_thread(work)
            except DomainError as error:
                if self.is_attached:
                    (failed or self.complain)(error)
            else:
                if then is not None and self.is_attached:
                    done = then(result)
                    if isinstance(done, asyncio.Future) or hasattr(done, "__await__"):
                        awaitable: Awaitable[Any] = done
                        await awaitable

        self.run_worker(run(), group=group, exclusive=exclusive)

    def complain(self, error: DomainError) -> None:
        """Tells of a failure in a notice."""
        self.app.notify(sentence(error), severity="error", timeout=10, markup=False)


def sentence(error: DomainError) -> str:
    """A failure for people: what happened and what to do next."""
    text, hint = clean(message_of(error)) or error.code, hint_of(error)
    return f"{text}\n{clean(hint)}" if hint else text


class LiveApp(App[int]):
    """Holds the board; every way out leaves the terminal as it was. `run` gives the exit code by `code`."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", f"leave({INTERRUPTED})", show=False, priority=True, system=True),
        Binding("ctrl+q", "leave(0)", show=False, priority=True, system=True),
        Binding("ctrl+z", "suspend_process", show=False),
    ]
    figures_s = FIGURES_S

    def __init__(self, client: Client) -> None:
        self.unicode = speaks_unicode(sys.stdout)
        # Without colours the terminal's own are used, which the library then takes out.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.client = client
        self.board = Board()
        self.recent: deque[WebhookPayload] = deque(maxlen=RECENT_EVENTS)
        """The last events of every session, oldest first."""
        self.watch_server = Live(client, self._post, figures_s=self.figures_s)
        self._ways_out: WaysOut | None = None

    def on_mount(self) -> None:
        if self._ways_out is not None:
            self._ways_out.open(asyncio.get_running_loop(), self.action_leave)
        self.watch_server.start()
        self.begin()

    def begin(self) -> None:
        """Shows the first screen."""

    def on_unmount(self) -> None:
        self.watch_server.stop()

    def _post(self, report: Report) -> None:
        """Called from the threads."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.post_message(Told(report))

    def on_told(self, message: Told) -> None:
        """Takes a report in and lets every open screen know."""
        self.board.take(message.report)
        if isinstance(message.report, Happened):
            self.recent.append(message.report.event)
        for screen in self.screen_stack:
            for banner in screen.query(Banner):
                banner.tell(self.board.error)
            for bar in screen.query(TitleBar):
                bar.refresh()
            if isinstance(screen, LiveScreen) and screen.prepared:
                screen.told(message.report)

    @property
    def whereabouts(self) -> str:
        """Which server this is, and how news of it come."""
        if self.board.error is not None:
            link = tr("away")
        elif self.board.live:
            link = tr("live")
        else:
            link = tr("asking")
        return f"{self.client.address} · {link}"

    def poke(self, *sessions: str) -> None:
        """Looks at these sessions (or everything) now."""
        self.watch_server.poke(sessions)

    def action_leave(self, code: int = 0) -> None:
        """Ends with the exit code `code`."""
        self.exit(code)

    def show_help(self, screen: Screen[Any]) -> None:
        """Shows every key of `screen`."""
        from cli.monit.help import Help

        self.push_screen(Help(keys_of(screen)))

    def code(self) -> int:
        """Runs until somebody leaves or the terminal is gone; the exit code. Call it in the main thread."""
        end_with_terminal()
        self._ways_out = WaysOut()
        value = self.run()
        return self.return_code or value or 0


def keys_of(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Keys that do something on `screen` and have a name, each with it."""
    found: dict[str, list[str]] = {}
    for binding in screen._bindings.key_to_bindings.values():
        for one in binding:
            if one.description and one.key not in {"tab", "shift+tab"} and "copy" not in one.action:
                found.setdefault(one.description, []).append(shown_key(one))
    return [(" ".join(dict.fromkeys(keys)), description) for description, keys in found.items()]


def shown_key(binding: Binding) -> str:
    """A key as people write it."""
    names = {"escape": "esc", "question_mark": "?", "slash": "/", "colon": ":", "space": "space"}
    return binding.key_display or names.get(binding.key, binding.key)

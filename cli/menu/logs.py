"""Logs, live: of one session, of all, or of a program."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input, RichLog, Static

from cli.client import segment
from cli.commands.tails import Tail
from cli.menu.inputs import Line
from cli.monit.app import LiveScreen
from cli.output.loglines import readable, written_at
from cli.output.screen import Screen as Colours
from cli.output.screen import clean
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.app import LiveApp

KEPT: Final = 5000
"""Lines a screen remembers."""
TAIL: Final = 200
"""Lines of each log it begins with; fewer of each where there are many."""
SESSIONS_MOST: Final = 50
"""Logs followed at once."""
SOURCE_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


class Arrived(Message):
    """There are lines to take."""

    bubble = False


class Log(RichLog):
    """Lines that wrap anew when the window changes its size."""


class Logs(LiveScreen):
    """Lines of several sources as they come; `/` keeps to those with some text, space holds the picture still."""

    DEFAULT_CSS = """
    Logs RichLog { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; background: $background; }
    Logs #note { height: auto; padding: 0 1; color: $text-muted; display: none; }
    Logs Input { display: none; }
    Logs Input.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave_search", tr("Back")),
        Binding("slash", "search", tr("Search"), key_display="/"),
        Binding("space", "hold", tr("Hold")),
        Binding("c", "clear", tr("Clear")),
        Binding("G,end", "bottom", tr("To the end"), key_display="G end", show=False),
    ]

    def __init__(self, title: str, sources: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.title_text = title
        self._sources = sources
        self._order: deque[tuple[float, str, bytes]] = deque(maxlen=KEPT)
        """When, by whom and what."""
        self._latest: dict[str, float] = {}
        self._held = False
        self._search = ""
        self._tail: Tail | None = None
        self._width = 0

    def body(self) -> ComposeResult:
        yield Line(placeholder=tr("lines with this text"), compact=True)
        yield Log(max_lines=KEPT, wrap=True, markup=False, highlight=False, min_width=1)
        yield Static(id="note")

    def ready(self) -> None:
        self.query_one(Log).focus()
        self._tail = Tail(self.live.client, self._notify)
        each = max(5, TAIL // max(1, len(self._sources)))
        for source, path in self._sources:
            self._tail.follow(source, path, {"tail": each, "follow": True})
        if not self._sources:
            self._say(tr("There are no sessions."))

    def _notify(self) -> None:
        """Called from a thread."""
        self.post_message(Arrived())

    def on_unmount(self) -> None:
        if self._tail is not None:
            self._tail.stop()

    def on_arrived(self) -> None:
        if self._tail is None:
            return
        fresh = self._tail.take()
        if self._take(fresh) and not self._held:
            self._again()
        elif not self._held:
            self._write(fresh)
        problem = self._tail.problem
        held = tr("Held; space goes on.") if self._held else ""
        self._say(f"{problem.message} {tr('Trying again.')}" if problem is not None else held)

    def _take(self, fresh: Sequence[tuple[str, bytes]]) -> bool:
        """Keeps new lines in the order they were written, which is not that of their arrival; whether old ones moved."""
        moved = False
        for source, raw in fresh:
            # What bears no time belongs to the line before it.
            at = self._latest[source] = max(self._latest.get(source, 0.0), written_at(raw))
            moved = moved or bool(self._order and at < self._order[-1][0])
            self._order.append((at, source, raw))
        if moved:
            self._order = deque(sorted(self._order, key=lambda entry: entry[0]), maxlen=KEPT)
        return moved

    def _say(self, text: str) -> None:
        note = self.query_one("#note", Static)
        note.update(Text(clean(text)))
        note.display = bool(text)

    def resized(self) -> None:
        width = self.size.width
        if width != self._width:
            self._width = width
            self.call_after_refresh(self._again)

    def _again(self) -> None:
        """Draws all of it anew, for another width or another search."""
        self.query_one(Log).clear()
        self._write([(source, raw) for _, source, raw in self._order])

    def _write(self, lines: Sequence[tuple[str, bytes]]) -> None:
        log = self.query_one(Log)
        search = self._search.lower().encode()
        for source, raw in lines:
            if search and search not in raw.lower() and search not in source.lower().encode():
                continue
            log.write(self._line(source, raw))

    def _line(self, source: str, raw: bytes) -> Text:
        colours = Colours(json=False, quiet=False, terminal=True, colour=not self.app.no_color, unicode=True)
        text = Text.from_ansi(readable(raw, colours))
        if len(self._sources) > 1:
            places = [name for name, _ in self._sources]
            colour = SOURCE_COLOURS[places.index(source) % len(SOURCE_COLOURS)]
            width = min(16, max(map(len, places)))
            text = Text.assemble((f"{source[:width]:<{width}} ", colour), text)
        return text

    # --- keys

    def action_search(self) -> None:
        search = self.query_one(Input)
        search.add_class("open")
        search.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search = event.value
        self._again()

    def on_input_submitted(self) -> None:
        self.query_one(Log).focus()

    def action_leave_search(self) -> None:
        search = self.query_one(Input)
        if search.has_class("open"):
            search.value = ""
            search.remove_class("open")
            self.query_one(Log).focus()
        else:
            self.dismiss()

    def action_hold(self) -> None:
        self._held = not self._held
        self._say(tr("Held; space goes on.") if self._held else "")
        if not self._held:
            self._again()

    def action_clear(self) -> None:
        self._order.clear()
        self.query_one(Log).clear()

    def action_bottom(self) -> None:
        self.query_one(Log).scroll_end(animate=False)


def session_logs(_: LiveApp, session: str) -> Logs:
    """The log of one session."""
    return Logs(tr("Log of {name}", name=session), [(session, f"/sessions/{segment(session)}/logs")])


def all_logs(app: LiveApp, _: str | None) -> Logs:
    """The logs of every session, each line with its session; where there are too many, of those that run."""
    views = sorted(app.board.listed(), key=lambda view: view.pid is None)
    names = [view.session_id for view in views[:SESSIONS_MOST]]
    title = tr("Logs of all sessions")
    if len(names) < len(views):
        title = tr("Logs of {shown} of {total} sessions", shown=len(names), total=len(views))
    return Logs(title, [(name, f"/sessions/{segment(name)}/logs") for name in names])


def program_logs(_: LiveApp, program: str) -> Logs:
    """The log of one program of the instance."""
    return Logs(tr("Log of {name}", name=program), [(program, f"/programs/{segment(program)}/logs")])

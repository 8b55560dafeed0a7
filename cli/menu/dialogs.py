"""Small windows in front of a screen: a choice by key, a question, a text to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, OptionList, Static
from textual.widgets.option_list import Option

from cli.menu.inputs import Tick
from cli.output.screen import clean
from cli.texts import language, tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

_YES: Final = "y,s" if language() == "pt" else "y"
"""What says yes: its first letter."""
WINDOW_CSS: Final = """
    {name} {{ align: center middle; }}
    {name} > .window {{
        width: auto; min-width: 36; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }}
    {name} .title {{ text-style: bold; height: auto; width: auto; max-width: 100%; }}
    {name} .hint {{ color: $text-muted; height: auto; width: auto; max-width: 100%; }}
"""


class Choice(ModalScreen[str | None]):
    """One of several, by arrows and enter, by its key, or with the mouse. None: nothing was chosen."""

    DEFAULT_CSS = (
        WINDOW_CSS.format(name="Choice")
        + """
    Choice OptionList { width: auto; min-width: 32; max-width: 100%; height: auto; max-height: 18;
        border: none; padding: 0; background: $surface; }
    Choice OptionList:nocolor > .option-list--option-highlighted { text-style: reverse; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", show=False)]

    def __init__(self, title: str, options: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._options = options

    def compose(self) -> ComposeResult:
        with Vertical(classes="window"):
            yield Static(Text(clean(self._title)), classes="title")
            yield OptionList(
                *(
                    Option(Text.assemble((f"{key:>2}", "bold"), f"  {label}"), id=f"k-{ord(key)}")
                    for key, label in self._options
                ),
                compact=True,
            )
            yield Static(tr("number or letter, or ↑ ↓ and enter; esc: back"), classes="hint")

    def on_key(self, event: events.Key) -> None:
        character = event.character
        if character is not None and any(key == character for key, _ in self._options):
            event.stop()
            self.dismiss(character)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._options[event.option_index][0])


class Answer(ModalScreen[tuple[bool, bool]]):
    """A question to be answered with y or n, and perhaps one box to tick: (yes, ticked)."""

    DEFAULT_CSS = (
        WINDOW_CSS.format(name="Answer") + "Answer .window { width: 64; } Answer Checkbox { border: none; padding: 0; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(_YES, "yes", show=False),
        Binding("n,escape", "no", show=False),
        Binding("space", "tick", show=False),
    ]

    def __init__(self, question: str, *, box: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._box = box

    def compose(self) -> ComposeResult:
        with Vertical(classes="window"):
            yield Static(Text(clean(self._question)), classes="title")
            if self._box is not None:
                yield Tick(self._box, compact=True)
            yield Static("")
            yield OptionList(Option(tr("y  Yes"), id="yes"), Option(tr("n  No"), id="no"), compact=True)
            if self._box is not None:
                yield Static(tr("space ticks the box; y or n answers"), classes="hint")

    def on_mount(self) -> None:
        answers = self.query_one(OptionList)
        answers.highlighted = 1  # enter alone destroys nothing
        answers.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._end(event.option_id == "yes")

    def action_yes(self) -> None:
        self._end(True)

    def action_no(self) -> None:
        self._end(False)

    def action_tick(self) -> None:
        """From anywhere in the window, without going to the box first."""
        for box in self.query(Checkbox):
            box.toggle()

    def _end(self, yes: bool) -> None:
        ticked = any(box.value for box in self.query(Checkbox))
        self.dismiss((yes, ticked))


class Reading(ModalScreen[None]):
    """A text to read, such as a key that is shown this once."""

    DEFAULT_CSS = WINDOW_CSS.format(name="Reading") + "Reading .window { width: 76; } Reading #text { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", show=False)]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="window"):
            yield Static(Text(clean(self._title)), classes="title")
            yield Static("")
            yield Static(Text(clean(self._text)), id="text")
            yield Static("")
            yield Static(tr("enter or esc closes this"), classes="hint")

"""Forms: pages of fields, filled in with the keyboard alone, sent in the background, mistakes shown where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from rich.text import Text
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Checkbox, Input, Select, Static

from cli.menu.inputs import Line, Tick
from cli.monit.app import LiveScreen, sentence
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widget import Widget

    from ecosystem.contract.errors import DomainError

Values = dict[str, Any]


class Field(msgspec.Struct, frozen=True):
    """One value. `kind`: text, secret, flag, or choice of `choices` (value, shown). `hint` stands below it."""

    name: str
    label: str
    kind: str = "text"
    value: str | bool = ""
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False


class Page(msgspec.Struct, frozen=True):
    """Fields shown together. `note` stands above them; `check` raises a DomainError when its values are no good."""

    title: str
    fields: tuple[Field, ...]
    note: str = ""
    check: Any = None


class Form(LiveScreen):
    """Pages of fields. `send` gets all values in a thread; `done` its result. Enter goes on, Esc back."""

    DEFAULT_CSS = """
    Form #page { height: 1fr; padding: 1 2 0 2; }
    Form .row { height: 1; width: 100%; }
    Form .label { width: 18; height: 1; text-style: bold; }
    Form .row Input, Form .row Select, Form .row Checkbox { width: 1fr; max-width: 70; }
    Form .row Checkbox { border: none; padding: 0; height: 1; }
    Form .hint { color: $text-muted; height: auto; padding: 0 0 1 18; max-width: 90; }
    Form .note { height: auto; padding: 0 0 1 0; max-width: 90; }
    Form #problem { height: auto; max-height: 5; padding: 0 2; color: $error; text-style: bold; }
    Form #buttons { height: 1; padding: 0 2; margin: 0 0 1 0; }
    Form #buttons Button { margin: 0 2 0 0; }
    Form .row Input, Form .row Checkbox, Form .row Select { background: $panel; }
    Form .row Input:focus { background: $primary-muted; }
    Form Input:nocolor { text-style: underline; }
    Form Input:nocolor:focus { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", tr("Back")),
        Binding("ctrl+s", "send", tr("Finish"), priority=True),
    ]

    def __init__(
        self,
        title: str,
        pages: Sequence[Page],
        send: Callable[[Values], Any],
        done: Callable[[Any], Any],
        *,
        button: str | None = None,
    ) -> None:
        super().__init__()
        self.title_text = title
        self._pages = tuple(pages)
        self._send = send
        self._done = done
        self._button = button or tr("Save")
        self._at = 0
        self._values: Values = {field.name: field.value for page in pages for field in page.fields}
        self._sending = False

    def body(self) -> ComposeResult:
        yield VerticalScroll(id="page", can_focus=False)
        yield Static(id="problem")
        with Horizontal(id="buttons"):
            yield Button("", id="go", variant="primary", compact=True)
            yield Button(tr("Back"), id="back", compact=True)

    def ready(self) -> None:
        self.call_later(self._show)

    async def _show(self) -> None:
        """Draws the page one is on."""
        page = self._pages[self._at]
        holder = self.query_one("#page", VerticalScroll)
        await holder.remove_children()
        widgets: list[Widget] = []
        if len(self._pages) > 1:
            where = tr(
                "Step {number} of {count}: {title}", number=self._at + 1, count=len(self._pages), title=page.title
            )
            widgets.append(Static(Text(where, style="bold"), classes="note"))
        if page.note:
            widgets.append(Static(Text(page.note), classes="note"))
        for field in page.fields:
            row = Horizontal(Static(Text(field.label), classes="label"), self._widget(field), classes="row")
            widgets.append(Vertical(row, Static(Text(field.hint), classes="hint"), classes="field"))
        await holder.mount_all(widgets)
        for group in self.query(".field"):
            group.styles.height = "auto"
        last = self._at == len(self._pages) - 1
        self.query_one("#go", Button).label = self._button if last else tr("Next")
        self._tell(None)

    def _tell(self, problem: DomainError | None) -> None:
        """Says what is wrong, if anything; the cursor goes to the field it is about."""
        self.query_one("#problem", Static).update(Text(sentence(problem)) if problem else "")
        fields = self._pages[self._at].fields
        named = [field for field in fields if problem is not None and field.name == problem.field]
        self.query_one(f"#f-{(named or fields)[0].name}").focus()

    def _widget(self, field: Field) -> Widget:
        value = self._values[field.name]
        name = f"f-{field.name}"
        if field.kind == "flag":
            return Tick("", value=bool(value), id=name, compact=True)
        if field.kind == "choice":
            options = [(shown, key) for key, shown in field.choices]
            return Select(options, value=str(value) or field.choices[0][0], allow_blank=False, id=name, compact=True)
        return Line(str(value), password=field.kind == "secret", id=name, compact=True)

    def _keep(self) -> None:
        """Takes the page's values over."""
        for field in self._pages[self._at].fields:
            widget = self.query_one(f"#f-{field.name}")
            if isinstance(widget, Input):
                self._values[field.name] = widget.value if field.kind == "secret" else widget.value.strip()
            elif isinstance(widget, Checkbox | Select):
                self._values[field.name] = widget.value

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        fields = [f"f-{field.name}" for field in self._pages[self._at].fields]
        place = fields.index(event.input.id or "")
        if place + 1 < len(fields):
            self.query_one(f"#{fields[place + 1]}").focus()
        else:
            await self.action_next()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        await (self.action_next() if event.button.id == "go" else self.action_back())

    async def action_next(self) -> None:
        """The next page, or sending."""
        from ecosystem.contract.errors import DomainError, InvalidRequest

        self._keep()
        page = self._pages[self._at]
        try:
            for field in page.fields:
                if field.required and not self._values[field.name]:
                    raise InvalidRequest(tr("{field} is missing", field=field.label), field=field.name)
            if page.check is not None:
                page.check(self._values)
        except DomainError as error:
            self._tell(error)
            return
        if self._at + 1 < len(self._pages):
            self._at += 1
            await self._show()
        else:
            self._submit()

    async def action_back(self) -> None:  # type: ignore[override]
        if self._at == 0 or self._sending:
            self.dismiss()
            return
        self._keep()
        self._at -= 1
        await self._show()

    async def action_send(self) -> None:
        """Checks what is left and sends: no need to go through every page."""
        while not self._sending:
            at = self._at
            await self.action_next()
            if self._at == at:
                return

    def _submit(self) -> None:
        if self._sending:
            return
        self._sending = True
        values = dict(self._values)
        self.query_one("#problem", Static).update(tr("Sending …"))

        def done(result: Any) -> Any:
            self._sending = False
            self.dismiss()
            return self._done(result)

        async def again(error: DomainError) -> None:
            self._sending = False
            places = [
                number
                for number, page in enumerate(self._pages)
                if any(field.name == error.field for field in page.fields)
            ]
            if places and places[0] != self._at:
                self._at = places[0]
                await self._show()
            self._tell(error)

        def failed(error: DomainError) -> None:
            self.call_later(again, error)

        self.ask(lambda: self._send(values), done, failed)


WORDS: Final = ", "


def words(text: str) -> list[str]:
    """The words of a field that takes several, with commas or blanks between."""
    return [word for word in text.replace(",", " ").split() if word]

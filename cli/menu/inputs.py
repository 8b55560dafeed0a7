"""A line to type in, and a box to tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Checkbox, Input

if TYPE_CHECKING:
    from textual import events
    from textual.content import Content


class Line(Input):
    """An Input that takes keys in the order they are typed.

    The library inserts a letter at once, and lets keys that are bound (backspace, arrows) bubble up to the screen first: of what
    arrives in one go, over a slow connection for example, letters would overtake them.
    """

    async def _on_key(self, event: events.Key) -> None:
        bound = self._bindings.key_to_bindings.get(event.key)
        if bound:
            event.stop()
            event.prevent_default()
            await self.run_action(bound[0].action)


class Tick(Checkbox):
    """A Checkbox with a cross only while it is ticked; the library tells that by a colour alone."""

    @property
    def _button(self) -> Content:
        self.BUTTON_INNER = "X" if self.value else " "
        return super()._button

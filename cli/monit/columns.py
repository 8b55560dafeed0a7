"""A table's columns in the room there is: which are shown, and how wide. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 1
"""Blank columns between two columns."""


class Column(msgspec.Struct, frozen=True):
    """A column. Where there is too little room for the contents of all, those with the largest `expendable` go (0: never).

    What stays has `least` columns or its title's; what is left over goes to those whose contents need it, up to `most`.
    """

    name: str
    title: str
    least: int
    most: int
    right: bool = False
    expendable: int = 0
    drawn: bool = False
    """It is a line drawn from right to left: what is too long loses its beginning."""


class Fitted(msgspec.Struct, frozen=True):
    """A column as it is drawn."""

    column: Column
    width: int

    def cell(self, text: str) -> str:
        """`text` in this width: cut with an ellipsis, or filled up."""
        if self.column.drawn:
            return text[-self.width :].rjust(self.width)
        if len(text) > self.width:
            text = text[: self.width - 1] + "…" if self.width > 1 else text[: self.width]
        return text.rjust(self.width) if self.column.right else text.ljust(self.width)


def fit(columns: Sequence[Column], contents: Sequence[Sequence[str]], room: int) -> list[Fitted]:
    """The columns that fit into `room`, in their order, by the cells of each (`contents`), which say how wide it wants to be."""
    wanted = [
        min(column.most, max([column.least, len(column.title), *map(len, cells)]))
        for column, cells in zip(columns, contents, strict=True)
    ]
    shown = list(range(len(columns)))

    def least(index: int) -> int:
        return max(columns[index].least, len(columns[index].title))

    def content(index: int) -> int:
        """An expendable column takes no room that another one's contents need."""
        return least(index) if columns[index].expendable or columns[index].drawn else wanted[index]

    while sum(content(index) + GAP for index in shown) > room:
        worst = max(shown, key=lambda index: (columns[index].expendable, index))
        if columns[worst].expendable == 0:
            break
        shown.remove(worst)
    widths = {index: least(index) for index in shown}
    spare = room - sum(width + GAP for width in widths.values())
    while spare > 0 and (short := [index for index in shown if widths[index] < wanted[index]]):
        for index in short[:spare]:
            widths[index] += 1
        spare -= len(short[:spare])
    return [Fitted(columns[index], widths[index]) for index in shown]

"""A QR code as large as there is room for: half blocks, else sextants (six modules a character), else a word about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.text import Text

from cli.output.qrcode import draw, matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

DARK_ON_LIGHT: Final = "#000000 on #ffffff"
_SEXTANTS: Final = 0x1FB00
"""https://www.unicode.org/charts/PDF/U1FB00.pdf: the characters of two by three blocks, those that stand elsewhere left out."""
_ELSEWHERE: Final = {0: " ", 0b010101: "▌", 0b101010: "▐", 0b111111: "█"}


class Picture(msgspec.Struct, frozen=True):
    """Lines of a QR code; `ink_is_dark`: they are to be drawn dark on light."""

    lines: tuple[str, ...]
    ink_is_dark: bool
    small: bool = False

    @property
    def columns(self) -> int:
        return len(self.lines[0])

    def text(self) -> Text:
        """As it is drawn."""
        style = DARK_ON_LIGHT if self.ink_is_dark else ""
        return Text("\n".join(self.lines), style=style, no_wrap=True)


def picture(text: str, columns: int, rows: int, *, colour: bool, unicode: bool) -> Picture | None:
    """`text` as a QR code in at most `columns` and `rows`; None where it does not fit."""
    large = draw(text, colour=False, unicode=unicode, invert=colour)
    if len(large.lines) <= rows and large.columns <= columns:
        return Picture(large.lines, colour)
    if not unicode:
        return None
    small = sextants(matrix(text), ink_is_dark=colour)
    if len(small) <= rows and len(small[0]) <= columns:
        return Picture(small, colour, small=True)
    return None


def sextants(modules: Sequence[Sequence[bool]], *, ink_is_dark: bool) -> tuple[str, ...]:
    """Modules (True: dark), two columns and three rows of them a character."""

    def ink(row: int, column: int) -> bool:
        dark = row < len(modules) and column < len(modules[0]) and modules[row][column]
        return dark is ink_is_dark

    lines = []
    for top in range(0, len(modules), 3):
        line = []
        for left in range(0, len(modules[0]), 2):
            bits = sum(
                1 << (2 * down + right) for down in range(3) for right in range(2) if ink(top + down, left + right)
            )
            line.append(sextant(bits))
        lines.append("".join(line))
    return tuple(lines)


def sextant(bits: int) -> str:
    """The character with these blocks: bit 0 is the upper left one, bit 1 the upper right, bit 5 the lower right."""
    if bits in _ELSEWHERE:
        return _ELSEWHERE[bits]
    return chr(_SEXTANTS + bits - 1 - (bits > 0b010101) - (bits > 0b101010))

"""A QR code as text: two modules a character with half blocks, or two characters a module where those are missing."""

from __future__ import annotations

from typing import Final

import msgspec

QUIET_ZONE: Final = 2
"""Light modules around the code. The standard asks for four; phones read two, and two more would cost four rows."""

DARK_ON_LIGHT: Final = "\x1b[38;5;16;48;5;231m"
"""Black on white by their places in the 256-colour cube, which themes leave alone."""
RESET: Final = "\x1b[0m"


class Drawing(msgspec.Struct, frozen=True):
    """Lines to print, and how many columns each takes."""

    lines: tuple[str, ...]
    columns: int


def matrix(text: str) -> tuple[tuple[bool, ...], ...]:
    """The modules of `text` as a QR code (True: dark), quiet zone included."""
    import segno

    # Error correction L, as WhatsApp's own clients draw it: the smallest picture for the length of a pairing text.
    code = segno.make_qr(text, error="l", boost_error=False)
    return tuple(tuple(bool(module) for module in row) for row in code.matrix_iter(border=QUIET_ZONE))


def draw(text: str, *, colour: bool, unicode: bool, invert: bool = False) -> Drawing:
    """`text` as a QR code.

    With `colour` the picture brings its own black and white. Without, light modules are drawn with the terminal's
    foreground, right for light text on a dark ground; `invert` is for dark text on a light ground.
    """
    modules = matrix(text)
    if unicode:
        return _half_blocks(modules, colour=colour, invert=invert)
    return _wide(modules, colour=colour, invert=invert)


def _half_blocks(modules: tuple[tuple[bool, ...], ...], *, colour: bool, invert: bool) -> Drawing:
    # With colours the foreground is black, so ink stands for dark; without, ink is what the terminal writes with.
    ink_is_dark = colour or invert
    width = len(modules[0])
    blank = (False,) * width
    lines = []
    for top in range(0, len(modules), 2):
        upper, lower = modules[top], modules[top + 1] if top + 1 < len(modules) else blank
        line = "".join(
            {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}[
                (above is ink_is_dark, below is ink_is_dark)
            ]
            for above, below in zip(upper, lower, strict=True)
        )
        lines.append(f"{DARK_ON_LIGHT}{line}{RESET}" if colour else line)
    return Drawing(tuple(lines), width)


def _wide(modules: tuple[tuple[bool, ...], ...], *, colour: bool, invert: bool) -> Drawing:
    lines = []
    for row in modules:
        if colour:
            cells = "".join("\x1b[48;5;16m  " if dark else "\x1b[48;5;231m  " for dark in row)
            lines.append(f"{cells}{RESET}")
        else:
            lines.append("".join("##" if dark is invert else "  " for dark in row))
    return Drawing(tuple(lines), 2 * len(modules[0]))

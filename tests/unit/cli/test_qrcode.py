"""The drawn QR code: what a camera sees in every way of drawing is the code itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import segno

from cli.commands.pairing import Picture
from cli.output.qrcode import QUIET_ZONE, draw, matrix
from cli.output.screen import Screen
from ecosystem.contract.session import QrCode

GOLDEN = Path(__file__).with_name("golden")
TEXT = "2@zapvisor-golden"
PAIRING_TEXT = "2@" + ",".join(["A" * 84, "b" * 44, "C" * 44, "d" * 44])
"""As long as a real one: a reference and three keys in base64."""

Matrix = tuple[tuple[bool, ...], ...]


def seen(lines: tuple[str, ...], *, colour: bool, unicode: bool, light_on_dark: bool) -> Matrix:
    """The modules (True: dark) as a camera sees them on a screen whose text is light on dark, or the other way."""
    rows: list[tuple[bool, ...]] = []
    for line in lines:
        if not unicode and colour:
            cells = re.findall(r"\x1b\[48;5;(16|231)m  ", line)
            rows.append(tuple(cell == "16" for cell in cells))
            continue
        text = re.sub(r"\x1b\[[0-9;]*m", "", line)
        ink_is_dark = True if colour else not light_on_dark
        if unicode:
            rows.append(tuple((char in "█▀") is ink_is_dark for char in text))
            rows.append(tuple((char in "█▄") is ink_is_dark for char in text))
        else:
            assert all(text[i] == text[i + 1] for i in range(0, len(text), 2))
            rows.append(tuple((text[i] == "#") is ink_is_dark for i in range(0, len(text), 2)))
    return tuple(rows)


@pytest.mark.parametrize("text", [TEXT, PAIRING_TEXT], ids=["short", "long"])
@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize(("colour", "invert"), [(True, False), (False, False), (False, True)])
def test_what_a_camera_sees(text: str, colour: bool, unicode: bool, invert: bool) -> None:
    drawing = draw(text, colour=colour, unicode=unicode, invert=invert)
    modules = seen(drawing.lines, colour=colour, unicode=unicode, light_on_dark=not invert)
    expected = matrix(text)
    assert modules[: len(expected)] == expected
    assert all(not any(row) for row in modules[len(expected) :]), "what fills the last line up is light"


def test_matrix_is_segnos_with_a_light_frame() -> None:
    code = segno.make_qr(TEXT, error="l", boost_error=False)
    inner = [row[QUIET_ZONE:-QUIET_ZONE] for row in matrix(TEXT)[QUIET_ZONE:-QUIET_ZONE]]
    assert [[int(module) for module in row] for row in inner] == [list(row) for row in code.matrix]
    assert not any(any(row) for row in matrix(TEXT)[:QUIET_ZONE])


@pytest.mark.parametrize(
    ("name", "colour", "unicode", "invert"),
    [
        ("half-blocks", False, True, False),
        ("half-blocks-inverted", False, True, True),
        ("half-blocks-colour", True, True, False),
        ("ascii", False, False, False),
    ],
)
def test_golden(name: str, colour: bool, unicode: bool, invert: bool) -> None:
    drawing = draw(TEXT, colour=colour, unicode=unicode, invert=invert)
    assert "\n".join(drawing.lines) + "\n" == (GOLDEN / f"qr-{name}.txt").read_text(encoding="utf-8")


def picture(size: tuple[int, int]) -> list[str]:
    screen = Screen(json=False, quiet=False, terminal=True, colour=False, unicode=True)
    return Picture(screen, invert=False).lines(QrCode("alpha", PAIRING_TEXT, 3, 20.0), size)


def test_a_real_code_fits_an_ordinary_window() -> None:
    lines = picture((80, 40))
    assert all(len(line) <= 80 for line in lines)
    assert "code 3" in lines[-1]
    assert len(lines) < 40


def test_a_low_window_is_told_how_many_rows_it_lacks() -> None:
    assert "needs" in picture((80, 24))[-1]


def test_a_narrow_window_gets_no_broken_picture() -> None:
    lines = picture((40, 50))
    assert len(lines) == 2
    assert "columns" in lines[0]

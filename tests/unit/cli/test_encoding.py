"""What a terminal without UTF-8 is shown."""

from __future__ import annotations

import io

import pytest

from cli.output.encoding import STAND_INS, carried, fit_to_terminals, is_plain, likeness
from cli.output.screen import width_of


class OnTerminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(stream: io.TextIOWrapper, environ: dict[str, str], text: str) -> bytes:
    fit_to_terminals([stream], environ)
    stream.write(text)
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("environ", "plain"),
    [
        ({}, True),
        ({"LANG": "C"}, True),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "pt_BR.UTF-8", "LC_CTYPE": "POSIX"}, True),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": ""}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "C", "LC_CTYPE": "UTF-8"}, False),
        ({"LANG": "C", "PYTHONIOENCODING": "utf-8"}, False),
        ({"LANG": "C", "PYTHONUTF8": "1"}, False),
    ],
)
def test_the_locale_that_is_asked_for(environ: dict[str, str], plain: bool) -> None:
    assert is_plain(environ) is plain


def test_a_terminal_without_utf8_is_written_ascii() -> None:
    shown = written(OnTerminal(io.BytesIO(), encoding="utf-8"), {"LC_ALL": "C"}, "╭── São Paulo · 你好 … ▁█ ──╮")
    assert shown == b"+-- Sao Paulo . ???? . _# --+"
    assert written(OnTerminal(io.BytesIO(), encoding="utf-8"), {"LANG": "C.UTF-8"}, "─é") == "─é".encode()


def test_a_pipe_loses_nothing() -> None:
    assert written(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {"LC_ALL": "C"}, "─é你") == "─é你".encode()


def test_what_utf8_cannot_carry_either() -> None:
    assert written(OnTerminal(io.BytesIO(), encoding="utf-8"), {"LANG": "C.UTF-8"}, "a\udcffb") == b"a?b"


@pytest.mark.parametrize("sign", "─│╭╮╰╯█░▀▄▁▅▇▌▐·…–→↑↓▼éçÃ你ﾊ😀\u0301")
def test_a_stand_in_is_as_wide_as_the_sign(sign: str) -> None:
    assert likeness(sign).isascii()
    assert len(likeness(sign)) == width_of(sign), sign


def test_latin_letters_stay_where_the_encoding_has_them() -> None:
    assert carried("São ─ 1", "latin-1") == "São - 1"
    assert STAND_INS.isascii()

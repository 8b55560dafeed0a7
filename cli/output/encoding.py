"""What a terminal can show: where its locale is plain ASCII, everything is written in ASCII, each sign as wide as it was.

Python writes UTF-8 in the C locale (https://peps.python.org/pep-0538/, https://peps.python.org/pep-0540/): right for files and
pipes, rubbish on a terminal that has no UTF-8. So the locale that was asked for counts here, not the one Python made of it.
"""

from __future__ import annotations

import codecs
import os
import unicodedata
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STAND_INS: Final = "zapvisor-stand-ins"
"""Name of the error handler that writes ASCII instead of what an encoding lacks."""
PLAIN: Final = frozenset({"C", "POSIX"})
_LIKENESS: Final[dict[str, str]] = {
    **dict.fromkeys("─━═–—‐▔", "-"),
    **dict.fromkeys("│┃║▌▐▏▕▎", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╪╞╡", "+"),
    **dict.fromkeys("█▉▊▓▇▆", "#"),
    **dict.fromkeys("▒▅▄▀", "="),
    **dict.fromkeys("░·•▪", "."),
    **dict.fromkeys("▁▂▃", "_"),
    **dict.fromkeys("→▶►", ">"),
    **dict.fromkeys("←◀", "<"),
    **dict.fromkeys("↑▲△", "^"),
    **dict.fromkeys("↓▼▽", "v"),
    **dict.fromkeys("✓✔", "x"),
    "…": ".", "×": "x", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip


def fit_to_terminals(streams: Iterable[object], environ: Mapping[str, str] | None = None) -> None:
    """Has every stream that is a terminal write ASCII, where the locale asks for that; others lose no sign they have."""
    for stream in streams:
        if not isinstance(stream, TextIOWrapper):
            continue
        codecs.register_error(STAND_INS, _stand_in)
        plain = stream.isatty() and is_plain(_asked_for() if environ is None else environ)
        # Never a failure: a name in a script the locale lacks is no reason to fail.
        stream.reconfigure(encoding="ascii" if plain else None, errors=STAND_INS)


def is_plain(environ: Mapping[str, str]) -> bool:
    """Whether these variables ask for the plain locale by its name, or for none at all."""
    if environ.get("PYTHONIOENCODING") or environ.get("PYTHONUTF8") == "1":
        return False
    named = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := environ.get(name))), "C")
    return named in PLAIN


def _asked_for() -> Mapping[str, str]:
    """The variables this process was started with: Python changes LC_CTYPE where it is to be the plain locale."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    return dict(line.decode("utf-8", "replace").split("=", 1) for line in lines if b"=" in line)


def carried(text: str, encoding: str) -> str:
    """`text` with ASCII instead of what `encoding` lacks."""
    codecs.register_error(STAND_INS, _stand_in)
    return text.encode(encoding, STAND_INS).decode(encoding)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what cannot be encoded, as wide as that is on a terminal."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(likeness, error.object[error.start : error.end])), error.end


def likeness(sign: str) -> str:
    """The ASCII that looks most like one sign: nothing for an accent, two question marks for a wide letter."""
    if sign in _LIKENESS:
        return _LIKENESS[sign]
    if unicodedata.combining(sign):
        return ""
    bare = unicodedata.normalize("NFKD", sign)[0]
    if bare.isascii() and bare.isprintable():
        return bare
    return "??" if unicodedata.east_asian_width(sign) in "WF" else "?"

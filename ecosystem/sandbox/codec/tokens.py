"""The token dictionaries of WhatsApp's binary XML (dictionary version 3, as neonize 0.5.2 speaks it)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec


class _Dictionaries(msgspec.Struct, frozen=True):
    version: int
    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]


_LOADED: Final = msgspec.json.decode((Path(__file__).parent / "tokens.json").read_bytes(), type=_Dictionaries)

VERSION: Final = _LOADED.version
SINGLE: Final = _LOADED.single
DOUBLE: Final = _LOADED.double

DOUBLE_BASE: Final = 236
"""The first of the four bytes that announce an index into a double dictionary."""


def _codes() -> dict[str, bytes]:
    codes = {
        word: bytes([DOUBLE_BASE + number, index])
        for number, words in enumerate(DOUBLE)
        for index, word in enumerate(words)
    }
    # The single dictionary comes last so that a word in both gets the shorter code.
    codes.update({word: bytes([index]) for index, word in enumerate(SINGLE) if word})
    return codes


CODES: Final = _codes()

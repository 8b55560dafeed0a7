"""Portuguese, as spoken in Brazil: English text → Portuguese text, one module for each part of the command."""

from __future__ import annotations

from typing import Final

from cli.texts.pt import menu, messages

TEXTS: Final[dict[str, str]] = {**messages.TEXTS, **menu.TEXTS}

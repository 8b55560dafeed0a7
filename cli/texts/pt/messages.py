"""Portuguese: what commands say."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "error: {message}": "erro: {message}",
    "hint: {hint}": "dica: {hint}",
}

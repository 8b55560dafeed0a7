"""Portuguese, as spoken in Brazil: English text → Portuguese text, one module for each part of the command."""

from __future__ import annotations

from typing import Final

from cli.texts.pt import click_texts, headings, help, menu, messages, operations, steps, watching  # noqa: A004 -- named after what it holds

TEXTS: Final[dict[str, str]] = {
    **headings.TEXTS,
    **click_texts.TEXTS,
    **help.TEXTS,
    **messages.TEXTS,
    **menu.TEXTS,
    **operations.TEXTS,
    **steps.TEXTS,
    **watching.TEXTS,
}

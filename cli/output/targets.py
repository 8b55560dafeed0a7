"""How a webhook is doing, in one word for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cli.texts import tr
from ecosystem.contract.webhook import CircuitState

if TYPE_CHECKING:
    from ecosystem.contract.webhook import WebhookView

COLOURS: Final = {"ok": "green", "failing": "yellow", "probing": "yellow", "paused": "red"}
"""By word, before it is translated; any other is dim."""


def state_of(view: WebhookView) -> str:
    """`ok`; `failing`: the last tries failed; `paused`: too many did, and it is only probed; `probing`: the next is a probe."""
    if not view.enabled:
        return "disabled"
    if view.circuit is CircuitState.OPEN:
        return "paused"
    if view.circuit is CircuitState.HALF_OPEN:
        return "probing"
    return "failing" if view.failures_in_a_row else "ok"


def error_of(view: WebhookView) -> str | None:
    """What went wrong last, while something is wrong; None where all is well again."""
    return view.last_error if state_of(view) != "ok" else None


def shown_state(view: WebhookView) -> str:
    """The same in the language of the reader."""
    words = {
        "disabled": tr("disabled"),
        "paused": tr("paused"),
        "probing": tr("probing"),
        "failing": tr("failing"),
        "ok": tr("ok"),
    }
    return words[state_of(view)]

"""Which request is being answered: what is logged and told because of it carries its id, in every process it passes through."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

REQUEST: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request this code runs for; None where there is none. Tasks and `asyncio.to_thread` take it along."""

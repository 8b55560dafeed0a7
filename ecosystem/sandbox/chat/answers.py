"""What a query handler returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.node import Node


class Refused(msgspec.Struct, frozen=True):
    """An error answer with this code."""

    code: int


Answer: TypeAlias = "tuple[Node, ...] | Refused | None"
"""The children of the result, an error, or None: answered already."""

NOTHING: Final[tuple[Node, ...]] = ()
"""An empty result."""

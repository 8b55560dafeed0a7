"""What one check of `zapvisor doctor` found."""

from __future__ import annotations

from typing import Final

import msgspec

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What one check found. `hint`: what to do."""

    check: str
    result: str
    detail: str
    hint: str | None = None

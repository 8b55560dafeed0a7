"""Fault codes of the plugin's methods, beyond supervisord's own (which end below 1000)."""

from __future__ import annotations

from typing import Final

BAD_SPEC: Final = 1001
"""The WorkerSpec cannot be used."""
BUSY: Final = 1002
"""A worker is in the way: it runs with another generation, or has not ended yet."""

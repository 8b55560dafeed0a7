"""Which version this is."""

from __future__ import annotations

import importlib.metadata
from typing import Final


def _version() -> str:
    try:
        return importlib.metadata.version("zapvisor")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0+source"


VERSION: Final = _version()

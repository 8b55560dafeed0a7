"""The settings an instance was started with, for its other processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from ecosystem.contract.errors import InvalidSettings
from ecosystem.settings.fields import Settings

if TYPE_CHECKING:
    from pathlib import Path


def save(settings: Settings, path: Path) -> None:
    """Writes the resolved settings (they hold secrets: 0600), atomically."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # one left behind by a crash would keep its own mode
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(settings), indent=2))
    temporary.replace(path)


def read_saved(path: Path) -> Settings:
    """The settings `save` wrote. Raises InvalidSettings when there are none or they do not fit."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        raise InvalidSettings(f"there is no {path}", hint="start the instance with `zapvisor up`") from None
    except msgspec.DecodeError as error:
        raise InvalidSettings(f"{path} cannot be read: {error}") from None

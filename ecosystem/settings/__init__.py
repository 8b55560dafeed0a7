"""What an instance is told: defaults < ecosystem.toml < .env < environment < flags, checked before anything starts.

`Settings` is the whole tree; every field has one name in the environment (its own in upper case, or an alias) and one key in
`ecosystem.toml` (its own). An unknown key, or a value that does not fit, is an InvalidSettings naming it and where it stood.
"""

from __future__ import annotations

from ecosystem.settings.checking import check
from ecosystem.settings.fields import ALIASES, HINTS, IGNORED, SECRET_FIELDS, Settings
from ecosystem.settings.loading import load, read_dotenv
from ecosystem.settings.saved import read_saved, save

__all__ = [
    "ALIASES",
    "HINTS",
    "IGNORED",
    "SECRET_FIELDS",
    "Settings",
    "check",
    "load",
    "read_dotenv",
    "read_saved",
    "save",
]

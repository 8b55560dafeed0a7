"""Servers saved under a name, with their keys, in a file only its owner can read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.client import Address, checked_key
from cli.texts import tr
from ecosystem.contract.errors import ConfigUnusable, ContextExists, ContextNotFound, DomainError, InvalidRequest

RESERVED: Final = frozenset({"local"})
"""Names with a meaning of their own."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


class Named(msgspec.Struct, frozen=True):
    """One saved server."""

    name: str
    url: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"<Named {self.name} {self.url}>"


class Contexts(msgspec.Struct, frozen=True):
    """All saved servers, and the one that is meant when nothing else is said."""

    current: str | None = None
    saved: Mapping[str, Named] = {}

    def named(self, name: str) -> Named:
        """Raises ContextNotFound, which names those there are."""
        found = self.saved.get(name)
        if found is None:
            known = ", ".join(sorted(self.saved))
            hint = tr("saved are: {names}", names=known) if known else tr("save one: zapvisor context add NAME URL")
            raise ContextNotFound(tr("no context is called '{name}'", name=name), hint=hint)
        return found

    def with_(self, added: Named, *, replace: bool) -> Contexts:
        """The same with `added`. Raises ContextExists unless `replace`."""
        if added.name in self.saved and not replace:
            raise ContextExists(
                tr("there is a context '{name}' already", name=added.name), hint=tr("--replace writes over it")
            )
        return Contexts(self.current, {**self.saved, added.name: added})

    def without(self, name: str) -> Contexts:
        """The same without the one called `name`; where it was the current one, there is none. Raises ContextNotFound."""
        self.named(name)
        rest = {each: saved for each, saved in self.saved.items() if each != name}
        return Contexts(None if self.current == name else self.current, rest)

    def using(self, name: str | None) -> Contexts:
        """The same with `name` the current one (None: the instance on this machine). Raises ContextNotFound."""
        if name is not None:
            self.named(name)
        return Contexts(name, self.saved)


def checked(name: str, url: str, key: str | None) -> Named:
    """A server to be saved. Raises InvalidRequest, ApiKeyUnknown."""
    if name in RESERVED or not _NAME.fullmatch(name):
        raise InvalidRequest(
            tr("'{name}' cannot be the name of a context", name=name),
            field="NAME",
            hint=tr("1 to 63 characters of a-z, 0-9, '.', '_' and '-'; not 'local'"),
        )
    return Named(name, str(Address.parse(url)), None if key is None else checked_key(key))


def config_file() -> Path | None:
    """`$XDG_CONFIG_HOME/zapvisor/config.toml`, else below `~/.config`; None for a user without a home folder."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):  # a relative one is to be ignored, the specification says
        return Path(base) / "zapvisor" / "config.toml"
    try:
        return Path.home() / ".config" / "zapvisor" / "config.toml"
    except RuntimeError:
        return None


def load() -> Contexts:
    """What is saved; nothing where there is no file. Raises ConfigUnusable, which tells the file and why."""
    path = config_file()
    if path is None:
        return Contexts()
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
        return _contexts(document)
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except OSError as error:
        # Cron and services may run with the home of somebody else: that is no reason not to drive the local instance.
        if isinstance(error, PermissionError):
            return Contexts()
        raise _unusable(path, error.strerror or str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, DomainError) as error:
        raise _unusable(path, error.message if isinstance(error, DomainError) else str(error)) from None


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    key: str | None = None


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    current: str | None = None
    contexts: dict[str, _Saved] = {}


def _contexts(document: dict[str, Any]) -> Contexts:
    read = msgspec.convert(document, _Document)
    found = Contexts(None, {name: checked(name, saved.url, saved.key) for name, saved in read.contexts.items()})
    return found.using(read.current)


def _unusable(path: Path, reason: str) -> ConfigUnusable:
    message = tr("{path} cannot be used: {reason}", path=path, reason=reason)
    return ConfigUnusable(message, hint=tr("correct it, or move it away and save the contexts again"))


def exposed() -> Path | None:
    """The file, where others than its owner may read it."""
    path = config_file()
    if path is None:
        return None
    try:
        return path if stat.S_IMODE(path.stat().st_mode) & 0o077 else None
    except OSError:
        return None


def save(contexts: Contexts) -> Path:
    """Writes the file anew, for its owner alone; where it is. Raises ConfigUnusable."""
    path = config_file()
    if path is None:
        raise ConfigUnusable(tr("there is no folder to save contexts in"), hint=tr("set HOME or XDG_CONFIG_HOME"))
    temporary = path.with_name(f".config.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(_written(contexts))
        temporary.replace(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _written(contexts: Contexts) -> str:
    """TOML. Names, addresses and keys are printable ASCII, where JSON's strings are TOML's."""
    lines = [] if contexts.current is None else [f"current = {json.dumps(contexts.current)}", ""]
    for name, saved in sorted(contexts.saved.items()):
        lines += [f"[contexts.{json.dumps(name)}]", f"url = {json.dumps(saved.url)}"]
        lines += [f"key = {json.dumps(saved.key)}"] if saved.key else []
        lines.append("")
    return "\n".join(lines)

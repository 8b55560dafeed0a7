"""Secrets at rest: the one place that encrypts what the database keeps, and reads it back."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ecosystem.contract.errors import InternalError, InvalidSettings, RegistryDown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ecosystem.settings import Settings

SETTING: Final = "ZAPVISOR_SECRET_KEY"
FILE: Final = "secret.key"


class SecretBox:
    """Encrypts with the first key and reads with any: put a new one in front, and old values stay readable.

    Without keys it is closed, until `fill`. `reread` gives the keys of now: asked when a value fits none of those known here,
    because another process may have put a new one in front since.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, reread: Callable[[], Sequence[bytes]] | None = None) -> None:
        """Raises InvalidSettings for a key that is none."""
        self._filled: MultiFernet | None = None
        self._first: Fernet | None = None
        self._reread = reread
        if keys:
            self.fill(keys)

    def fill(self, keys: Sequence[bytes]) -> None:
        """Opens the box. Raises InvalidSettings for a key that is none."""
        try:
            self._filled = MultiFernet([Fernet(key) for key in keys])
            self._first = Fernet(keys[0])
        except (ValueError, TypeError) as error:
            raise InvalidSettings(
                f"{SETTING} must hold keys of 32 bytes in URL-safe base64, separated by commas", field=SETTING
            ) from error

    @property
    def _fernet(self) -> MultiFernet:
        if self._filled is None:
            raise RegistryDown("the keys for stored secrets are not read yet")
        return self._filled

    def __repr__(self) -> str:
        return "<SecretBox>"

    def seal(self, text: str) -> bytes:
        """`text`, encrypted and authenticated. Raises RegistryDown while the box is closed."""
        return self._fernet.encrypt(text.encode())

    def open(self, sealed: bytes) -> str:
        """What was sealed. Raises InternalError when no key fits, RegistryDown while the box is closed."""
        try:
            return self._fernet.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            if self._reread is None:
                raise _unreadable() from None
        self.fill(self._reread())
        try:
            return self._fernet.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            raise _unreadable() from None

    def renew(self, sealed: bytes) -> bytes | None:
        """The same secret under the first key; None where it is already. Raises as `open` does."""
        fernet = self._fernet
        if self._first is not None and _fits(self._first, sealed):
            return None
        try:
            return fernet.rotate(bytes(sealed))
        except InvalidToken:
            raise _unreadable() from None


def _fits(key: Fernet, sealed: bytes) -> bool:
    try:
        key.decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def _unreadable() -> InternalError:
    return InternalError(
        "a stored secret cannot be read with the present key",
        hint=f"put the former key behind the new one in {SETTING}",
    )


def open_box(settings: Settings) -> SecretBox:
    """The box of this instance. Blocks on files. Raises InvalidSettings."""
    return SecretBox(read_keys(settings), reread=functools.partial(read_keys, settings))


def read_keys(settings: Settings) -> list[bytes]:
    """The keys of this instance: from the setting, else from `secret.key` in the home, made at first use.

    The first one encrypts. Blocks on files. Raises InvalidSettings.
    """
    if settings.zapvisor_secret_key is None:
        return _key_file(key_path(settings))
    keys = [part.strip().encode() for part in settings.zapvisor_secret_key.split(",") if part.strip()]
    if not keys:
        raise InvalidSettings(f"{SETTING} holds no key", field=SETTING)
    return keys


def key_path(settings: Settings) -> Path:
    """Where the keys lie unless the setting holds them: one a line."""
    return settings.paths.root / FILE


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Puts these keys in the place of those there, all or nothing, whatever happens meanwhile. Blocks. Raises OSError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(b"".join(key + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_file(path: Path) -> list[bytes]:
    try:
        if not path.exists():
            _make_key(path)
        keys = path.read_bytes().split()
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be used: {error.strerror}", field=SETTING) from error
    if not keys:
        raise InvalidSettings(f"{path} is empty", field=SETTING, hint="put the key back, or secrets stay unreadable")
    return keys


def _make_key(path: Path) -> None:
    """Of two processes that find none, one makes it: a whole file is linked into place, and the other's is thrown away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)

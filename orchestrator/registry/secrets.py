"""Secrets at rest: the one place that encrypts what the database keeps, and reads it back."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ecosystem.contract.errors import InternalError, InvalidSettings, RegistryDown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ecosystem.settings import Settings

SETTING: Final = "ZAPVISOR_SECRET_KEY"
FILE: Final = "secret.key"


class SecretBox:
    """Encrypts with the first key and reads with any: put a new one in front, and old values stay readable.

    Without keys it is closed, until `fill`.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """Raises InvalidSettings for a key that is none."""
        self._filled: MultiFernet | None = None
        if keys:
            self.fill(keys)

    def fill(self, keys: Sequence[bytes]) -> None:
        """Opens the box. Raises InvalidSettings for a key that is none."""
        try:
            self._filled = MultiFernet([Fernet(key) for key in keys])
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
        except InvalidToken as error:
            raise InternalError(
                "a stored secret cannot be read with the present key",
                hint=f"put the former key behind the new one in {SETTING}",
            ) from error


def open_box(settings: Settings) -> SecretBox:
    """The box of this instance. Blocks on files. Raises InvalidSettings."""
    return SecretBox(read_keys(settings))


def read_keys(settings: Settings) -> list[bytes]:
    """The keys of this instance: from the setting, else from `secret.key` in the home, made at first use.

    Blocks on files. Raises InvalidSettings.
    """
    if settings.zapvisor_secret_key is None:
        return [_key_file(settings.paths.root / FILE)]
    keys = [part.strip().encode() for part in settings.zapvisor_secret_key.split(",") if part.strip()]
    if not keys:
        raise InvalidSettings(f"{SETTING} holds no key", field=SETTING)
    return keys


def _key_file(path: Path) -> bytes:
    try:
        if not path.exists():
            _make_key(path)
        return path.read_bytes().strip()
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be used: {error.strerror}", field=SETTING) from error


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

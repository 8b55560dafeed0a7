"""The one folder an instance writes into: where each thing lies in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from ecosystem.contract.errors import InvalidSettings

SOCKET_PATH_LIMIT: Final = 107
"""Bytes a unix socket's path may have on Linux (sockaddr_un.sun_path is 108 with its end)."""
_PID_SUFFIX: Final = ".4194304"
"""supervisord first binds its socket under its name plus its pid, which on Linux is at most this."""


def default_home() -> Path:
    """Where an instance lives unless told: `/var/lib/zapvisor` for root, `~/.zapvisor` for anybody else.

    Not `/root/.zapvisor`: the user PostgreSQL runs as could not reach it.
    """
    return Path("/var/lib/zapvisor") if os.geteuid() == 0 else Path.home() / ".zapvisor"


class Home(msgspec.Struct, frozen=True):
    """Paths inside `$ZAPVISOR_HOME`. `root` is absolute."""

    root: Path

    @property
    def admin_key(self) -> Path:
        """The admin key, where it was generated (0600)."""
        return self.root / "admin.key"

    @property
    def gateway_key(self) -> Path:
        """The key the gateway opens workers' ports with (0600); made anew by every `up`."""
        return self.run / "gateway.key"

    @property
    def run(self) -> Path:
        """Sockets, pid files and rendered configuration: nothing in it outlives the instance."""
        return self.root / "run"

    @property
    def settings(self) -> Path:
        """The settings this run was started with, resolved (0600): every process of the instance reads this one file."""
        return self.run / "settings.json"

    @property
    def instance(self) -> Path:
        """Where the running instance answers: {"url", "pid", "version"} for commands on this machine."""
        return self.run / "instance.json"

    @property
    def supervisord_conf(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def session_template(self) -> Path:
        """How supervisord's plugin runs a session's worker."""
        return self.run / "session-template.json"

    @property
    def lock(self) -> Path:
        """Locked as long as the instance runs; holds the pid of whoever holds it."""
        return self.run / "instance.lock"

    @property
    def supervisord_pid(self) -> Path:
        return self.run / "supervisord.pid"

    @property
    def supervisord_socket(self) -> Path:
        return self.run / "supervisord.sock"

    @property
    def zygote_socket(self) -> Path:
        return self.run / "zygote.sock"

    @property
    def sandbox_socket(self) -> Path:
        return self.run / "sandbox.sock"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis" / "redis.sock"

    @property
    def postgres_socket_dir(self) -> Path:
        return self.run / "postgres"

    @property
    def specs(self) -> Path:
        """Worker specifications of plainly executed workers (0600 each)."""
        return self.run / "specs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """Data and binaries of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        """Data and binary of the embedded Redis."""
        return self.root / "redis"

    @property
    def sandbox(self) -> Path:
        """The sandbox WhatsApp's memory."""
        return self.root / "sandbox"

    @property
    def cache(self) -> Path:
        """What can be made again: the prepared copy of the WhatsApp library."""
        return self.root / "cache"

    @property
    def archive(self) -> Path:
        """Folders of deleted sessions, kept for a time."""
        return self.root / "archive"

    def log(self, program: str) -> Path:
        """The log file of one program."""
        return self.logs / f"{program}.log"

    def session_log(self, session_id: str) -> Path:
        """The log file of one session's worker."""
        return self.logs / "sessions" / f"{session_id}.log"

    def check_sockets(self) -> None:
        """Raises InvalidSettings when a socket's path would be too long for the kernel."""
        longest = max(
            (
                self.supervisord_socket.with_name(self.supervisord_socket.name + _PID_SUFFIX),
                self.zygote_socket,
                self.sandbox_socket,
                self.redis_socket,
                self.postgres_socket_dir / ".s.PGSQL.5432",
            ),
            key=lambda path: len(os.fsencode(path)),
        )
        if len(os.fsencode(longest)) > SOCKET_PATH_LIMIT:
            raise InvalidSettings(
                f"ZAPVISOR_HOME is too long: {longest} has more than {SOCKET_PATH_LIMIT} bytes",
                field="ZAPVISOR_HOME",
                hint="choose a shorter folder",
            )


def session_folder(storage: Path, session_id: str) -> Path:
    """The folder that holds one session's keys, chats and media."""
    return storage / f"session_{session_id}"

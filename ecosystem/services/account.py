"""Who the embedded services run as, what that user can reach, and how a program turns into its server."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from ecosystem.contract.errors import InvalidSettings
from ecosystem.lifeline import die_with_parent

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable
    from pathlib import Path

    from ecosystem.settings import Settings

CANDIDATES: Final = ("zapvisor", "postgres")
"""Tried in this order when the settings name nobody."""

_MINIMAL_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Account(msgspec.Struct, frozen=True):
    """An operating-system user a server runs as."""

    name: str
    uid: int
    gid: int
    switches: bool
    """Whether becoming it is a change of user: false for an ordinary user, who stays what they are."""


def service_account(settings: Settings) -> Account:
    """The user of the embedded services: POSTGRES_USER, else zapvisor, else postgres when root starts them; else the caller.

    PostgreSQL refuses to run as root. Raises InvalidSettings when there is no such user.
    """
    if os.geteuid() != 0:
        return Account(name=_own_name(), uid=os.geteuid(), gid=os.getegid(), switches=False)
    wanted = (settings.postgres_user,) if settings.postgres_user else CANDIDATES
    for name in wanted:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise InvalidSettings(
                f"PostgreSQL cannot run as {name}: that is root", field="POSTGRES_USER", hint="name an ordinary user"
            )
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, switches=True)
    raise InvalidSettings(
        f"PostgreSQL cannot run as root, and there is no user {' or '.join(wanted)}",
        field="POSTGRES_USER",
        hint=f"create one: useradd --system {wanted[0]}; or set POSTGRES_USER, or DATABASE_URL and REDIS_URL",
    )


def check_reachable(folder: Path, account: Account) -> None:
    """Raises InvalidSettings when a parent of `folder` keeps `account` out. The parents' modes are the operator's affair."""
    barred = barrier(folder.parent, account)
    if barred is not None:
        raise InvalidSettings(
            f"the user {account.name}, which PostgreSQL and Redis run as, cannot enter {barred}, so it cannot reach {folder}",
            field="ZAPVISOR_HOME",
            hint="choose another folder, such as /var/lib/zapvisor",
        )


def barrier(path: Path, account: Account) -> Path | None:
    """The first folder on the way down to and including `path` that `account` may not enter; None when all are open to it."""
    if not account.switches:
        return None
    resolved = path.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None  # what does not exist yet is made by us
        if not may_enter(status, account):
            return folder
    return None


def may_enter(status: os.stat_result, account: Account) -> bool:
    """Whether the mode's search bit that counts for `account` (owner's, group's or others') is set."""
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def shared_folder(path: Path, account: Account) -> None:
    """Makes a folder of ours that `account` may pass through but neither list nor change."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.switches and not may_enter(path.stat(), account):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o011)


def own_folder(path: Path, account: Account) -> None:
    """Makes a folder that belongs to `account` alone (0700). Its parent must belong to us: nobody can then swap it for a link."""
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if account.switches:
            os.fchown(descriptor, account.uid, account.gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def environment(account: Account, folder: Path, extra: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """A server's environment: nothing of ours but what ties it to this instance's supervisord."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SUPERVISOR_")}
    own = {"PATH": _MINIMAL_PATH, "LANG": "C", "TZ": "UTC", "HOME": str(folder), "USER": account.name}
    return kept | own | dict(extra)


def become(
    argv: list[str], account: Account, env: dict[str, str], *, last_words: signal.Signals, parent: int
) -> NoReturn:
    """Turns this process into the server, as `account`, tied to `parent`: it gets `last_words` when that one dies.

    Raises OSError when the program cannot be executed.
    """
    os.umask(0o077)
    if account.switches:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
    die_with_parent(last_words, parent=parent)  # after setuid: a change of user clears it
    os.execve(argv[0], argv, env)  # noqa: S606


def as_account(account: Account) -> dict[str, int | list[int]]:
    """Arguments that make subprocess.run act as `account`."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account.switches else {}


def write(path: Path, text: str) -> None:
    """Writes a file of ours that a service reads, all or nothing."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)


def sync_folder(path: Path) -> None:
    """Makes a rename in `path` survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())

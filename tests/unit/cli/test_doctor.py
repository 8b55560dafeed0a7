"""Each check, on good ground and on bad."""

from __future__ import annotations

import ctypes.util
import os
import resource
import shutil
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.commands import doctor, running
from cli.commands.findings import FAIL, OK, WARN, Finding
from ecosystem import pages
from ecosystem.settings import Settings, check

if TYPE_CHECKING:
    from collections.abc import Callable


def settings(tmp_path: Path, **values: object) -> Settings:
    return check({"home": str(tmp_path), **values})


def patched(monkeypatch: pytest.MonkeyPatch, target: object, name: str, value: object) -> None:
    monkeypatch.setattr(target, name, value)


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_python().result == OK
    patched(monkeypatch, sys, "version_info", (3, 10, 1))
    found = doctor.check_python()
    assert (found.result, found.detail) == (FAIL, "3.10.1")
    assert found.hint


@pytest.mark.parametrize(
    ("check_one", "module", "name", "bad"),
    [
        (doctor.check_libmagic, ctypes.util, "find_library", FAIL),
        (doctor.check_ffmpeg, shutil, "which", WARN),
        (doctor.check_engine, doctor, "find_spec", FAIL),
    ],
)
def test_something_missing(
    check_one: Callable[[], Finding], module: object, name: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(monkeypatch, module, name, lambda _: None)
    found = check_one()
    assert found.result == bad
    assert found.hint
    patched(monkeypatch, module, name, lambda _: "/there")
    assert check_one().result == OK


def test_home(tmp_path: Path) -> None:
    home = settings(tmp_path / "new")
    assert [(found.check, found.result) for found in doctor.check_home(home)] == [("home", OK), ("disk", OK)]
    (tmp_path / "new").mkdir()
    key = home.paths.admin_key
    key.write_text("k")
    key.chmod(0o644)
    bad = [found for found in doctor.check_home(home) if found.result == FAIL]
    assert [found.check for found in bad] == ["secrets"]
    assert bad[0].hint == f"chmod 600 {key}"
    key.chmod(0o600)
    assert not [found for found in doctor.check_home(home) if found.result != OK]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    patched(monkeypatch, shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    assert [found.result for found in doctor.check_home(settings(tmp_path)) if found.check == "disk"] == [WARN]


def test_service_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, os, "geteuid", lambda: 0)
    missing = doctor.check_service_user(settings(tmp_path, postgres_user="nobody-has-this-name"))
    assert missing.result == FAIL
    assert missing.hint is not None
    assert "useradd" in missing.hint
    external = {"database_url": "postgresql://x", "redis_url": "redis://x"}
    assert doctor.check_service_user(settings(tmp_path, postgres_user="nobody-has-this-name", **external)).result == OK
    patched(monkeypatch, os, "geteuid", lambda: 1000)
    assert doctor.check_service_user(settings(tmp_path, postgres_user="nobody-has-this-name")).result == OK


def test_home_the_service_user_cannot_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, os, "geteuid", lambda: 0)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        home = settings(Path(folder) / "home", postgres_user="nobody")
        Path(folder).chmod(0o711)
        assert doctor.check_service_user(home).result == OK
        Path(folder).chmod(0o700)
        barred = doctor.check_service_user(home)
        assert barred.result == FAIL
        assert folder in barred.detail


def test_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings(tmp_path, base_port=20000, max_sessions=2, spare_ports=1)
    taken: set[int] = set()
    patched(monkeypatch, doctor, "is_free", lambda _, port: port not in taken)
    assert [found.result for found in doctor.check_ports(wanted)] == [OK, OK]
    taken |= {20001}
    assert [found.result for found in doctor.check_ports(wanted)] == [OK, OK], "a spare port makes up for a busy one"
    taken |= {20002, wanted.port}
    assert [found.result for found in doctor.check_ports(wanted)] == [FAIL, WARN]


def test_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_clock().result in {OK, WARN}
    patched(monkeypatch, doctor, "_clock_state", lambda: 0)
    assert doctor.check_clock().result == OK
    patched(monkeypatch, doctor, "_clock_state", lambda: doctor.TIME_ERROR)
    assert doctor.check_clock().result == WARN
    patched(monkeypatch, time, "time", lambda: 0.0)
    assert doctor.check_clock().result == FAIL


@pytest.mark.parametrize(("shift_s", "warns"), [(0, False), (3600, True), (-3600, True)])
def test_skew(shift_s: int, warns: bool) -> None:
    date = formatdate(time.time() + shift_s, usegmt=True)
    assert [found.result for found in running.check_skew(date)] == ([WARN] if warns else [])


@pytest.mark.parametrize("date", [None, "nonsense"])
def test_skew_nobody_can_tell(date: str | None) -> None:
    assert list(running.check_skew(date)) == []


def test_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, resource, "getrlimit", lambda _: (1024, 2000))
    assert doctor.check_open_files(settings(tmp_path, max_sessions=100)).result == OK
    short = doctor.check_open_files(settings(tmp_path, max_sessions=1000))
    assert (short.result, "8512" in short.detail) == (WARN, True)


def test_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/zapvisor.service\n")
    group = tmp_path / "groups/system.slice/zapvisor.service"
    group.mkdir(parents=True)
    patched(monkeypatch, doctor, "GROUP", own)
    patched(monkeypatch, doctor, "GROUPS", tmp_path / "groups")
    patched(monkeypatch, os, "geteuid", lambda: 0)
    assert doctor.check_tasks(settings(tmp_path, max_sessions=1000)).result == OK
    (group / "pids.max").write_text("max\n")
    (group.parent / "pids.max").write_text("4915\n")
    assert doctor.check_tasks(settings(tmp_path, max_sessions=100)).result == OK
    short = doctor.check_tasks(settings(tmp_path, max_sessions=1000))
    assert (short.result, "4915" in short.detail, "TasksMax" in str(short.hint)) == (WARN, True, True)
    patched(monkeypatch, os, "geteuid", lambda: 1000)
    patched(monkeypatch, resource, "getrlimit", lambda _: (50, 100))
    assert "100 threads" in doctor.check_tasks(settings(tmp_path, max_sessions=10)).detail


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal: 9 kB\nMemAvailable: 2097152 kB\n")
    patched(monkeypatch, doctor, "MEMINFO", told)
    assert doctor.check_memory(settings(tmp_path, max_sessions=100)).result == OK
    assert doctor.check_memory(settings(tmp_path, max_sessions=200)).result == WARN
    patched(monkeypatch, doctor, "MEMINFO", tmp_path / "none")
    assert doctor.check_memory(settings(tmp_path)).result == OK


def test_sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "library", lambda: "/app/_pages.so")
    assert doctor.check_sweeping().result == OK
    monkeypatch.setattr(pages, "library", lambda: None)
    missing = doctor.check_sweeping()
    assert (missing.result, "4 MB more" in missing.detail, "gcc" in str(missing.hint)) == (WARN, True, True)


def test_merging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    patched(monkeypatch, doctor, "MERGING", run)
    assert doctor.check_merging().result == WARN
    run.write_text("0\n")
    off = doctor.check_merging()
    assert (off.result, "echo 1" in str(off.hint)) == (WARN, True)
    run.write_text("1\n")
    assert doctor.check_merging().result == OK


@pytest.mark.parametrize(("base", "result"), [(3001, OK), (32700, WARN), (40000, WARN), (61000, OK)])
def test_workers_ports_and_outgoing_ones(
    base: int, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "range"
    told.write_text("32768\t60999\n")
    patched(monkeypatch, doctor, "EPHEMERAL", told)
    assert doctor.check_ephemeral(settings(tmp_path, base_port=base)).result == result


def test_folders_of_sessions_are_nobody_else_s(tmp_path: Path) -> None:
    kept = settings(tmp_path)
    folder = kept.storage / "session_alpha"
    folder.mkdir(parents=True, mode=0o700)
    assert all(found.result != FAIL for found in doctor.check_home(kept))
    folder.chmod(0o755)
    found = [one for one in doctor.check_home(kept) if one.result == FAIL]
    assert [(one.check, one.hint) for one in found] == [("sessions", f"chmod 700 {folder}")]

"""The repository as such: nothing in it that belongs elsewhere, and the rules every file keeps."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
TOOLS: Final = {
    "3ea125d0bff386e6", "487b91042c7cf27a", "57de4cf40144bdf7", "60965168ce762e94", "94a168d2da574b00",
    "b34563e2ebeb7717", "c70eca6b0f88f44d", "c857d09db23e6822", "d27b16f8b51ba51a", "d298391b07433318",
    "de2187af3fb01170",
}  # fmt: skip
LOCKS: Final = ["requirements.lock", "requirements-dev.lock", "deploy/setup/build.lock"]
SCRIPTS: Final = [
    ".ci/run",
    *(f"deploy/setup/{name}.sh" for name in ("environment", "system-packages", "file-sizes", "lock")),
]


@cache
def files() -> tuple[Path, ...]:
    """Every file that is, or is about to be, tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30
    ).stdout
    paths = (ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts() -> list[tuple[Path, str]]:
    """The files with their text; binary ones are left out."""
    found = []
    for path in files():
        raw = path.read_bytes()
        if b"\0" not in raw:
            found.append((path.relative_to(ROOT), raw.decode("utf-8")))
    return found


def python_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def test_the_scan_sees_the_project() -> None:
    names = {str(path) for path, _ in texts()}
    assert {"README.md", "pyproject.toml", "Makefile", "ecosystem/home.py", "requirements.lock"} <= names
    assert len(python_files()) > 40


def test_no_word_about_the_tools_it_was_made_with() -> None:
    """Kept as hashes, so that this file does not hold them."""
    where: dict[str, set[str]] = {}
    for path, text in texts():
        for word in set(re.findall(r"[a-z]+", text.lower())):
            where.setdefault(word, set()).add(str(path))
    found = {word: where[word] for word in where if hashlib.sha256(word.encode()).hexdigest()[:16] in TOOLS}
    assert not found


@pytest.mark.parametrize("backwards", ["/krow/", "ipyp/tpo/", "sleehw/tpo/", "vneyp.", "feirb/pmt/", "wohs seussi"])
def test_no_path_of_a_development_machine(backwards: str) -> None:
    """Written backwards, so that this file does not hold them."""
    assert not [str(path) for path, text in texts() if backwards[::-1] in text]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_registry(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(index-url|extra-index-url|find-links|trusted-host)", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_and_hash_everything(name: str) -> None:
    text = (ROOT / name).read_text()
    entry = re.compile(r"^(\S+==\S+) \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+", re.MULTILINE)
    entries = entry.findall(text)
    pinned = re.findall(r"^[A-Za-z0-9]\S*", text, re.MULTILINE)
    assert entries
    assert entries == pinned


def test_locks_agree_with_each_other() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
    assert pins("deploy/setup/build.lock") <= pins("requirements-dev.lock")


def test_no_python_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines for path in python_files() if (lines := path.read_text().count("\n")) > 500
    }
    assert not long, "a longer one holds two things"


def test_no_module_without_a_subject() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in python_files() if path.stem.strip("_") in empty]


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_executable_and_parse(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / name).read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in (ROOT / name).read_text()
    subprocess.run(["bash", "-n", ROOT / name], check=True, timeout=10)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
    ).stdout
    wanted = "help setup run demo test test-unit test-integration test-e2e check format lock bench clean"
    assert set(wanted.split()) <= {line.split()[0] for line in listed.splitlines()}

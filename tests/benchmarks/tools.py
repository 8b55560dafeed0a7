"""Programs the benchmarks compare with or measure by, where the machine has none: from the registries, into `build/peers`.

Nothing is installed into the system. What cannot be had raises Unavailable with the reason, and its figures are absent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.benchmarks.figures import Unavailable
from tests.e2e.instance import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = REPOSITORY / "build" / "peers"
PM2: Final = "pm2@7.0.4"
BAILEYS: Final = "baileys@7.0.0-rc14"
_INSTALL_S: Final = 300.0


class Program(NamedTuple):
    """Where it is, and the environment it is started with."""

    path: str
    environ: dict[str, str]


def wrk() -> Program:
    """A generator of HTTP requests, written in C. Raises Unavailable."""
    return _packaged("wrk", ("wrk", "libluajit-5.1-2"), "usr/bin/wrk")


def nginx() -> Program:
    """Raises Unavailable."""
    return _packaged("nginx", ("nginx",), "usr/sbin/nginx")


def chromium() -> str:
    """Raises Unavailable."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise Unavailable("there is no Chromium on this machine: `make setup-dev` as root installs it")


def node() -> str:
    """Raises Unavailable."""
    found = shutil.which("node")
    if found is None:
        raise Unavailable("there is no node on this machine: `make setup-dev` as root installs it")
    return found


def npm_folder() -> Path:
    """The folder whose `node_modules` has PM2 and Baileys. Raises Unavailable."""
    node()
    folder = FOLDER / "npm"
    if all((folder / "node_modules" / name / "package.json").exists() for name in ("pm2", "baileys")):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("there is no npm on this machine, and PM2 and Baileys come from its registry")
    folder.mkdir(parents=True, exist_ok=True)
    _run(
        "PM2 and Baileys could not be installed",
        [
            npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev",
            "--omit=optional", "--omit=peer", PM2, BAILEYS,
        ],
        folder,
    )  # fmt: skip
    return folder


def _packaged(name: str, packages: tuple[str, ...], path: str) -> Program:
    """A program of the system, else unpacked from the distribution's packages."""
    if found := shutil.which(name):
        return Program(found, dict(os.environ))
    root = FOLDER / name
    if not (root / path).exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            raise Unavailable(f"there is no {name} on this machine, and no apt-get to fetch it with")
        archives = root / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        _download(name, packages, archives)
        for archive in archives.glob("*.deb"):
            _run(f"{name} could not be unpacked", ["dpkg", "-x", str(archive), str(root)], root)
    libraries = [str(folder) for folder in root.glob("usr/lib/*-linux-gnu")]
    before = os.environ.get("LD_LIBRARY_PATH")
    joined = os.pathsep.join([*libraries, *([before] if before else [])])
    return Program(str(root / path), dict(os.environ) | ({"LD_LIBRARY_PATH": joined} if joined else {}))


def _download(name: str, packages: tuple[str, ...], folder: Path) -> None:
    """The packages as archives. The lists of a fresh machine may be absent or stale: root renews them and tries once more."""
    command = ["apt-get", "download", *packages]
    try:
        _run(f"{name} could not be fetched", command, folder)
    except Unavailable:
        if os.getuid():
            raise
        _run("the package lists could not be renewed", ["apt-get", "update", "-qq"], folder)
        _run(f"{name} could not be fetched", command, folder)


def _run(failure: str, command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise Unavailable(f"{failure}: {lines[-1] if lines else error}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{failure} within {_INSTALL_S:g} s") from error

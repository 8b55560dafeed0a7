"""The product as an ordinary user: started by root, these tests run again as one, in a checkout of their own.

Nothing of root's can be assumed readable for that user, so the packages get a second name and the checkout a copy below /tmp, and
the interpreter is one of the system's where root has its own.
An ordinary user's own run of the suite needs none of this: there every test is the proof.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.instance import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = "nobody"
PROVED: Final = (
    "tests/integration/services/test_services.py",
    "tests/e2e/test_messages.py",
    "tests/e2e/test_startup.py",
    "tests/e2e/test_processes.py::test_plain_execution_without_the_zygote",
    "tests/e2e/test_processes.py::test_up_in_the_foreground_ends_with_ctrl_c_and_leaves_nothing",
)
_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIMIT_S: Final = 400


class Quarters:
    """A folder of the user's own: the interpreter, the packages, the checkout and a virtual environment over them."""

    def __init__(self, root: Path, account: pwd.struct_passwd) -> None:
        self.root = root
        self.account = account
        self.checkout = root / "checkout"
        self.python = root / "venv" / "bin" / "python"

    def furnish(self) -> None:
        self.root.chmod(0o755)
        interpreter = self._interpreter()
        packages = self.root / "packages"
        _double(Path(sysconfig.get_path("purelib")), packages)
        self._copy_checkout()
        self._run([interpreter, "-m", "venv", "--without-pip", str(self.root / "venv")], user=False)
        (site,) = (self.root / "venv").glob("lib/python*/site-packages")
        # The checkout first: the packages hold a reference to root's own.
        (site / "quarters.pth").write_text(f"{self.checkout}\nimport site; site.addsitedir({str(packages)!r})\n")
        command = self.python.with_name("zapvisor")
        command.write_text(f"#!{self.python}\nimport sys\nfrom cli.root import main\nsys.exit(main())\n")
        command.chmod(0o755)
        supervisorctl = self.python.with_name("supervisorctl")
        supervisorctl.write_text(f"#!{self.python}\nfrom supervisor.supervisorctl import main\nmain()\n")
        supervisorctl.chmod(0o755)

    def _interpreter(self) -> str:
        """One the user may execute and our compiled packages fit."""
        words = sysconfig.get_config_var("SOABI")
        question = "import ssl, sysconfig, venv; print(sysconfig.get_config_var('SOABI'))"
        for candidate in (str(Path(sys.executable).resolve()), f"/usr/local/bin/{_PYTHON}", f"/usr/bin/{_PYTHON}"):
            try:
                answer = self._run([candidate, "-I", "-c", question], user=True)
            except OSError:
                continue
            if answer.stdout.strip() == words:
                return candidate
        pytest.skip(f"there is no {_PYTHON} that {self.account.pw_name} may execute")

    def _copy_checkout(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=REPOSITORY, capture_output=True, check=True, timeout=30,
        ).stdout  # fmt: skip
        for name in filter(None, map(os.fsdecode, listed.split(b"\0"))):
            if (REPOSITORY / name).is_file():
                target = self.checkout / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, target)
        for path in (self.checkout, *self.checkout.rglob("*")):
            os.chown(path, self.account.pw_uid, self.account.pw_gid)
            path.chmod(0o755 if path.is_dir() else 0o644)

    def run_tests(self) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *PROVED]
        return self._run(command, user=True, cwd=self.checkout)

    def _run(self, command: list[str], *, user: bool, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        account = self.account
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "CI") if name in os.environ}
        environment = {**kept, "HOME": str(self.root), "USER": account.pw_name, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command,
            env=environment,
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=not user,
            user=account.pw_uid if user else None,
            group=account.pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def _link(source: str, target: str) -> None:
    """A second name for a file, and a copy where that is not possible: on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _double(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=_link)
    for path in (target, *(path for path in target.rglob("*") if path.is_dir())):
        path.chmod(0o755)


@pytest.fixture
def quarters() -> Iterator[Quarters]:
    root = Path(tempfile.mkdtemp(prefix="zvu-", dir="/tmp"))
    try:
        yield Quarters(root, pwd.getpwnam(USER))
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_services_sessions_and_plain_execution_as_an_ordinary_user(quarters: Quarters) -> None:
    if os.geteuid() != 0:
        return  # the suite itself is run by one
    quarters.furnish()
    done = quarters.run_tests()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout

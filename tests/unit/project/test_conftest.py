"""What `tests/conftest.py` promises: shown by small runs of pytest with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]


def run(folder: Path, source: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs one test file under the conftest and configuration of this project."""
    (folder / "test_it.py").write_text(source)
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder / "test_it.py")],
        cwd=ROOT, env=clean | environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


SKIPS: Final = {
    "a marked test": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): ...",
    "a call": "import pytest\ndef test_it(): pytest.skip('why')",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('why')\ndef test_it(f): ...",
    "a whole file": "import pytest\npytest.skip('why', allow_module_level=True)",
}


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_is_a_failure_in_ci_only(kind: str, tmp_path: Path) -> None:
    assert run(tmp_path, SKIPS[kind]).returncode in {0, 5}
    done = run(tmp_path, SKIPS[kind], CI="true")
    assert done.returncode in {1, 2}, done.stdout
    assert "skipped, which is a failure in CI" in done.stdout
    assert "why" in done.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False"
    done = run(tmp_path, source, CI="true")
    assert (done.returncode, "1 xfailed" in done.stdout) == (0, True), done.stdout


def test_settings_and_proxies_do_not_reach_the_tests(tmp_path: Path) -> None:
    names = {
        "PORT": "1", "ZAPVISOR_HOME": "/x", "PM2_HOME": "/x", "POSTGRES_HOST": "h", "SUPABASE_URL": "u", "https_proxy": "http://p:1",
        "NO_PROXY": "*", "DATABASE_URL": "u",
    }  # fmt: skip
    source = f"import os\ndef test_it():\n    assert not set({list(names)!r}) & set(os.environ)\n"
    source += "    assert os.environ['HOME'] == '/srv/me'"
    done = run(tmp_path, source, HOME="/srv/me", **names)
    assert done.returncode == 0, done.stdout


BLOCKS: Final = """
from pathlib import Path
from ecosystem.settings import Settings, save
async def test_it(tmp_path):
    save(Settings(home="/x"), tmp_path / "settings.json")
"""


def test_a_blocking_call_of_the_product_on_the_loop_fails(tmp_path: Path) -> None:
    done = run(tmp_path, BLOCKS)
    assert done.returncode == 1
    assert "BlockingError" in done.stdout


@pytest.mark.parametrize("call", ["", "async "])
def test_tests_themselves_and_code_off_the_loop_may_block(call: str, tmp_path: Path) -> None:
    source = f"import time\n{call}def test_it(): time.sleep(0.01)\n" + BLOCKS.replace("async ", "").replace(
        "test_it", "test_off"
    )
    done = run(tmp_path, source)
    assert done.returncode == 0, done.stdout

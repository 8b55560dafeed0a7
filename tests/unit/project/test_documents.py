"""The documents say what is so: generated ones are current, both READMEs agree, links and proofs exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

from ecosystem.contract.errors import all_errors
from ecosystem.settings import load

ROOT: Final = Path(__file__).resolve().parents[3]
READMES: Final = (ROOT / "README.md", ROOT / "README.pt-BR.md")
PAGES: Final = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def code_blocks(path: Path) -> list[str]:
    """What stands between fences, without the comments, which are translated."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return ["\n".join(re.sub(r"\s+# .*", "", line).rstrip() for line in block.splitlines()) for block in blocks]


def outline(path: Path) -> list[int]:
    """The levels of the headings, in order."""
    without_code = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code, re.MULTILINE)]


def test_generated_documents_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", [cls.code for cls in all_errors()])
def test_every_error_code_is_documented(code: str) -> None:
    assert f"| `{code}` |" in (ROOT / "docs/errors.md").read_text(encoding="utf-8")


def test_both_readmes_have_the_same_parts() -> None:
    english, portuguese = READMES
    assert len(code_blocks(english)) >= 4
    assert code_blocks(english) == code_blocks(portuguese)
    assert outline(english) == outline(portuguese)


def test_both_readmes_have_the_same_tables_and_links() -> None:
    for pattern in (r"^\|(?:---\|)+$", r"^\| `[^|]*`", r"\]\(([^)]+)\)"):
        english, portuguese = (re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE) for path in READMES)
        other = {"README.md", "README.pt-BR.md"}
        assert [each for each in english if each not in other] == [each for each in portuguese if each not in other]


def test_the_readmes_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", READMES[0].read_text(encoding="utf-8"), re.MULTILINE))
    assert {"run", "test"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def requirements() -> list[tuple[int, str, str]]:
    """Number, state and proof of every row."""
    text = (ROOT / "docs/requirements.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .*? \| (holds|partly|not yet) \| (.*) \|$", text, re.MULTILINE)
    return [(int(number), state, proof) for number, state, proof in rows]


def test_every_requirement_has_a_row_and_a_state() -> None:
    assert [number for number, _, _ in requirements()] == list(range(1, 401))


def test_what_is_claimed_has_a_proof_that_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for number, state, proof in requirements():
        names = re.findall(r"`([^`]+)`", proof)
        paths = [name for name in names if "/" in name and not name.startswith(("GET", "POST", "/"))]
        assert not [path for path in paths if not (ROOT / path.partition("::")[0]).exists()], number
        assert not [name for name in names if name.startswith("make ") and name[5:] not in targets], number
        if state == "holds":
            assert any(path.startswith("tests/") for path in paths), f"{number} holds, but which test shows it?"


def test_examples_of_configuration_are_valid(tmp_path: Path) -> None:
    """As they are, and with every commented line switched on."""
    (tmp_path / "ecosystem.toml").write_text((ROOT / "ecosystem.example.toml").read_text())
    dotenv = (ROOT / ".env.example").read_text()
    (tmp_path / ".env").write_text(dotenv)
    assert load(environ={}, folder=tmp_path).max_sessions == 100
    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", dotenv, flags=re.MULTILINE))
    assert load(environ={}, folder=tmp_path).sandbox is True


def test_compose_files_set_only_settings_that_exist(tmp_path: Path) -> None:
    for name in ("compose.yaml", "compose.services.yaml"):
        content = yaml.safe_load((ROOT / "deploy" / name).read_text())
        names = content["services"]["zapvisor"]["environment"]
        (tmp_path / ".env").write_text("".join(f"{each}=\n" for each in names))
        load(environ={}, folder=tmp_path)


def test_the_image_sets_only_settings_that_exist(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    pairs = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)", text, re.MULTILINE))))
    foreign = {"PATH", "PYTHONUNBUFFERED", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in pairs.items() if name not in foreign))
    settings = load(environ={}, folder=tmp_path)
    assert (settings.home, settings.listen_host, settings.port, settings.base_port) == ("/data", "0.0.0.0", 3000, 3001)  # noqa: S104
    assert settings.environment == "production"


def test_what_the_image_copies_passes_dockerignore() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_licence_is_the_one_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text

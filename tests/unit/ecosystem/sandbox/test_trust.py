"""The key swap: what it refuses, and that it brings nothing into a worker. That it works is shown with the real library."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from ecosystem.sandbox import launch, trust
from tests.support.neonize_session import REPOSITORY


@pytest.mark.parametrize("value", ["", "zz" * 32, "11" * 31, "11" * 33])
def test_without_a_root_key_nothing_is_swapped(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.ROOT_VARIABLE, value)
    with pytest.raises(trust.TrustError, match="64 hex digits"):
        trust.install()


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.ROOT_VARIABLE, "11" * 32)
    monkeypatch.setattr(trust, "LIBRARY", "no-such-library-")
    with pytest.raises(trust.TrustError, match="not loaded"):
        trust.install()


class Memory:
    """A piece of memory that stands for the library's data segment."""

    def __init__(self, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self._buffer = ctypes.create_string_buffer(content, len(content))
        start = ctypes.addressof(self._buffer)
        monkeypatch.setattr(trust, "_writable_spans", lambda: [(start, start + len(content))])
        monkeypatch.setenv(trust.ROOT_VARIABLE, "11" * 32)

    @property
    def content(self) -> bytes:
        return self._buffer.raw


def test_exactly_the_one_key_is_replaced_and_a_second_call_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(b"before" + trust.PINNED_ROOT + b"after", monkeypatch)
    trust.install()
    assert memory.content == b"before" + b"\x11" * 32 + b"after"
    trust.install()
    assert memory.content == b"before" + b"\x11" * 32 + b"after"


@pytest.mark.parametrize("copies", [0, 2])
def test_another_library_is_left_alone(copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"data" + trust.PINNED_ROOT * copies
    memory = Memory(content, monkeypatch)
    with pytest.raises(trust.TrustError, match=f"found {copies}"):
        trust.install()
    assert memory.content == content


def test_it_imports_nothing_heavy() -> None:
    """It is loaded by the process all workers are forked from."""
    script = (
        "import sys; before = set(sys.modules); import ecosystem.sandbox.trust; "
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded <= {"ecosystem", "ctypes", "_ctypes", "struct", "_struct", "typing", "collections", "functools"} | {
        *("re", "enum", "contextlib", "operator", "itertools", "keyword", "reprlib", "copyreg", "types", "warnings"),
        *("_typing", "_operator", "_functools", "_collections", "heapq", "_heapq", "__future__"),
    }


@pytest.mark.parametrize("arguments", [[], ["-m"], ["module"], ["module", "-m"]])
def test_a_wrong_call_of_the_launcher_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(arguments) == 2
    assert "usage" in capsys.readouterr().err

"""Where the part written in C is found, and what follows when it is not."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

from ecosystem import pages


def built(path: str) -> SimpleNamespace:
    return SimpleNamespace(__file__=path, sweep=lambda: (8192, 4096))


@pytest.mark.parametrize(
    ("module", "path"),
    [
        (built("/app/ecosystem/_pages.cpython-311-x86_64-linux-gnu.so"), "/app/ecosystem/_pages.cpython-311-x86_64-linux-gnu.so"),
        (built("/home/a b/_pages.so"), None),  # the loader would take it for two
        (built("/home/a:b/_pages.so"), None),
        (None, None),
    ],
)  # fmt: skip
def test_the_library(module: object, path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_built", module)
    assert pages.library() == path


def test_a_kernel_that_does_not_tell_of_its_pages_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[None] = []

    def refuse() -> tuple[int, int]:
        asked.append(None)
        raise PermissionError("pagemap")

    monkeypatch.setattr(pages._State, "works", True)
    monkeypatch.setattr(pages, "_built", built("/app/_pages.so"))
    assert pages.sweep() == 4096
    monkeypatch.setattr(pages, "_built", SimpleNamespace(sweep=refuse))
    assert [pages.sweep(), pages.sweep()] == [0, 0]
    assert len(asked) == 1
    assert [record.message for record in caplog.records] == ["memory_not_given_back"]


def test_a_system_it_was_not_written_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(__file__="/app/_pages.so"))
    assert pages._find() is None
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ecosystem._pages", None)  # as where it was not built
    assert pages._find() is None

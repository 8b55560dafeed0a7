"""The language a person asked for, and that every text exists in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli import texts
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    texts.use(texts.ENGLISH)


@pytest.mark.parametrize(
    ("words", "environ", "language"),
    [
        ([], {}, "en"),
        ([], {"LANG": "pt_BR.UTF-8"}, "pt"),
        ([], {"LANG": "pt_BR.UTF-8", "LC_MESSAGES": "en_US"}, "en"),
        ([], {"LC_MESSAGES": "pt_PT", "LC_ALL": "C"}, "en"),
        ([], {"LC_ALL": "", "LANG": "pt"}, "pt"),
        ([], {"LC_ALL": "de_DE.UTF-8"}, "en"),
        ([], {"ZAPVISOR_LANG": "pt", "LC_ALL": "en_US.UTF-8"}, "pt"),
        (["list", "--lang", "pt-BR"], {"ZAPVISOR_LANG": "en"}, "pt"),
        (["--lang=en", "list"], {"LANG": "pt_BR.UTF-8"}, "en"),
        (["list", "--lang"], {"LANG": "pt_BR@euro"}, "pt"),
        (["send", "alpha", "5511912345678", "--", "--lang=pt"], {}, "en"),
    ],
)
def test_chosen(words: list[str], environ: dict[str, str], language: str) -> None:
    assert texts.chosen(words, environ) == language


def test_a_text_in_each_language() -> None:
    assert tr("hint: {hint}", hint="{as it is}") == "hint: {as it is}"
    texts.use("pt")
    assert texts.language() == "pt"
    assert tr("hint: {hint}", hint="x") == "dica: x"
    assert tr("nobody translated this {one}", one=1) == "nobody translated this 1"
    assert tr("no values: {left} alone") == "no values: {left} alone"

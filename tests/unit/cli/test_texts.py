"""The language a person asked for, and that every text exists in it."""

from __future__ import annotations

import string
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from cli import texts
from cli.root import main
from cli.texts import tr
from tests.unit.cli import spoken

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


FOR_DEVELOPERS = frozenset(
    {
        "Aborted!",
        "Arguments take exactly one parameter declaration, got {length}: {decls}.",
        "Boolean option {decl!r} cannot use the same flag for true/false.",
        "Choice({choices})",
        "Could not determine name for option with declarations {decls!r}",
        "Could not open file {filename!r}: {message}",
        "DeprecationWarning: The command {name!r} is deprecated.{extra_message}",
        "DeprecationWarning: The {param_type} {name!r} is deprecated.{extra_message}",
        "Error: The two entered values do not match.",
        "Error: invalid input",
        "Error: {message}",
        "Invalid start character for option ({option})",
        "Name '{name}' defined twice",
        "No options defined but a name was passed ({name}). Did you mean to declare an argument instead?"
        " Did you mean to pass '--{name}'?",
        "Positional arguments",
        "Press any key to continue...",
        "Repeat for confirmation",
        "Unknown color {colour!r}",
        "Value must be an iterable.",
        "deprecated",
        "{value!r} does not match the format {format}.",
        "{value!r} does not match the formats {formats}.",
        "{value!r} is not a valid UUID.",
    }
)
"""What click says of mistakes in the code, and of prompts, dates and the like, which this command has not."""

OTHERS = tuple(code for code in texts.LANGUAGES if code != texts.ENGLISH)


@pytest.mark.parametrize("code", OTHERS)
def test_no_text_is_missing(code: str) -> None:
    said = spoken.of_the_code() | spoken.of_the_help() | spoken.of_the_headings() | spoken.of_the_server()
    missing = (said | spoken.of_click() - FOR_DEVELOPERS) - set(texts.catalogue(code))
    assert not missing, f"cli/texts/{code} lacks them"


@pytest.mark.parametrize("code", OTHERS)
def test_no_text_is_unused(code: str) -> None:
    said = (
        spoken.of_the_code()
        | spoken.of_the_help()
        | spoken.of_the_headings()
        | spoken.of_the_server()
        | spoken.of_click()
    )
    # What servers say: a newer or older one may say more than this one.
    steps = set(import_module(f"cli.texts.{code}.steps").TEXTS)
    assert not set(texts.catalogue(code)) - said - steps, f"cli/texts/{code} has them, and nothing says them"
    assert spoken.of_click() >= FOR_DEVELOPERS


def fields(text: str) -> list[tuple[str | None, str | None, str | None]]:
    """The places for values in a text: name, format and conversion of each."""
    return sorted(part[1:] for part in string.Formatter().parse(text) if part[1] is not None)


@pytest.mark.parametrize("code", OTHERS)
def test_each_text_takes_the_values_its_english_takes(code: str) -> None:
    wrong = {}
    for english, other in texts.catalogue(code).items():
        try:
            same = fields(english) == fields(other)
        except ValueError:  # braces that are none of ours, as in an example of JSON
            same = english.count("{") == other.count("{")
        if not same or not other.strip():
            wrong[english] = other
    assert not wrong


def test_help_and_mistakes_speak_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lang", "pt", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Uso: zapvisor" in out
    assert "Sessões:" in out
    assert "(também: ls, l, ps)" in out
    assert main(["restart", "--help", "--lang=pt"]) == 0
    out = capsys.readouterr().out
    for text in (
        "Reinicia sessões num processo novo.",
        "Opções de todo comando:",
        "Exemplos:",
        "[padrão: 20",
        "Mostra esta mensagem",
    ):
        assert text in out
    assert main(["list", "--limit", "x", "--lang", "pt"]) == 2
    assert "erro: Valor inválido para '--limit'" in capsys.readouterr().err
    assert main(["start", "--lang", "pt"]) == 2
    assert "Falta o argumento 'SESSION...'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "Usage: zapvisor" in capsys.readouterr().out, "and English is itself again"


def test_a_language_nobody_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--lang", "tlh"]) == 2
    assert "en, pt" in capsys.readouterr().err

"""The words people read, in their language: `tr` gives a text in the language of this process.

English stands in the code and is the key; `cli/texts/<language>/` holds each other language, text by text. So English
loads no catalogue at all, a text nobody has translated yet is readable, and a test that walks the code and the command
tree finds every text that is missing or no longer used (`tests/unit/cli/test_texts.py`).

- A sentence: `tr("{shown} of {total} shown", shown=3, total=9)`. The first argument is always a literal.
- Help of commands and options is written in English where the command is; what renders it asks here.
- What the server says (errors, hints) is the server's and stays as it is, and so do stable words: states, reasons,
  names of events, codes of errors.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENGLISH: Final = "en"
LANGUAGES: Final = (ENGLISH, "pt")
VARIABLES: Final = ("ZAPVISOR_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a language is looked for after `--lang`; the first that is set decides, as in POSIX."""

_language = ENGLISH
_texts: Mapping[str, str] = {}


def tr(text: str, /, **values: object) -> str:
    """`text` in the language of this process, with `values` put in for `{names}`; English where nobody translated it."""
    shown = _texts.get(text, text)
    return shown.format(**values) if values else shown


def language() -> str:
    """The language of this process: one of LANGUAGES."""
    return _language


def use(code: str) -> None:
    """Makes `code`, one of LANGUAGES, the language of this process."""
    global _language, _texts
    _language = code
    _texts = catalogue(code)
    if code != ENGLISH:
        from cli.texts.clicking import teach

        teach()


def catalogue(code: str) -> Mapping[str, str]:
    """All that is translated into `code`; nothing for English."""
    if code == ENGLISH:
        return {}
    texts: Mapping[str, str] = import_module(f"cli.texts.{code}").TEXTS
    return texts


def chosen(words: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> str:
    """The language a command line asks for: `--lang`, else the first of VARIABLES that is set, else English.

    Looks at the words before they are parsed: help and mistakes of the command line speak it too.
    """
    flag = None
    for index, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--lang":
            flag = value if equals else next(iter(words[index + 1 :]), None)
    known = os.environ if environ is None else environ
    named = flag or next((known[name] for name in VARIABLES if known.get(name)), "")
    return parse(named) or ENGLISH


def parse(name: str) -> str | None:
    """The language a name such as `pt`, `pt-BR` or `pt_BR.UTF-8` means; None for one that is not spoken here."""
    code = name.replace("-", "_").partition("_")[0].partition(".")[0].partition("@")[0].lower()
    return code if code in LANGUAGES else None

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


def use(code: str, *, encoding: str = "utf-8") -> None:
    """Makes `code`, one of LANGUAGES, the language of this process.

    Where `encoding`, that of the output, lacks letters of the language, it is written without accents: over ssh without
    UTF-8 `sessoes` reads better than `sess?es`.
    """
    global _language, _texts
    _language = code
    _texts = catalogue(code)
    if code != ENGLISH and not _carries(encoding, "".join(_texts.values())):
        _texts = {english: _plain(text) for english, text in _texts.items()}
    if code != ENGLISH:
        from cli.texts.clicking import teach

        teach()


def _carries(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _plain(text: str) -> str:
    """`text` without accents; signs that are no letters stay, and become what the output has for them."""
    import unicodedata

    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))


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

"""Puts the code that every worker runs next to each other in memory.

CPython counts a reference in a code object whenever it is called, which makes a forked worker's page of it its own. A worker runs
some thousand functions; their code objects, of a kilobyte or two, lie as their modules were imported, nearly each on a page of
its own. Equal copies, made one after the other, need a fraction of the pages.
"""

from __future__ import annotations

import gc
import sys
import threading
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def called_by(work: Callable[[], object]) -> dict[int, CodeType]:
    """The code that ran while `work` did, in every thread begun by it, by id; in the order of first calls."""
    found: dict[int, CodeType] = {}

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call":
            found.setdefault(id(frame.f_code), frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def pack(hot: dict[int, CodeType]) -> int:
    """Gives the functions of `hot` copies of their code, made one after the other; how many functions got one.

    What is nested in a function (a closure, a comprehension) is copied along with it.
    """
    owners: dict[int, list[FunctionType]] = {}
    for found in gc.get_objects():
        if type(found) is FunctionType:
            owners.setdefault(id(found.__code__), []).append(found)
    copies: dict[int, CodeType] = {}
    for code in hot.values():
        for function in owners.get(id(code), ()):
            function.__code__ = _copy(code, hot, copies)
    # Now those that did not run themselves, for what is nested in them.
    for functions in owners.values():
        for function in functions:
            if (code := function.__code__) is not (copy := _copy(code, hot, copies)):
                function.__code__ = copy
    return sum(len(owners.get(id(code), ())) for code in hot.values())


def _copy(code: CodeType, hot: dict[int, CodeType], copies: dict[int, CodeType]) -> CodeType:
    """The copy of a code object; itself where neither it nor what is nested in it is hot."""
    known = copies.get(id(code))
    if known is not None:
        return known
    consts = tuple(_copy(each, hot, copies) if isinstance(each, CodeType) else each for each in code.co_consts)
    nested = any(one is not other for one, other in zip(consts, code.co_consts, strict=True))
    made = code.replace(co_consts=consts) if nested or id(code) in hot else code
    copies[id(code)] = made
    copies[id(made)] = made
    return made

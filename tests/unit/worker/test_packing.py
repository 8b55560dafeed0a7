"""Copies of code: equal in what they do, also where they are nested, and made only of what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.packing import called_by, pack

if TYPE_CHECKING:
    from collections.abc import Callable


def _outer(number: int) -> Callable[[int], list[int]]:
    """Holds a function that ran, and one that did not."""

    def inner(more: int) -> list[int]:
        return [number + more + each for each in range(2)]

    def never() -> None:
        raise AssertionError

    _ = never
    return inner


def _idle(*, word: str = "x") -> str:
    return word


def test_what_ran_is_copied_with_what_is_nested_in_it_and_behaves_as_before() -> None:
    made = _outer(1)
    hot = called_by(lambda: (_outer(1), made(1)))
    before = _outer.__code__, made.__code__, _idle.__code__
    pack({key: code for key, code in hot.items() if code.co_filename == __file__})
    assert _outer.__code__ is not before[0]
    assert _outer.__code__ == before[0]
    assert made.__code__ is not before[1]
    assert _idle.__code__ is before[2]
    assert _outer(1).__code__ in _outer.__code__.co_consts
    assert _outer(1).__code__ is made.__code__
    assert made(1) == _outer(1)(1) == [2, 3]
    assert _outer.__doc__ == "Holds a function that ran, and one that did not."


def test_a_function_that_did_not_run_gets_a_copy_for_what_is_nested_in_it() -> None:
    made = _outer(2)
    hot = called_by(lambda: made(2))
    before = _outer.__code__
    pack({key: code for key, code in hot.items() if code.co_filename == __file__})
    assert _outer.__code__ is not before
    assert _outer(2).__code__ is made.__code__

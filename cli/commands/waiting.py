"""Waiting with a limit, and doing one thing to many sessions at once."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import SessionView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cli.client import Client

T = TypeVar("T")

AT_ONCE: Final = 8
"""Requests one command has under way at the same time."""


def countdown(seconds: float) -> Callable[[], float]:
    """A function that tells how many of `seconds` are left from now on, never less than 0."""
    end = time.monotonic() + seconds
    return lambda: max(0.0, end - time.monotonic())


def pause_of(error: DomainError, *, most: float = 5.0) -> float:
    """How long to wait before the same request is tried again, in seconds."""
    return min(most, max(0.2, error.retry_after_s or 1.0))


def view_of(client: Client, session_id: str) -> SessionView:
    """The session as it is now. Raises SessionNotFound and whatever else the request meets."""
    return client.get(f"/sessions/{session_id}").decode(SessionView)


def each(items: Sequence[str], act: Callable[[str], T]) -> Iterator[tuple[str, T | DomainError]]:
    """`act` on every item, some at the same time; item and result (or failure) as they come.

    The threads are daemons: Ctrl-C ends the command at once, not after the slowest answer.
    """
    if len(items) == 1:
        yield items[0], _outcome(act, items[0])
        return
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, T | DomainError | Exception]] = queue.SimpleQueue()
    for item in items:
        todo.put(item)

    def work() -> None:
        while True:
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, _outcome(act, item)))
            except Exception as error:  # a mistake of ours: raised again where it is seen
                done.put((item, error))

    for number in range(min(AT_ONCE, len(items))):
        threading.Thread(target=work, name=f"each-{number}", daemon=True).start()
    for _ in items:
        item, outcome = done.get()
        if isinstance(outcome, Exception) and not isinstance(outcome, DomainError):
            raise outcome
        yield item, outcome


def _outcome(act: Callable[[str], T], item: str) -> T | DomainError:
    try:
        return act(item)
    except DomainError as error:
        return error

"""Sessions and answers as the menu gets them, and a server that gives the answers written down for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cli.client import Address, Answer, Client
from ecosystem.contract.errors import DomainError, SessionNotFound
from ecosystem.contract.session import DesiredState, Reason, SessionList, SessionState, SessionView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from cli.client import Cancel, Query

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def view(session_id: str, status: str = "authenticated", reason: str = "online", **more: Any) -> SessionView:
    """A session as the API shows it."""
    fields: dict[str, Any] = {
        "name": session_id, "detail": None, "next_step": None, "desired": DesiredState.RUNNING, "generation": 1,
        "created_at": WHEN, "updated_at": WHEN, "pid": 4711, "port": 3001, "uptime_s": 5.0,
    }  # fmt: skip
    return SessionView(session_id=session_id, status=SessionState(status), reason=Reason(reason), **(fields | more))


class WrittenServer(Client):
    """Answers from `answers` (method and path → a value, or an error to raise); what was asked is in `asked`. Has no events."""

    def __init__(self, *sessions: SessionView, **answers: Any) -> None:
        super().__init__(Address.parse("http://127.0.0.1:9"), "k" * 20)
        self.sessions = list(sessions)
        self.answers: dict[str, Any] = dict(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        wait: float = 0,
        accept: Collection[int] = (),
    ) -> Answer:
        given = msgspec.to_builtins(body)
        if method != "GET":
            self.asked.append((method, path, given))
        found = self.answers.get(f"{method} {path}", self._listed(method, path))
        if isinstance(found, DomainError):
            raise found
        return Answer(200, msgspec.json.encode(found), {})

    def _listed(self, method: str, path: str) -> object:
        if (method, path) == ("GET", "/sessions"):
            return SessionList(self.sessions, len(self.sessions), 500, 0)
        return SessionNotFound(f"nothing at {path}")

    def stream(
        self,
        path: str,
        query: Query | None = None,
        *,
        on_open: Callable[[], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[bytes]:
        return iter(())

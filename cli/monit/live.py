"""Keeps a board up to date: one thread listens to the feed of events, another looks at what they change.

States come by events. The list is asked for at each (re)connection, and from time to time for figures that have no event (memory,
CPU, uptime); while the feed is away it is the fall-back and asked for more often. Both threads are daemons, and end with `stop`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cli.client import Cancel
from cli.monit.board import Away, Feeding, Happened, Looked, Seen
from ecosystem.contract.errors import DomainError, ErrorKind
from ecosystem.contract.session import SessionList, SessionView
from ecosystem.contract.webhook import WebhookPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cli.client import Client, Query
    from cli.monit.board import Report

PAGE: Final = 500
FIGURES_S: Final = 5.0
"""Between two looks for figures, while events come."""
FALLBACK_S: Final = 2.0
"""Between two looks while they do not, and before the feed is tried again."""
AWAY_S: Final = 1.0
"""Between two tries while the server does not answer."""
SETTLE_S: Final = 0.1
"""An event is told before the heartbeat shows it: wait so long, and look once more after AGAIN_S."""
AGAIN_S: Final = 1.0
SINGLES_MAX: Final = 8
"""Above so many changed sessions, all of them are asked for at once."""


class Live:
    """The threads behind one screen. `post` is called from them and must not block."""

    def __init__(self, client: Client, post: Callable[[Report], None], *, figures_s: float = FIGURES_S) -> None:
        self._client = client
        self._post = post
        self._figures_s = figures_s
        self._wake = threading.Condition()
        self._changed: set[tuple[float, str]] = set()
        """When to look at which session."""
        self._due = 0.0
        self._fed = False
        self._stopped = False
        self._cancel = Cancel()

    def start(self) -> None:
        """Starts the threads."""
        threading.Thread(target=self._listen, name="live-feed", daemon=True).start()
        threading.Thread(target=self._watch, name="live-look", daemon=True).start()

    def stop(self) -> None:
        """Ends both threads; what they still have in hand is not told."""
        with self._wake:
            self._stopped = True
            self._cancel()
            self._wake.notify_all()

    def every(self, figures_s: float) -> None:
        """From now on figures are asked for so often, in seconds."""
        with self._wake:
            self._figures_s = figures_s
            self._due = 0.0
            self._wake.notify_all()

    def poke(self, sessions: Iterable[str] = ()) -> None:
        """Looks at these sessions now, or at everything."""
        with self._wake:
            named = list(sessions)
            self._changed |= {(0.0, session_id) for session_id in named}
            if not named:
                self._due = 0.0
            self._wake.notify_all()

    # --- looking

    def _watch(self) -> None:
        while True:
            everything, some = self._next()
            if self._stopped:
                return
            try:
                if everything:
                    self._look()
                else:
                    for session_id in some:
                        self._see(session_id)
            except DomainError as error:
                self._tell(Away(error))
                with self._wake:
                    self._due = time.monotonic() + AWAY_S

    def _next(self) -> tuple[bool, list[str]]:
        """Waits until there is something to look at: everything, or these sessions."""
        with self._wake:
            while not self._stopped:
                now = time.monotonic()
                some = {session_id for at, session_id in self._changed if at <= now}
                if now >= self._due or len(some) > SINGLES_MAX:
                    self._changed = {entry for entry in self._changed if entry[0] > now}
                    self._due = now + (self._figures_s if self._fed else min(FALLBACK_S, self._figures_s))
                    return True, []
                if some:
                    self._changed = {entry for entry in self._changed if entry[0] > now}
                    return False, sorted(some)
                self._wake.wait(min([self._due, *(at for at, _ in self._changed)]) - now)
            return False, []

    def _look(self) -> None:
        views: list[SessionView] = []
        while True:
            page = self._client.get("/sessions", {"limit": PAGE, "offset": len(views)}).decode(SessionList)
            views += page.sessions
            if not page.sessions or len(views) >= page.total:
                break
        instance = optional(self._client, "/status")
        server = optional(self._client, "/server")
        alerts = optional(self._client, "/alerts", {"standing": True})
        self._tell(Looked(views, instance, server, time.monotonic(), alerts))

    def _see(self, session_id: str) -> None:
        try:
            view = self._client.get(f"/sessions/{session_id}").decode(SessionView)
        except DomainError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            self._tell(Seen(session_id, None, time.monotonic()))
        else:
            self._tell(Seen(session_id, view, time.monotonic()))

    # --- listening

    def _listen(self) -> None:
        place: str | None = None
        while not self._stopped:
            try:
                lines = self._client.stream(
                    "/events", {"last_event_id": place}, on_open=self._opened, cancel=self._cancel
                )
                for place_, data in events_of(lines):
                    place = place_ or place
                    self._take(data)
            except DomainError as error:
                # What was kept may be gone after a restart: go on with what comes.
                place = place if error.retryable else None
            self._lost()
            with self._wake:
                if not self._stopped:
                    self._wake.wait_for(lambda: self._stopped, FALLBACK_S)

    def _opened(self) -> None:
        with self._wake:
            self._fed = True
            self._due = 0.0  # what changed while nobody listened
            self._wake.notify_all()
        self._tell(Feeding(True))

    def _lost(self) -> None:
        with self._wake:
            was, self._fed = self._fed, False
            self._due = 0.0 if was else self._due
            self._wake.notify_all()
        if was:
            self._tell(Feeding(False))

    def _take(self, data: bytes) -> None:
        try:
            event = msgspec.json.decode(data, type=WebhookPayload)
        except msgspec.DecodeError:
            return  # a gap is told in another shape: the list is right anyway
        self._tell(Happened(event))
        if event.event.startswith("alert."):
            self.poke()
        if event.event.startswith("session."):
            with self._wake:
                now = time.monotonic()
                self._changed |= {(now + SETTLE_S, event.session_id), (now + AGAIN_S, event.session_id)}
                self._wake.notify_all()

    def _tell(self, report: Report) -> None:
        if not self._stopped:
            self._post(report)


def optional(client: Client, path: str, query: Query | None = None) -> dict[str, Any] | None:
    """An object of the server; None where this key may not see it or the server has no such route."""
    try:
        return client.get(path, query).decode(dict[str, Any])
    except DomainError as error:
        if error.kind in {ErrorKind.NOT_FOUND, ErrorKind.FORBIDDEN}:
            return None
        raise


def events_of(lines: Iterable[bytes]) -> Iterator[tuple[str | None, bytes]]:
    """The messages of server-sent events: id and data of each (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    place: str | None = None
    data: list[bytes] = []
    for line in lines:
        if not line:
            if data:
                yield place, b"\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"id:"):
            place = line[3:].strip().decode("ascii", "replace")

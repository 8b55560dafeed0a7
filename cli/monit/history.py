"""How figures went lately: a ring of samples for each session, and a line of blocks that draws it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ecosystem.contract.session import SessionView

SAMPLES: Final = 240
"""Samples kept: at one every two seconds, eight minutes."""
BLOCKS: Final = "▁▂▃▄▅▆▇█"
LETTERS: Final = "_.-~=+*#"
"""The same eight steps where the terminal has no blocks."""


class Track:
    """The samples of one session, oldest first. `messages` counts those that came or went since the sample before."""

    def __init__(self) -> None:
        self.memory: deque[float | None] = deque(maxlen=SAMPLES)
        self.messages: deque[float | None] = deque(maxlen=SAMPLES)
        self._total: tuple[str | None, int] | None = None

    def add(self, view: SessionView) -> None:
        """One more sample."""
        self.memory.append(view.memory_bytes)
        if view.messages_in is None and view.messages_out is None:
            self.messages.append(None)
            self._total = None
            return
        total = (view.messages_in or 0) + (view.messages_out or 0)
        before = self._total
        self._total = (view.incarnation, total)
        # A fresh process counts from nothing.
        same = before is not None and before[0] == view.incarnation
        self.messages.append(max(0, total - before[1]) if same and before is not None else 0)


class History:
    """The tracks of every session there is."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}

    def sample(self, views: Iterable[SessionView]) -> None:
        """One sample of each session; those that are gone are forgotten."""
        tracks = {}
        for view in views:
            track = self._tracks.get(view.session_id) or Track()
            track.add(view)
            tracks[view.session_id] = track
        self._tracks = tracks

    def of(self, session_id: str) -> Track:
        """The samples of a session; an empty track where there are none."""
        return self._tracks.get(session_id) or Track()

    def memory(self) -> list[float | None]:
        """The samples of all sessions together, oldest first, as many as the longest track has."""
        return _sum([track.memory for track in self._tracks.values()])

    def messages(self) -> list[float | None]:
        """Messages of all sessions together, sample by sample."""
        return _sum([track.messages for track in self._tracks.values()])


def _sum(tracks: Sequence[deque[float | None]]) -> list[float | None]:
    """Sums from the end backwards: tracks differ in length."""
    length = max(map(len, tracks), default=0)
    found: list[float | None] = []
    for back in range(length, 0, -1):
        known = [value for track in tracks if len(track) >= back and (value := track[-back]) is not None]
        found.append(sum(known) if known else None)
    return found


def spark(values: Sequence[float | None], width: int, *, unicode: bool = True, from_zero: bool = False) -> str:
    """The last `width` values as blocks, right-aligned. Where nothing was known there is a blank.

    The lowest value is the lowest block, or nothing (0) with `from_zero`. Where all are within a tenth of the highest, the line
    stays flat accordingly: it shall not look like a mountain when a few pages came and went.
    """
    steps = BLOCKS if unicode else LETTERS
    shown = list(values)[-width:] if width > 0 else []
    known = [value for value in shown if value is not None]
    low = 0.0 if from_zero else min(known, default=0.0)
    high = max(known, default=0.0)
    span = max(high - low, high / 10)
    drawn = "".join(
        " " if value is None else steps[round((value - low) / span * (len(steps) - 1)) if span > 0 else 0]
        for value in shown
    )
    return drawn.rjust(width)

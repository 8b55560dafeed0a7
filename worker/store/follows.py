"""The people whose presence this session asked to be told of, kept over restarts of its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.store.db import now_ms

if TYPE_CHECKING:
    from worker.store.db import Database


class Follows:
    """The people followed by one session's store, by address."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self) -> list[str]:
        """All of them, whoever was followed first first."""
        return await self._database.run(self._everybody)

    def _everybody(self) -> list[str]:
        with self._database.reading() as db:
            return [row["person"] for row in db.execute("SELECT person FROM followed ORDER BY since, person")]

    async def add(self, person: str, *, most: int) -> bool:
        """Keeps somebody; False when `most` others are kept already."""
        return await self._database.run(self._add, person, most)

    def _add(self, person: str, most: int) -> bool:
        with self._database.transaction() as db:
            others = db.execute("SELECT count(*) FROM followed WHERE person <> ?", (person,)).fetchone()[0]
            if others >= most:
                return False
            db.execute("INSERT INTO followed VALUES (?, ?) ON CONFLICT (person) DO NOTHING", (person, now_ms()))
        return True

    async def forget(self, person: str) -> None:
        """Keeps somebody no longer."""
        await self._database.run(self._forget, person)

    def _forget(self, person: str) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM followed WHERE person = ?", (person,))

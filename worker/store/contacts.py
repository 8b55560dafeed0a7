"""People: their two addresses and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from worker.store.db import now_ms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from worker.store.db import Database


class Contact(msgspec.Struct, frozen=True):
    """Somebody. At least one address is known; `shown_name` is the best of the names."""

    jid: str | None = None
    lid: str | None = None
    saved_name: str | None = None
    push_name: str | None = None
    business_name: str | None = None

    @property
    def shown_name(self) -> str | None:
        """As the phone shows them: as saved, as they call themselves, as registered."""
        return self.saved_name or self.push_name or self.business_name


class Contacts:
    """The people of one session's store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self) -> list[Contact]:
        """Everybody who has a name, by name."""
        return await self._database.run(self._everybody)

    def _everybody(self) -> list[Contact]:
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM contacts WHERE name IS NOT NULL ORDER BY fold(name), jid, lid").fetchall()
        return [_contact(row) for row in rows]

    async def names(self, jids: Iterable[str]) -> dict[str, str]:
        """The shown names of those among these addresses that have one."""
        return await self._database.run(self._names, msgspec.json.encode(sorted(jids)).decode())

    def _names(self, jids: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._database.reading() as db:
            for column in ("jid", "lid"):
                rows = db.execute(
                    f"SELECT {column} AS address, name FROM contacts"  # noqa: S608 -- literals only
                    f" WHERE name IS NOT NULL AND {column} IN (SELECT value FROM json_each(?))",
                    (jids,),
                )
                found.update({row["address"]: row["name"] for row in rows})
        return found

    async def learn(self, people: Sequence[Contact]) -> int:
        """Takes over what an address book tells; how many rows it changed. What it does not tell stays as it is."""
        return await self._database.run(self._learn, people)

    def _learn(self, people: Sequence[Contact]) -> int:
        with self._database.transaction() as db:
            return sum(meet(db, person, now_ms()) for person in people)


def meet(db: sqlite3.Connection, person: Contact, at_ms: int) -> bool:
    """Remembers somebody; rows that turn out to be one person become one. Says whether anything changed."""
    if person.jid is None and person.lid is None:
        return False
    rows = db.execute(
        "SELECT rowid, * FROM contacts WHERE jid = ? OR lid = ? ORDER BY rowid", (person.jid, person.lid)
    ).fetchall()
    known = [_contact(row) for row in rows]
    best = person
    for other in known:
        best = Contact(
            jid=best.jid or other.jid,
            lid=best.lid or other.lid,
            saved_name=best.saved_name or other.saved_name,
            push_name=best.push_name or other.push_name,
            business_name=best.business_name or other.business_name,
        )
    if known == [best]:
        return False
    db.executemany("DELETE FROM contacts WHERE rowid = ?", [(row["rowid"],) for row in rows])
    db.execute(
        "INSERT INTO contacts (jid, lid, saved_name, push_name, business_name, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
        (best.jid, best.lid, best.saved_name, best.push_name, best.business_name, at_ms),
    )
    return True


def _contact(row: sqlite3.Row) -> Contact:
    return Contact(
        jid=row["jid"],
        lid=row["lid"],
        saved_name=row["saved_name"],
        push_name=row["push_name"],
        business_name=row["business_name"],
    )

"""The state on disk: what was put is there after a restart, in order, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest

from ecosystem.contract.errors import AlreadyRunning, SandboxStateUnusable
from ecosystem.sandbox.codec.node import JID, node
from ecosystem.sandbox.phone import phone as phones
from ecosystem.sandbox.state.store import FILE_NAME, Series, Store, Table
from ecosystem.sandbox.state.world import World, lid_of, participants_hash

if TYPE_CHECKING:
    from pathlib import Path


class Item(msgspec.Struct, frozen=True):
    name: str
    parts: tuple[bytes, ...] = ()


async def opened(folder: Path) -> Store:
    store = Store(folder)
    await asyncio.to_thread(store.open)
    return store


async def items_of(store: Store) -> tuple[Table[Item], Series[Item]]:
    def load() -> tuple[Table[Item], Series[Item]]:
        return Table(store, "item", Item), Series(store, "log", Item, limit=3)

    return await asyncio.to_thread(load)


async def test_tables_and_series_come_back(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    table, series = await items_of(store)
    store.start()
    table.put("a", Item("first"))
    table.put("a", Item("second", (b"\0\xff",)))
    table.put("b", Item("gone"))
    table.remove("b")
    table.remove("never there")
    assert [series.add("x", Item(str(number))) for number in range(5)] == [1, 2, 3, 4, 5]
    series.add("y", Item("other"))
    series.remove("x", 4)
    await store.settled()
    await store.close()

    store = await opened(tmp_path)
    table, series = await items_of(store)
    assert table.items() == [("a", Item("second", (b"\0\xff",)))]
    assert series.after("x") == [(3, Item("2")), (5, Item("4"))]
    assert series.after("x", 3) == [(5, Item("4"))]
    assert (series.last("x"), series.count("x"), series.last("nobody")) == (5, 2, 0)
    store.start()
    assert series.add("x", Item("next")) == 6
    series.clear("y")
    assert series.after("y") == []
    await store.close()


async def test_what_settled_is_in_the_file_at_once_for_whoever_kills_us(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    table, _ = await items_of(store)
    store.start()

    def rows() -> int:
        with sqlite3.connect(tmp_path / FILE_NAME) as other:
            return int(other.execute("SELECT count(*) FROM entry").fetchone()[0])

    for number in range(1, 20):
        table.put(str(number), Item("x"))
        await store.settled()
        assert await asyncio.to_thread(rows) == number
    await store.settled()
    await store.close()


async def test_many_waiters_share_the_commits(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    table, _ = await items_of(store)
    store.start()

    async def one(number: int) -> None:
        table.put(str(number), Item("x"))
        await store.settled()

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(one(number))
    assert len(table) == 200
    await store.close()


async def test_a_folder_belongs_to_one_store_at_a_time(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    with pytest.raises(AlreadyRunning):
        await opened(tmp_path)
    await first.close()
    await (await opened(tmp_path)).close()


async def test_a_file_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(SandboxStateUnusable, match=FILE_NAME):
        await opened(tmp_path)
    path.unlink()
    await (await opened(tmp_path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def change(statement: str) -> None:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute(statement)
        database.close()

    change("INSERT INTO entry VALUES ('item', 'a', 0, x'c1')")
    store = await opened(tmp_path)
    with pytest.raises(SandboxStateUnusable, match="item 'a'"):
        await items_of(store)
    await store.close()
    change("PRAGMA user_version = 99")
    with pytest.raises(SandboxStateUnusable, match="version"):
        await opened(tmp_path)


async def test_a_disk_that_fails_is_told_to_whoever_waits(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    table, _ = await items_of(store)
    store.start()
    table.put("a", Item("x"))
    await store.settled()

    def break_it() -> None:
        database = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        database.execute("DROP TABLE entry")
        database.close()

    await asyncio.to_thread(break_it)
    table.put("b", Item("x"))
    with pytest.raises(SandboxStateUnusable, match="no such table"):
        await store.settled()
    with pytest.raises(SandboxStateUnusable):
        await store.close()
    await (await opened(tmp_path)).close()


# ---------------------------------------------------------------------------------------------------------- the world


async def test_a_world_survives(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    world = await asyncio.to_thread(World, store)
    store.start()
    account = world.add_account("491510000001", "Ada")
    phones.install(world, account)
    group = world.add_group("Lab", account, ["491510000001"])
    device = world.device("491510000001", 0)
    assert device is not None
    companion = world.put_device(msgspec.structs.replace(device, id=3, noise=b"n" * 32))
    world.keep_pending(companion, node("message", {"id": "1", "from": JID("9", "lid")}))
    world.keep_pending(companion, node("message", {"id": "1", "participant": "a@lid"}))
    world.keep_pending(companion, node("receipt", {"id": "1"}))
    await store.close()

    store = await opened(tmp_path)
    again = await asyncio.to_thread(World, store)
    assert again.accounts.items() == [("491510000001", account)]
    assert again.groups.get(group.id) == group
    assert [entry.id for entry in again.devices_of("491510000001")] == [0, 3]
    assert again.phones.items() == world.phones.items()
    assert again.patches.after("491510000001/critical_block") == world.patches.after("491510000001/critical_block")
    for jid in (account.by_lid(), account.by_number(3), JID("+491510000001", "c.us")):
        found = again.find(jid)
        assert found == account
    assert again.find(None) is again.find(JID("1", "lid")) is again.find(JID("491510000001", "g.us")) is None
    assert again.find_device(account.by_lid(3)) == companion
    store.start()
    again.settle(companion, "message", ["1"], "other@lid")
    assert [(entry.tag, entry.participant) for _, entry in again.pending.after(companion.key)] == [
        ("message", "a@lid"),
        ("receipt", ""),
    ]
    again.settle(companion, "message", ["1"], "")
    again.settle(companion, "receipt", ["2"], "")
    assert again.pending.count(companion.key) == 1
    again.remove_device("491510000001", 3)
    assert again.pending.count(companion.key) == 0
    assert again.find_device(account.by_lid(3)) is None
    await store.close()


def test_a_lid_is_15_digits_and_always_the_same() -> None:
    assert lid_of("491510000001") == lid_of("491510000001") != lid_of("491510000002")
    assert len(lid_of("491510000001")) == 15
    assert lid_of("491510000001").isdigit()


def test_the_hash_of_participants_does_not_depend_on_their_order() -> None:
    jids = [JID("1", "lid", 2), JID("1", "lid"), JID("7", "s.whatsapp.net", 1)]
    assert participants_hash(jids) == participants_hash(jids[::-1])
    assert participants_hash(jids).startswith("2:")
    assert participants_hash(jids) != participants_hash(jids[1:])

"""The registry on a real PostgreSQL: migrations, pool, leases, the leader's lock."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest

from ecosystem.contract.errors import InternalError, PortsExhausted, RegistryDown, SessionExists
from ecosystem.contract.session import DesiredState, Reason, SessionState
from ecosystem.listening import is_free
from orchestrator.ports import PortAllocator
from orchestrator.registry import leases, migrate, sessions
from orchestrator.registry.database import REFUSE_FOR_S, Database
from orchestrator.registry.leader import Leadership
from orchestrator.registry.rows import Seen
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from tests.support.postgres_server import PostgresServer


KNOWN = migrate.migrations()


async def add(database: Database, *names: str) -> None:
    async with database.transaction() as connection:
        for name in names:
            await sessions.insert(connection, name, name=name, desired=DesiredState.RUNNING, labels=[], metadata={})


def seen(name: str, status: SessionState, reason: Reason) -> Seen:
    return Seen(
        session_id=name, generation=1, status=status, reason=reason, detail=None, jid=None, lid=None, push_name=None,
        last_connected_at=None,
    )  # fmt: skip


# --- migrations


async def test_migrations_run_once_even_from_two_at_once(postgres: PostgresServer) -> None:
    url = postgres.empty_database()
    first, second = Database(url, max_size=2), Database(url, max_size=2)
    known = KNOWN
    assert await migrate.pending(first, known) == [one.name for one in known]
    done = await asyncio.gather(migrate.migrate(first, known), migrate.migrate(second, known))
    assert sorted(name for names in done for name in names) == [one.name for one in known]
    assert await migrate.migrate(first, known) == []
    assert await migrate.pending(first, known) == []
    await first.close()
    await second.close()


async def test_a_failing_migration_leaves_nothing_behind(postgres: PostgresServer) -> None:
    database = Database(postgres.empty_database(), max_size=2)
    known = KNOWN
    bad = migrate.Migration(len(known) + 1, "post", "999_post_bad.sql", "CREATE TABLE half (a int); SELECT nonsense();")
    with pytest.raises(psycopg.Error):
        await migrate.migrate(database, [*known, bad])
    assert await migrate.pending(database, [*known, bad]) == [bad.name]
    async with database.use(unprepared=True) as connection:
        cursor = await connection.execute("SELECT to_regclass('half') AS half")
        assert await cursor.fetchone() == {"half": None}
    await database.close()


async def test_a_changed_or_unknown_migration_is_refused(database: Database) -> None:
    known = KNOWN
    changed = [msgspec.structs.replace(known[0], sql=known[0].sql + " "), *known[1:]]
    with pytest.raises(InternalError, match="changed"):
        await migrate.migrate(database, changed)
    with pytest.raises(InternalError, match="does not know"):
        await migrate.migrate(database, [])


async def test_phases_are_applied_apart(postgres: PostgresServer) -> None:
    database = Database(postgres.empty_database(), max_size=2)
    later = migrate.Migration(2, "post", "002_post_x.sql", "CREATE TABLE x ()")
    known = [KNOWN[0], later]
    assert await migrate.migrate(database, known, phase="pre") == [known[0].name]
    assert await migrate.migrate(database, known, phase="post") == [later.name]
    await database.close()


# --- connections


async def test_before_the_tables_are_there_nobody_gets_a_connection(database_url: str) -> None:
    database = Database(database_url, max_size=2)
    with pytest.raises(RegistryDown):
        await database.ping()
    database.prepared = True
    await database.ping()
    await database.close()


async def test_connections_cut_by_the_server_are_replaced_unnoticed(
    database: Database, postgres: PostgresServer
) -> None:
    async with database.use(), database.use(), database.use():
        pass
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as link:
        link.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'zapvisor'")
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    await database.ping()
    assert time.monotonic() - begun < 15


async def test_more_callers_than_connections_wait_their_turn(database: Database) -> None:
    await asyncio.gather(*(database.ping() for _ in range(100)))
    assert len(database._idle) <= 8


async def test_connections_of_a_burst_are_given_back_once_nobody_uses_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.use(), database.use(), database.use(), database.use():
        pass
    await database.ping()
    assert len(database._idle) == 4, "not at once: the next burst may follow"
    monkeypatch.setattr("orchestrator.registry.database.SPARE_FOR_S", 0.0)
    for _ in range(4):
        await database.ping()
    assert len(database._idle) == 1


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    database = Database(database_url, max_size=1, timeout_s=0.3)
    database.prepared = True
    begun = time.monotonic()
    with pytest.raises(RegistryDown) as error:
        async with database.use() as connection:
            await connection.execute("SELECT pg_sleep(20)")
    assert error.value.__cause__ is not None
    assert time.monotonic() - begun < 15
    await database.ping()
    await database.close()


async def test_nobody_there_is_said_at_once(folder: object) -> None:
    database = Database("postgresql://x@127.0.0.1:1/x", max_size=2)
    database.prepared = True
    begun = time.monotonic()
    for _ in range(5):
        with pytest.raises(RegistryDown):
            await database.ping()
    assert time.monotonic() - begun < 15


async def test_an_outage_is_told_once_and_a_start_has_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database("postgresql://x@127.0.0.1:1/x", max_size=1)

    async def fail(times: int) -> int:
        for _ in range(times):
            with pytest.raises(RegistryDown):
                async with database.use(unprepared=True):
                    pass
            await asyncio.sleep(REFUSE_FOR_S)
        return caplog.text.count("registry_down")

    assert await fail(2) == 0
    monkeypatch.setattr("orchestrator.registry.database.COMES_UP_WITHIN_S", 0.0)
    assert await fail(3) == 1


async def test_a_cancelled_query_does_not_poison_its_connection(database: Database) -> None:
    async def sleep() -> None:
        async with database.use() as connection:
            await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.ping()


# --- rows


async def test_an_id_is_taken_once(database: Database) -> None:
    await add(database, "alpha")
    with pytest.raises(SessionExists):
        await add(database, "alpha")


async def test_what_was_seen_is_written_in_one_go_with_bounded_history(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "HISTORY_KEPT", 3)
    await add(database, "alpha", "beta")
    states = [SessionState.CONNECTING, SessionState.CONNECTED] * 4
    for state in states:
        async with database.transaction() as connection:
            await sessions.write_seen(connection, [seen(name, state, Reason.PAIRING) for name in ("alpha", "beta")])
    async with database.use() as connection:
        rows = await sessions.every(connection)
        told = await sessions.history(connection, "alpha", limit=100)
    assert [(row.session_id, row.status) for row in rows] == [("alpha", "connected"), ("beta", "connected")]
    assert [entry.status for entry in told] == ["connected", "connecting", "connected"]


async def test_a_row_with_a_lease_cannot_just_go(database: Database) -> None:
    await add(database, "alpha")
    async with database.transaction() as connection:
        assert await leases.claim(connection, "alpha", 5000)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM sessions")
    async with database.transaction() as connection:
        await sessions.remove(connection, "alpha")
    async with database.use() as connection:
        assert await sessions.get(connection, "alpha") is not None, "only what is being deleted may go"


async def test_giving_up_concerns_one_generation(database: Database) -> None:
    await add(database, "alpha")
    async with database.transaction() as connection:
        await sessions.want(connection, "alpha", DesiredState.RUNNING, fresh=True)
        await sessions.give_up(connection, "alpha", 1, Reason.CRASH_LOOP, "too often")
        row = await sessions.get(connection, "alpha")
        assert row is not None
        assert not row.given_up
        await sessions.give_up(connection, "alpha", 2, Reason.CRASH_LOOP, "too often")
        row = await sessions.get(connection, "alpha")
        assert row is not None
        assert row.given_up


# --- ports


async def test_ports_are_never_shared_and_a_full_range_says_so(database: Database) -> None:
    first = free_ports(5)
    names = [f"s{number}" for number in range(6)]
    await add(database, *names)
    # Two allocators stand for two orchestrators.
    allocators = [PortAllocator(database, range(first, first + 5), host="127.0.0.1") for _ in range(2)]
    results = await asyncio.gather(
        *(allocators[number % 2].lease_now(name) for number, name in enumerate(names)), return_exceptions=True
    )
    ports = [port for port in results if isinstance(port, int)]
    refused = [error for error in results if isinstance(error, BaseException)]
    assert sorted(ports) == list(range(first, first + 5))
    assert [type(error) for error in refused] == [PortsExhausted]
    again = await allocators[0].lease_now(names[results.index(first)])
    assert again == first


async def test_busy_and_avoided_ports_are_stepped_over(database: Database) -> None:
    first = free_ports(4)
    clock = 0.0
    allocator = PortAllocator(database, range(first, first + 4), host="127.0.0.1", clock=lambda: clock)
    await add(database, "a", "b", "c")
    with socket.create_server(("127.0.0.1", first)):
        assert not is_free("127.0.0.1", first)
        allocator.avoid(first + 1)
        assert await allocator.lease_now("a") == first + 2
    assert await allocator.lease_now("b") == first
    clock = 301.0
    assert await allocator.lease_now("c") == first + 1


async def test_a_port_is_only_given_back_by_the_generation_that_had_it(database: Database) -> None:
    first = free_ports(2)
    allocator = PortAllocator(database, range(first, first + 2), host="127.0.0.1")
    await add(database, "a")
    await allocator.lease_now("a")
    await allocator.release("a", 7)
    async with database.use() as connection:
        assert await leases.of(connection, "a") == first
    await allocator.release("a", 1)
    async with database.use() as connection:
        assert await leases.of(connection, "a") is None


# --- the leader


async def test_one_leads_and_the_next_takes_over(database_url: str) -> None:
    first, second = Leadership(database_url), Leadership(database_url)
    assert await first.confirm()
    assert not await second.confirm()
    assert await first.confirm()
    await first.close()
    assert await second.confirm()
    await second.close()


async def test_a_leader_whose_connection_was_cut_knows_before_it_acts(
    database_url: str, postgres: PostgresServer
) -> None:
    first, second = Leadership(database_url), Leadership(database_url)
    assert await first.confirm()
    assert not await second.confirm()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as link:
        link.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND a.datname = %s",
            (database_url.partition("?")[0].rpartition("/")[2],),
        )
    await asyncio.sleep(0.1)
    assert not await first.confirm()
    assert await second.confirm()
    assert not await first.confirm()
    await first.close()
    await second.close()


async def test_without_a_server_nobody_leads(folder: object) -> None:
    alone = Leadership("postgresql://x@127.0.0.1:1/x")
    assert not await alone.confirm()
    assert not alone.held
    await alone.close()

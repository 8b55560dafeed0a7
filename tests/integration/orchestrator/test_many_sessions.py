"""The registry with two thousand sessions: what is asked often goes by an index, and the first page is a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from orchestrator.registry import sessions
from orchestrator.registry.rows import Filter

if TYPE_CHECKING:
    from orchestrator.registry.database import Database
    from tests.support.postgres_server import PostgresServer

MANY = 2000
_ROWS = f"""
INSERT INTO sessions (session_id, name, jid, labels, status)
    SELECT 's' || n, 'Session ' || n, '55119' || lpad(n::text, 8, '0') || '@s.whatsapp.net', ARRAY['group' || n % 200],
        CASE WHEN n % 1000 = 0 THEN 'error' ELSE 'authenticated' END
    FROM generate_series(1, {MANY}) n;
INSERT INTO port_leases (port, session_id) SELECT 3000 + n, 's' || n FROM generate_series(1, {MANY}) n;
INSERT INTO session_history (session_id, generation, status, reason)
    SELECT 's' || n, 1, 'connected', 'pairing' FROM generate_series(1, {MANY}) n, generate_series(1, 5);
INSERT INTO api_keys (id, session_id, name, scopes, hash, prefix, revision, created_by)
    SELECT 'k' || n, 's' || n, 'first key', ARRAY['read'], sha256(n::text::bytea), 'x', n, 'admin'
    FROM generate_series(1, {MANY}) n;
INSERT INTO webhook_targets (id, session_id, url, events, format, secret_encrypted, headers_encrypted)
    SELECT 't' || n, 's' || n, 'https://x.example', ARRAY['*'], 'zapvisor', '', '' FROM generate_series(1, {MANY}) n;
INSERT INTO samples (session_id, at) SELECT 's' || n, now() - m * interval '1 minute'
    FROM generate_series(1, {MANY}) n, generate_series(1, 3) m;
ANALYZE
"""  # noqa: S608 -- a number of ours


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer) -> str:
    """A database with that many sessions, each with its key, webhook, port, history and samples."""

    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _ROWS.split(";\n"):
            connection.execute(statement)
    return url


@pytest.fixture
def database_url(filled: str) -> str:
    return filled


@pytest.mark.parametrize(
    "asked",
    [
        "SELECT * FROM sessions WHERE session_id = 's77'",
        "SELECT * FROM sessions WHERE jid = '5511900000077@s.whatsapp.net'",
        "SELECT * FROM sessions WHERE labels @> ARRAY['group7']",
        "SELECT * FROM sessions WHERE status = 'error'",
        "SELECT * FROM sessions ORDER BY created_at DESC LIMIT 50",
        "SELECT * FROM port_leases WHERE session_id = 's77'",
        "SELECT * FROM session_history WHERE session_id = 's77' ORDER BY id DESC LIMIT 50",
        "SELECT * FROM api_keys WHERE hash = sha256('77'::bytea) AND revoked_at IS NULL",
        "SELECT * FROM api_keys WHERE session_id = 's77'",
        "SELECT * FROM webhook_targets WHERE session_id = 's77'",
        "SELECT * FROM samples WHERE session_id = 's77' AND at >= now() - interval '1 hour'",
    ],
)
async def test_no_table_is_read_whole_for_one_session(database: Database, asked: str) -> None:
    async with database.use() as connection:
        found = await (await connection.execute(f"EXPLAIN {asked}".encode())).fetchall()
    plan = "\n".join(str(next(iter(line.values()))) for line in found)
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan, plan


async def test_a_page_of_many_knows_how_many_there_are(database: Database) -> None:
    async with database.use() as connection:
        rows, total = await sessions.search(connection, Filter(), sort="session_id", limit=50, offset=100)
        assert (len(rows), total) == (50, MANY)
        rows, total = await sessions.search(connection, Filter(label="group7"), sort="session_id", limit=5, offset=0)
        assert (len(rows), total) == (5, MANY // 200)
        rows, total = await sessions.search(connection, Filter(search="5511900001999"), sort="name", limit=5, offset=0)
        assert ([row.session_id for row in rows], total) == (["s1999"], 1)

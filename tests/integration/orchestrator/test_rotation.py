"""A new key for the stored secrets: everything is under it afterwards, and nothing is lost by dying on the way."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from ecosystem.contract.errors import InternalError, InvalidSettings
from ecosystem.contract.ids import new_ulid
from ecosystem.settings import Settings
from orchestrator.access.rotation import SecretKeyRotation
from orchestrator.registry import resealing, secrets
from orchestrator.registry.resealing import SEALED, reseal
from orchestrator.registry.secrets import SecretBox, key_path, open_box, read_keys, write_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.registry.database import Connection, Database
    from tests.support.orchestrated import Orchestrated

SECRET = "the-webhook-secret"
PASSWORD = "the-proxy-password"
HEADERS = '{"X-Token":"the-header"}'


@pytest.fixture
def settings(folder: Path) -> Settings:
    return Settings(home=str(folder / "home"))


async def keys_of(settings: Settings) -> list[bytes]:
    return await asyncio.to_thread(read_keys, settings)


async def box_of(settings: Settings) -> SecretBox:
    return await asyncio.to_thread(open_box, settings)


async def store(database: Database, box: SecretBox, name: str = "alpha") -> None:
    """A session with a proxy's password, and a webhook with a secret and a header."""
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO sessions (session_id, name, proxy_password_encrypted) VALUES (%s, %s, %s)",
            (name, name, box.seal(PASSWORD)),
        )
        await connection.execute(
            "INSERT INTO webhook_targets (id, url, events, format, secret_encrypted, headers_encrypted)"
            " VALUES (%s, 'https://hooks.example/', '{*}', 'zapvisor', %s, %s)",
            (new_ulid(), box.seal(SECRET), box.seal(HEADERS)),
        )


async def stored(database: Database) -> list[bytes]:
    """Every encrypted value there is."""
    found = []
    async with database.use() as connection:
        for table, _, column in SEALED:
            cursor = await connection.execute(
                f"SELECT {column} AS sealed FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 -- constants
            )
            found += [bytes(row["sealed"]) for row in await cursor.fetchall()]
    return found


async def readable(database: Database, keys: list[bytes]) -> set[str]:
    """What these keys read, which must be all of it."""
    box = SecretBox(keys)
    return {box.open(sealed) for sealed in await stored(database)}


EVERYTHING = {SECRET, PASSWORD, HEADERS}


async def test_every_encrypted_column_is_known(database: Database) -> None:
    async with database.use() as connection:
        cursor = await connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND (column_name LIKE '%encrypted%' OR column_name LIKE '%sealed%')"
        )
        found = {(row["table_name"], row["column_name"]) for row in await cursor.fetchall()}
    assert found == {(each.table, each.column) for each in SEALED}


async def test_everything_is_under_the_new_key(database: Database, settings: Settings) -> None:
    elsewhere = await box_of(settings)
    box = await box_of(settings)
    await store(database, box)
    former = await keys_of(settings)
    rotation = SecretKeyRotation(settings, database, box, settle_s=0)
    done = await rotation.rotate()
    assert (done.source, done.resealed) == ("file", 3)
    fresh = await keys_of(settings)
    assert (len(fresh), fresh[1:]) == (2, former)
    assert stat.S_IMODE((await asyncio.to_thread(key_path(settings).stat)).st_mode) == 0o600
    assert await readable(database, fresh[:1]) == EVERYTHING
    for sealed in await stored(database):
        with pytest.raises(InvalidToken):
            Fernet(former[0]).decrypt(sealed)
        assert await asyncio.to_thread(elsewhere.open, sealed) in EVERYTHING, (
            "a process that began earlier reads the file again"
        )
    # Somebody who had not heard yet writes with the former key.
    await store(database, SecretBox(former), "beta")
    await rotation.look()
    assert (await keys_of(settings)) == fresh[:1]
    assert await readable(database, fresh[:1]) == EVERYTHING
    assert await asyncio.to_thread(os.listdir, key_path(settings).parent) == ["secret.key"]


async def test_former_keys_stay_until_everybody_had_time_to_learn(database: Database, settings: Settings) -> None:
    box = await box_of(settings)
    rotation = SecretKeyRotation(settings, database, box, settle_s=60)
    await rotation.rotate()
    await rotation.look()
    assert len(await keys_of(settings)) == 2
    await asyncio.to_thread(os.utime, key_path(settings), (time.time() - 3600,) * 2)
    await rotation.look()
    assert len(await keys_of(settings)) == 1


class Died(Exception):
    """Stands for the end of the process."""


def before_the_file(patch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Died

    patch.setattr(secrets, "write_keys", die)


def within_the_file(patch: pytest.MonkeyPatch) -> None:
    """The new file is written beside the old one, and not yet in its place."""

    def die(*_: object) -> None:
        raise Died

    patch.setattr("pathlib.Path.replace", die)


def after_the_file(patch: pytest.MonkeyPatch) -> None:
    async def die(*_: object) -> int:
        raise Died

    patch.setattr("orchestrator.access.rotation.reseal", die)


def within_the_transaction(patch: pytest.MonkeyPatch) -> None:
    async def some(connection: Connection, box: SecretBox) -> int:
        patch.setattr(resealing, "SEALED", SEALED[:2])
        assert await reseal(connection, box) == 2
        raise Died

    patch.setattr("orchestrator.access.rotation.reseal", some)


def after_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """Before the former key is dropped."""
    real = SecretKeyRotation._reseal

    async def die(self: SecretKeyRotation, connection: Connection) -> int:
        await real(self, connection)
        raise Died

    patch.setattr(SecretKeyRotation, "_reseal", die)


@pytest.mark.parametrize(
    "crash", [before_the_file, within_the_file, after_the_file, within_the_transaction, after_the_transaction]
)
async def test_dying_on_the_way_loses_nothing(
    database: Database, settings: Settings, crash: Callable[[pytest.MonkeyPatch], None]
) -> None:
    await store(database, (await box_of(settings)))
    with pytest.MonkeyPatch.context() as patch:
        crash(patch)
        with pytest.raises(Died):
            await SecretKeyRotation(settings, database, (await box_of(settings))).rotate()
    assert await readable(database, (await keys_of(settings))) == EVERYTHING
    # The next start finishes what was begun.
    box = await box_of(settings)
    await SecretKeyRotation(settings, database, box, settle_s=0).look()
    keys = await keys_of(settings)
    assert len(keys) == 1
    assert await readable(database, keys) == EVERYTHING
    assert {box.open(sealed) for sealed in await stored(database)} == EVERYTHING
    await SecretKeyRotation(settings, database, box).rotate()
    assert await readable(database, (await keys_of(settings))[:1]) == EVERYTHING


async def test_a_value_no_key_fits_stops_it_and_keeps_every_key(database: Database, settings: Settings) -> None:
    await store(database, (await box_of(settings)))
    await store(database, SecretBox([Fernet.generate_key()]), "beta")
    before = await stored(database)
    rotation = SecretKeyRotation(settings, database, (await box_of(settings)), settle_s=0)
    for step in (rotation.rotate, rotation.look):
        with pytest.raises(InternalError, match="cannot be read"):
            await step()
        assert await stored(database) == before
        assert len(await keys_of(settings)) == 2


async def test_rotations_at_once_come_one_after_the_other(database: Database, settings: Settings) -> None:
    await store(database, (await box_of(settings)))
    boxes = [await box_of(settings) for _ in range(3)]
    rotations = [SecretKeyRotation(settings, database, box, settle_s=0) for box in boxes]
    await asyncio.gather(*(each.rotate() for each in rotations), *(each.look() for each in rotations))
    for each in rotations:
        await each.look()
    keys = await keys_of(settings)
    assert len(keys) == 1
    assert await readable(database, keys) == EVERYTHING


async def test_keys_of_the_setting_are_the_operators(database: Database, folder: Path) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    await store(database, SecretBox([old]))
    settings = Settings(home=str(folder), zapvisor_secret_key=f"{new.decode()},{old.decode()}")
    rotation = SecretKeyRotation(settings, database, (await box_of(settings)))
    done = await rotation.rotate()
    assert (done.source, done.resealed) == ("setting", 3)
    assert await readable(database, [new]) == EVERYTHING
    await store(database, SecretBox([old]), "beta")
    await SecretKeyRotation(settings, database, (await box_of(settings))).look()
    assert await readable(database, [new]) == EVERYTHING, "a start with a new key in front is enough"
    assert not await asyncio.to_thread(key_path(settings).exists)


def test_a_file_without_a_key_is_no_reason_to_make_one(settings: Settings) -> None:
    """Else every secret would be lost without a word."""
    key_path(settings).parent.mkdir(parents=True)
    write_keys(key_path(settings), [])
    with pytest.raises(InvalidSettings, match="is empty"):
        read_keys(settings)


async def test_over_http_while_webhooks_go_on(zap: Orchestrated) -> None:
    hook = {"url": "http://127.0.0.1:9/", "events": ["*"], "secret": SECRET, "headers": {"X-A": "the-header"}}
    made = (await zap.http("POST", "/webhooks", hook)).body
    before = await asyncio.to_thread(key_path(zap.settings).read_bytes)
    answer = await zap.http("POST", "/secret-key/rotate")
    assert (answer.status, answer.body) == (200, {"source": "file", "resealed": 2})
    after = await asyncio.to_thread(key_path(zap.settings).read_bytes)
    assert after.endswith(before.strip() + b"\n")
    assert all(key.decode() not in str(answer) for key in after.split())
    changed = await zap.http("PATCH", f"/webhooks/{made['id']}", {"name": "still there"})
    assert (changed.status, changed.body["headers"]) == (200, ["X-A"])
    listed: Any = (await zap.http("GET", "/audit?limit=50")).body["entries"]
    assert "POST /secret-key/rotate" in {entry["action"] for entry in listed}

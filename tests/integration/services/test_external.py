"""Why a server of somebody else cannot be used, and how long a start waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from ecosystem.contract.errors import InvalidSettings, RedisDown, RegistryDown
from ecosystem.services import external
from ecosystem.settings import Settings
from tests.support.ports import free_ports
from tests.support.tcp_services import DATABASE, HOST, USER, TcpServices

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S: Final = 0.3


@pytest.fixture(scope="module")
def services() -> Iterator[TcpServices]:
    with TcpServices() as running:
        yield running


def database_url(services: TcpServices, *, user: str = USER, name: str = DATABASE, port: int | None = None) -> str:
    password = quote(services.password, safe="")
    return f"postgresql://{user}:{password}@{HOST}:{port or services.postgres_port}/{name}"


def redis_url(services: TcpServices, *, port: int | None = None, database: int = 0) -> str:
    password = quote(services.redis_password, safe="")
    return f"redis://:{password}@{HOST}:{port or services.redis_port}/{database}"


def test_both_answer(services: TcpServices) -> None:
    assert external.database_trouble(database_url(services)) is None
    assert external.redis_trouble(redis_url(services)) is None
    watch = external.Watch(
        Settings(home="/nowhere", database_url=database_url(services), redis_url=redis_url(services))
    )
    assert watch.database_answers()
    assert watch.redis_answers()


def test_what_waiting_does_not_change_is_said_at_once(services: TcpServices) -> None:
    for url, words in (
        (database_url(services, user="stranger"), "password authentication failed"),
        (database_url(services, name="elsewhere"), 'database "elsewhere" does not exist'),
        (database_url(services) + "?sslmode=require", "server does not support SSL"),
        (database_url(services) + "?sslmode=sometimes", "invalid sslmode value"),
        (database_url(services) + "?surprise=1", "surprise"),
    ):
        trouble = external.database_trouble(url)
        assert trouble is not None
        assert trouble.lasting, trouble
        assert words in trouble.sentence
        assert f"{HOST}:{services.postgres_port}" in trouble.sentence
        with pytest.raises(InvalidSettings, match=r"^DATABASE_URL: "):
            external.Watch(Settings(home="/nowhere", database_url=url)).database_answers()
    for url, words in (
        (f"redis://{HOST}:{services.redis_port}", "already authenticated"),
        (redis_url(services, database=99), "DB index is out of range"),
    ):
        trouble = external.redis_trouble(url)
        assert trouble is not None
        assert trouble.lasting, trouble
        assert words in trouble.sentence
        with pytest.raises(InvalidSettings, match=r"^REDIS_URL: "):
            external.Watch(Settings(home="/nowhere", redis_url=url)).redis_answers()


def test_a_server_that_is_not_there_yet_is_waited_for(services: TcpServices) -> None:
    nowhere = free_ports()
    settings = Settings(
        home="/nowhere",
        database_url=database_url(services, port=nowhere),
        redis_url=redis_url(services, port=nowhere),
    )
    watch = external.Watch(settings, patience_s=PATIENCE_S)
    assert not watch.database_answers()
    assert not watch.redis_answers()
    time.sleep(PATIENCE_S)
    with pytest.raises(RegistryDown, match=f"^DATABASE_URL: .*{HOST}:{nowhere}") as database:
        watch.database_answers()
    with pytest.raises(RedisDown, match=f"^REDIS_URL: .*{HOST}:{nowhere}") as redis:
        watch.redis_answers()
    told = str(database.value) + str(redis.value)
    for secret in (services.password, services.redis_password):
        assert secret not in told
        assert quote(secret, safe="") not in told


@pytest.mark.parametrize(
    "url", ["postgresql://u:se%cret@h/d", "postgresql://u:secret@h:port/d", "postgresql://u:secret@[h/d"]
)
def test_a_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    trouble = external.database_trouble(url)
    assert trouble is not None
    assert trouble.lasting
    assert "cret" not in trouble.sentence

"""Who the services run as and what that user can reach, whoever runs the test."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ecosystem.contract.errors import InternalError, InvalidSettings
from ecosystem.services import account as accounts
from ecosystem.services import postgres, redis
from ecosystem.services.account import Account
from ecosystem.settings import Settings

STRANGER = Account(name="stranger", uid=54_321, gid=54_321, switches=True)


def users(monkeypatch: pytest.MonkeyPatch, **uids: int) -> None:
    """A machine on which we are root and these are the users."""

    def find(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", uids[name], uids[name], "", "/", "/bin/sh"))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", find)


def test_root_hands_over_to_the_first_user_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    users(monkeypatch, postgres=101)
    assert accounts.service_account(Settings(home="/x")) == Account(name="postgres", uid=101, gid=101, switches=True)
    users(monkeypatch, postgres=101, zapvisor=102, own=103)
    assert accounts.service_account(Settings(home="/x")).name == "zapvisor"
    assert accounts.service_account(Settings(home="/x", postgres_user="own")).name == "own"


def test_root_without_a_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    users(monkeypatch)
    with pytest.raises(InvalidSettings, match="no user zapvisor or postgres") as caught:
        accounts.service_account(Settings(home="/x"))
    assert "useradd --system zapvisor" in (caught.value.hint or "")
    users(monkeypatch, zapvisor=102, toor=0)
    with pytest.raises(InvalidSettings, match="no user missing"):
        accounts.service_account(Settings(home="/x", postgres_user="missing"))
    with pytest.raises(InvalidSettings, match="that is root"):
        accounts.service_account(Settings(home="/x", postgres_user="toor"))


def test_an_ordinary_user_stays_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    account = accounts.service_account(Settings(home="/x", postgres_user="ignored"))
    assert (account.uid, account.switches) == (1234, False)
    assert accounts.as_account(account) == {}


@pytest.mark.parametrize(
    ("mode", "owner", "group", "enters"),
    [
        (0o700, 1, 1, False),
        (0o711, 1, 1, True),
        (0o710, 1, 54_321, True),
        (0o701, 1, 54_321, False),
        (0o100, 54_321, 1, True),
        (0o011, 54_321, 54_321, False),
    ],
)
def test_the_search_bit_that_counts(mode: int, owner: int, group: int, enters: bool) -> None:
    status = os.stat_result((mode, 0, 0, 0, owner, group, 0, 0, 0, 0))
    assert accounts.may_enter(status, STRANGER) is enters


def test_the_first_closed_folder_is_named_and_left_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    open_until = {path: path.stat() for path in closed.parents}
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        # The test's own folder may be closed as well: only ours is to count.
        if path in open_until:
            return os.stat_result((0o755, *open_until[path][1:10]))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert accounts.barrier(closed / "inner", STRANGER) == closed
    assert accounts.barrier(tmp_path, STRANGER) is None
    assert accounts.barrier(tmp_path / "not" / "there", STRANGER) is None
    with pytest.raises(InvalidSettings, match="stranger"):
        accounts.check_reachable(closed / "inner" / "home", STRANGER)
    accounts.shared_folder(tmp_path / "ours", STRANGER)
    assert real(tmp_path / "ours").st_mode & 0o777 == 0o711
    assert real(closed).st_mode & 0o777 == 0o700


def test_a_servers_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "secret")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "unix:///s")
    found = accounts.environment(STRANGER, Path("/x"))
    assert set(found) == {"PATH", "LANG", "TZ", "HOME", "USER", "SUPERVISOR_SERVER_URL"} | (
        {"SUPERVISOR_PID"} & set(os.environ)
    )


def test_urls_escape_the_path() -> None:
    home = Settings(home="/srv/a b%c").paths
    assert redis.url(home) == "unix:///srv/a%20b%25c/run/redis/redis.sock"
    assert postgres.dsn(home) == "postgresql://zapvisor@/zapvisor?host=%2Fsrv%2Fa%20b%25c%2Frun%2Fpostgres&port=5432"
    given = Settings(home="/x", redis_url="redis://r/1", database_url="postgresql://d/x")
    assert redis.effective_redis_url(given) == "redis://r/1"
    assert postgres.effective_database_url(given) == "postgresql://d/x"


def test_an_older_redis_never_starts_empty_over_newer_data(tmp_path: Path) -> None:
    old, new = (redis.Binary(path=tmp_path, version=version) for version in ((6, 2, 14), (7, 0, 15)))
    for binary in (old, new):
        redis.check_data_fits(tmp_path, binary)
    (tmp_path / "appendonlydir").mkdir()
    redis.check_data_fits(tmp_path, new)
    with pytest.raises(InternalError, match=r"this is 6\.2\.14"):
        redis.check_data_fits(tmp_path, old)


def test_a_cluster_of_an_unknown_postgres_is_named(tmp_path: Path) -> None:
    newest, _ = postgres.find_binaries(tmp_path)
    assert newest.major == "18"
    (tmp_path / "PG_VERSION").write_text("16\n")
    assert postgres.find_binaries(tmp_path)[0].major == "16"
    (tmp_path / "PG_VERSION").write_text("11\n")
    with pytest.raises(InternalError, match=r"made by PostgreSQL 11; available: 18\.\d+, 16\.\d+"):
        postgres.find_binaries(tmp_path)


def test_the_servers_configuration_survives_odd_paths() -> None:
    found = postgres.configuration(Settings(home="/srv/it's"), 18)
    assert found["data_directory"] == "'/srv/it''s/postgres/data'"
    assert found["unix_socket_directories"] == "'\"/srv/it''s/run/postgres\"'"
    assert int(postgres.configuration(Settings(home="/x", database_pool_max=200), 18)["max_connections"]) >= 400
    assert "io_method" in found
    assert "io_method" not in postgres.configuration(Settings(home="/x"), 16), "it would not start"
    assert redis.configuration(Settings(home='/srv/"x').paths)["dir"] == '"/srv/\\"x/redis/data"'

"""Settings: where they come from, which source wins, and what a bad one is answered with."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import InvalidSettings
from ecosystem.home import default_home
from ecosystem.settings import (
    ALIASES,
    HINTS,
    IGNORED,
    SECRET_FIELDS,
    Settings,
    check,
    load,
    read_dotenv,
    read_saved,
    save,
)

FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
SECRET = "s3cr3t-needle"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory."""
    path = tmp_path / "work"
    path.mkdir()
    return path


def refused(**source: object) -> InvalidSettings:
    """The error `load` ends with."""
    with pytest.raises(InvalidSettings) as caught:
        load(**source)  # type: ignore[arg-type]
    return caught.value


# --- which source wins


def test_nothing_given_is_the_defaults(folder: Path) -> None:
    assert load(environ={}, folder=folder) == Settings(home=str(default_home()))


def test_each_source_wins_over_the_one_before(folder: Path) -> None:
    environ: dict[str, str] = {}
    flags: dict[str, object] = {}

    def port() -> int:
        return load(environ=environ, flags=flags, folder=folder).port

    assert port() == 3000
    (folder / "ecosystem.toml").write_text("port = 4001\n")
    assert port() == 4001
    (folder / ".env").write_text("PORT=4002\n")
    assert port() == 4002
    environ["PORT"] = "4003"
    assert port() == 4003
    flags["port"] = 4004
    assert port() == 4004
    flags["port"] = None
    assert port() == 4003, "a flag that was not given is no value"
    environ["PORT"] = ""
    assert port() == 4002, "an empty variable is not set"


def test_another_toml_file_can_be_named(folder: Path) -> None:
    (folder / "ecosystem.toml").write_text("port = 4001\n")
    other = folder / "other.toml"
    other.write_text("port = 4005\n")
    third = folder / "third.toml"
    third.write_text("port = 4006\n")
    assert load(environ={"ZAPVISOR_CONFIG": str(other)}, folder=folder).port == 4005
    assert load(environ={"ZAPVISOR_CONFIG": str(other)}, folder=folder, config=third).port == 4006


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PORT", "4010")
    monkeypatch.chdir(folder)
    assert load().port == 4010


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"home"}))
def test_every_field_has_its_own_name_in_the_environment_and_in_toml(name: str, folder: Path) -> None:
    value = {
        "environment": "production", "log_level": "debug", "ai_selected": "GPT", "database_url": "postgresql://u@h/d",
        "redis_url": "redis://h:1/0", "session_storage_path": "/srv/x", "log_dir": "/srv/x", "base_port": 5001,
        "port": 2999, "qr_code_timeout_s": 21, "heartbeat_ttl_s": 10, "heartbeat_interval_s": 1, "redis_prefix": "other",
        "body_limit_bytes": 2048, "log_max_bytes": 20000, "event_stream_max": 2000, "event_stream_keep": 2000,
        "webhook_backlog_max": 2000, "sign_in_hold_s": 90, "connections_max": 99, "app_basic_auth": "ana:password-of-ana-1",
    }.get(name)  # fmt: skip
    kind = str(FIELDS[name].type)
    if value is None:
        value = (not FIELDS[name].default) if "bool" in kind else 7 if "int" in kind or "float" in kind else "text"
    written = str(value).lower() if isinstance(value, bool) else str(value)
    assert getattr(load(environ={name.upper(): written}, folder=folder), name) == value
    (folder / "ecosystem.toml").write_text(f"{name} = {written if not isinstance(value, str) else repr(value)}\n")
    assert getattr(load(environ={}, folder=folder), name) == value


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_names_of_the_systems_people_come_from(alias: str, name: str, folder: Path) -> None:
    text, value = {
        "home": ("/srv/z", "/srv/z"), "log_dir": ("/srv/l", "/srv/l"), "environment": ("production", "production"),
        "port": ("8080", 8080), "database_url": ("postgres://u@h/d", "postgres://u@h/d"), "session_timeout_s": ("24h", 86400.0),
        "qr_code_timeout_s": ("60s", 60.0), "webhook_timeout_s": ("15s", 15.0),
    }.get(name, ("4096", 4096) if name.endswith("_bytes") else ("text", "text"))  # fmt: skip
    assert getattr(load(environ={alias: text}, folder=folder), name) == value


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_names_for_one_field_the_better_one_wins(reverse: bool, folder: Path) -> None:
    names = [
        ("SERVER_PORT", "8080"), ("PORT", "8081"), ("PM2_HOME", "/srv/pm2"), ("ZAPVISOR_HOME", "/srv/own"),
        ("ADMIN_TOKEN", "token"), ("ADMIN_API_KEY", "key"),
    ]  # fmt: skip
    settings = load(environ=dict(reversed(names) if reverse else names), folder=folder)
    assert (settings.port, settings.home, settings.admin_api_key) == (8081, "/srv/own", "key")


def test_home_is_the_users_folder_and_no_setting(folder: Path) -> None:
    assert load(environ={"HOME": "/srv/me", "home": "/srv/me"}, folder=folder).home == str(default_home())


def test_paths_become_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", "/srv/me")
    settings = load(environ={"ZAPVISOR_HOME": "z", "LOG_DIR": "~/l", "SESSION_STORAGE_PATH": "./s"}, folder=folder)
    assert settings.home == str(folder / "z")
    assert settings.log_dir == "/srv/me/l"
    assert settings.storage == folder / "s"


def test_storage_and_ports_follow() -> None:
    settings = check({"home": "/srv/z", "base_port": 5000, "max_sessions": 3, "spare_ports": 2})
    assert settings.storage == Path("/srv/z/storages")
    assert list(settings.ports) == [5000, 5001, 5002, 5003, 5004]


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("1.5m", 90), ("24h", 86400), ("2d", 172800), ("90000ms", 90), (" 30s ", 30), ("0", 0)],
)
def test_durations(text: str, seconds: float, folder: Path) -> None:
    assert load(environ={"SESSION_TIMEOUT": text}, folder=folder).session_timeout_s == seconds
    (folder / "ecosystem.toml").write_text(f'session_timeout_s = "{text}"\n')
    assert load(environ={}, folder=folder).session_timeout_s == seconds
    assert load(environ={}, flags={"session_timeout_s": text}, folder=folder).session_timeout_s == seconds


@pytest.mark.parametrize("text", ["soon", "-5s", "5 s", "5w", "1h30m", "s", "1e3", "٣s", "0x10"])
def test_what_is_no_duration(text: str, folder: Path) -> None:
    error = refused(environ={"SESSION_TIMEOUT": text}, folder=folder)
    assert error.field == "SESSION_TIMEOUT"
    assert "not a duration" in error.message
    assert error.hint is not None
    assert "24h" in error.hint


@pytest.mark.parametrize("literal", ["inf", "nan", "-inf", "1e400"])
def test_a_number_must_be_finite(literal: str, folder: Path) -> None:
    (folder / "ecosystem.toml").write_text(f"session_timeout_s = {literal}\n")
    assert refused(environ={}, folder=folder).field == "session_timeout_s"
    assert refused(environ={"SESSION_TIMEOUT": "9" * 400}, folder=folder).field == "SESSION_TIMEOUT"


# --- unknown names, bad values


def test_an_unknown_key_in_toml(folder: Path) -> None:
    (folder / "ecosystem.toml").write_text("max_sesions = 5\n")
    error = refused(environ={}, folder=folder)
    assert error.field == "max_sesions"
    assert str(folder / "ecosystem.toml") in error.message
    assert error.hint == "did you mean max_sessions?"


@pytest.mark.parametrize(("line", "hint"), [("MAX_SESIONS=5", "MAX_SESSIONS"), ("port=5", "PORT")])
def test_an_unknown_name_in_dotenv(line: str, hint: str, folder: Path) -> None:
    (folder / ".env").write_text(line + "\n")
    error = refused(environ={}, folder=folder)
    assert error.field == line.partition("=")[0]
    assert str(folder / ".env") in error.message
    assert error.hint == f"did you mean {hint}?"


def test_the_environment_holds_other_things_but_our_prefix_is_ours(folder: Path) -> None:
    assert load(environ={"EDITOR": "vi", "MAX_SESIONS": "5", "port": "x"}, folder=folder).port == 3000
    assert refused(environ={"ZAPVISOR_HOMEE": "/x"}, folder=folder).hint == "did you mean ZAPVISOR_HOME?"
    assert load(environ={"ZAPVISOR_URL": "http://h", "ZAPVISOR_KEY": "k"}, folder=folder).port == 3000


@pytest.mark.parametrize("name", HINTS)
def test_names_with_another_meaning_are_explained(name: str, folder: Path) -> None:
    error = refused(environ={name: SECRET}, folder=folder)
    assert error.field == name
    assert HINTS[name] in error.message
    assert SECRET not in error.message
    (folder / ".env").write_text(f"{name}={SECRET}\n")
    assert refused(environ={}, folder=folder).field == name
    assert load(environ={name: ""}, folder=folder.parent).port == 3000, "empty is not set"


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_names_without_meaning_do_no_harm(name: str, folder: Path) -> None:
    (folder / ".env").write_text(f"{name}=x\n")
    assert load(environ={name: "x"}, folder=folder) == Settings(home=str(default_home()))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "0"), ("PORT", "65536"), ("PORT", "x"), ("PORT", "3000.5"), ("PORT", "-1"), ("BASE_PORT", "80"),
        ("MAX_SESSIONS", "0"), ("MAX_SESSIONS", "many"), ("LOG_LEVEL", "loud"), ("ENVIRONMENT", "test"), ("NODE_ENV", "test"),
        ("PREFORK", "maybe"), ("REDIS_PREFIX", "a b"), ("REDIS_PREFIX", """ """), ("DEVICE_NAME", "x" * 51),
        ("QR_CODE_TIMEOUT", "5s"), ("QR_CODE_TIMEOUT", "300s"), ("HEARTBEAT_TTL_S", "0"), ("RESTART_DELAY_S", "0"),
        ("AI_SELECTED", "OTHER"), ("BODY_LIMIT_BYTES", "10"), ("LOG_BACKUPS", "101"),
    ],
)  # fmt: skip
def test_a_bad_value_names_the_variable_and_where_it_stood(name: str, text: str, folder: Path) -> None:
    error = refused(environ={name: text}, folder=folder)
    assert (error.field, error.exit_code) == (name, 2)
    assert error.message.startswith(f"{name} (in the environment): ")
    (folder / ".env").write_text(f"{name}='{text}'\n")
    assert refused(environ={}, folder=folder).message.startswith(f"{name} (in {folder / '.env'}): ")


def test_a_bad_value_in_toml_or_a_flag_is_placed_too(folder: Path) -> None:
    assert refused(environ={}, flags={"port": 0}, folder=folder).message.startswith("PORT (in the command line): ")
    (folder / "ecosystem.toml").write_text('port = "x"\n')
    assert refused(environ={}, folder=folder).message.startswith(f"port (in {folder / 'ecosystem.toml'}): ")
    (folder / "ecosystem.toml").write_text("sandbox = 3\n")
    assert refused(environ={}, folder=folder).message.endswith(": must be true or false, not a whole number")
    (folder / "ecosystem.toml").write_text("[port]\nnumber = 3\n")
    assert refused(environ={}, folder=folder).field == "port"


def test_few_values_are_listed(folder: Path) -> None:
    assert refused(environ={"LOG_LEVEL": "loud"}, folder=folder).hint == "one of debug, info, warning, error"


@pytest.mark.parametrize("text", ["true", "True", "1"])
def test_switches(text: str, folder: Path) -> None:
    assert load(environ={"SANDBOX": text}, folder=folder).sandbox is True


# --- what no field can say alone


def test_fields_that_do_not_go_together(folder: Path) -> None:
    assert refused(environ={"PORT": "3050"}, folder=folder).field == "PORT"
    assert refused(environ={"BASE_PORT": "65500"}, folder=folder).field == "BASE_PORT"
    error = refused(environ={"HEARTBEAT_INTERVAL_S": "5"}, folder=folder)
    assert "three times" in error.message
    assert load(environ={"HEARTBEAT_INTERVAL_S": "5", "HEARTBEAT_TTL_S": "15"}, folder=folder).heartbeat_ttl_s == 15


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "mysql://u:{}@h/d"),
        ("DB_URI", "file:{}.db"),
        ("REDIS_URL", "http://:{}@h"),
        ("REDIS_URL", "{}"),
    ],
)
def test_urls_of_another_kind(name: str, url: str, folder: Path) -> None:
    error = refused(environ={name: url.format(SECRET)}, folder=folder)
    assert error.field == name
    assert SECRET not in f"{error} {error.hint}"


def test_a_home_that_is_too_long_or_not_writable_in_a_file(folder: Path) -> None:
    assert refused(environ={"ZAPVISOR_HOME": "/srv/" + "x" * 100}, folder=folder).field == "ZAPVISOR_HOME"
    error = refused(environ={"ZAPVISOR_HOME": "/srv/a\nb"}, folder=folder)
    assert (error.field, "control characters" in error.message) == ("ZAPVISOR_HOME", True)
    assert refused(environ={"LOG_DIR": "/srv/a\x07"}, folder=folder).field == "LOG_DIR"


# --- the parts of a database address

PARTS = {"POSTGRES_HOST": "db", "POSTGRES_USER": "me", "POSTGRES_PASSWORD": "p@ss/word", "POSTGRES_DB": "wa"}


def test_parts_make_a_database_url(folder: Path) -> None:
    settings = load(environ=PARTS, folder=folder)
    assert settings.database_url == "postgresql://me:p%40ss%2Fword@db:5432/wa"
    assert settings.postgres_user is None, "it named the database's user, not the system's"
    assert load(environ={"POSTGRES_HOST": "db"}, folder=folder).database_url == "postgresql://postgres@db:5432/zapvisor"


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("/run/pg", "%2Frun%2Fpg"), ("a b", "a%20b")]
)
def test_any_host_gives_a_well_formed_url(host: str, written: str, folder: Path) -> None:
    url = load(environ={"POSTGRES_HOST": host, "POSTGRES_PORT": "6432"}, folder=folder).database_url
    assert url == f"postgresql://postgres@{written}:6432/zapvisor"


@pytest.mark.parametrize("port", ["x", "0", "65536", "5432/other", "-1"])
def test_a_bad_port_of_the_database(port: str, folder: Path) -> None:
    assert refused(environ={**PARTS, "POSTGRES_PORT": port}, folder=folder).field == "POSTGRES_PORT"


def test_a_whole_url_wins_over_parts_of_the_same_source(folder: Path) -> None:
    whole = "postgresql://u@h/d"
    assert load(environ={**PARTS, "DATABASE_URL": whole}, folder=folder).database_url == whole
    (folder / ".env").write_text(f"DATABASE_URL={whole}\n")
    assert load(environ={}, folder=folder).database_url == whole
    assert (load(environ=PARTS, folder=folder).database_url or "").endswith("@db:5432/wa"), "a stronger source"


def test_a_part_of_the_environment_completes_those_of_dotenv(folder: Path) -> None:
    (folder / ".env").write_text("POSTGRES_HOST=db\nPOSTGRES_USER=me\n")
    assert load(environ={"POSTGRES_PASSWORD": "x"}, folder=folder).database_url == "postgresql://me:x@db:5432/zapvisor"


def test_the_system_user_without_a_host(folder: Path) -> None:
    settings = load(environ={"POSTGRES_USER": "svc"}, folder=folder)
    assert (settings.postgres_user, settings.database_url) == ("svc", None)


# --- files


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"), ("A = b ", "b"), ("export A=b", "b"), ("A='b c'", "b c"), ('A="b # c"', "b # c"), ("A=b # c", "b"),
        ("A=b#c", "b#c"), ('A="b" # c', "b"), ("A=", ""), ("A= # c", ""), ("A='", "'"), ("A=a=b", "a=b"), ('A="a"b"', 'a"b'),
        ("\ufeffA=b", "b"), ("A=b\r", "b"),
    ],
)  # fmt: skip
def test_lines_of_dotenv(line: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{line}\n\n  # a comment\n", encoding="utf-8")
    assert read_dotenv(path) == {"A": value}


@pytest.mark.parametrize("line", ["A", "=b", "A B=c", "1A=b", "A-B=c", "A: b"])
def test_lines_that_are_none(line: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"OK=1\n{line}\n")
    with pytest.raises(InvalidSettings, match="line 2: expected NAME=value"):
        read_dotenv(path)


def test_files_that_cannot_be_read(folder: Path) -> None:
    assert "No such file" in refused(environ={"ZAPVISOR_CONFIG": str(folder / "no.toml")}, folder=folder).message
    assert "Is a directory" in refused(environ={}, config=folder, folder=folder).message
    for name in ("ecosystem.toml", ".env"):
        (folder / name).write_bytes(b"PORT=\xff\n")
        assert "not UTF-8" in refused(environ={}, folder=folder).message
        (folder / name).unlink()
    (folder / "ecosystem.toml").write_text("port = \n")
    assert str(folder / "ecosystem.toml") in refused(environ={}, folder=folder).message


def test_a_round_trip_through_the_saved_file(tmp_path: Path) -> None:
    settings = load(environ={"ADMIN_API_KEY": SECRET, "SESSION_TIMEOUT": "1.5h"}, folder=tmp_path)
    path = tmp_path / "settings.json"
    path.with_suffix(".new").write_text("left by a crash")
    path.with_suffix(".new").chmod(0o644)
    save(settings, path)
    save(settings, path)
    assert read_saved(path) == settings
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b'{"home": "/x", "port": 0}', b'{"home": "/x", "new": 1}', b"\xff"]
)
def test_a_saved_file_that_does_not_fit(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidSettings) as caught:
        read_saved(path)
    assert str(path) in caught.value.message


# --- secrets


@pytest.mark.parametrize("name", sorted(SECRET_FIELDS))
def test_secrets_are_not_shown(name: str) -> None:
    urls = {"database_url": "postgresql://u:{}@h/d", "redis_url": "redis://:{}@h", "app_basic_auth": "u:{}-xyz"}
    url = urls.get(name, "{}")
    settings = check({"home": "/srv/z", name: url.format(SECRET)})
    assert SECRET in getattr(settings, name)
    assert SECRET not in f"{settings} {settings!r} {[settings]}"


@pytest.mark.parametrize("name", sorted(SECRET_FIELDS))
def test_secrets_are_not_in_errors(name: str, folder: Path) -> None:
    (folder / "ecosystem.toml").write_text(f'{name} = ["{SECRET}"]\n')
    error = refused(environ={}, folder=folder)
    assert error.field == name
    assert SECRET not in f"{error} {error.hint} {error.__cause__} {error.problem()}"


@pytest.mark.parametrize("text", ["ana", "ana:short", f":{'x' * 20}", f"ana:{'x' * 20},ben:short", f"ana:{'x' * 15}\t"])
def test_a_login_that_could_be_guessed_or_sent_by_nobody_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        check({"home": "/srv/z", "app_basic_auth": text})
    assert caught.value.field == "APP_BASIC_AUTH"
    assert "x" * 15 not in f"{caught.value} {caught.value.hint}"


def test_logins() -> None:
    settings = check({"home": "/srv/z", "app_basic_auth": "ana:of-ana-1234567890, ben:of:ben:1234567890"})
    assert settings.logins == {"ana": "of-ana-1234567890", "ben": "of:ben:1234567890"}
    assert check({"home": "/srv/z"}).logins == {}


def test_every_field_that_sounds_secret_is_one() -> None:
    sounding = {name for name in FIELDS if name.endswith(("_key", "_url", "_auth", "_token", "_password"))}
    assert sounding - {"public_url"} == SECRET_FIELDS


@given(
    st.dictionaries(st.sampled_from([*(name.upper() for name in FIELDS), *ALIASES]), st.text(max_size=20), max_size=4)
)
def test_any_environment_gives_settings_or_a_named_error(environ: dict[str, str]) -> None:
    try:
        settings = load(environ=environ, folder=Path("/nonexistent"))
    except InvalidSettings as error:
        named = error.field
    else:
        named = "HOME"
        assert check(msgspec.structs.asdict(settings)) == settings
    assert named is not None

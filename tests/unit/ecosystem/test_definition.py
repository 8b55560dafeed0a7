"""The list of programs: which there are, their order, and what each is given."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import msgspec
import pytest
from supervisor.datatypes import dict_of_key_value_pairs
from supervisor.options import UnhosedConfigParser

from ecosystem import definition
from ecosystem.contract.errors import InvalidSettings
from ecosystem.definition import SandboxAccess
from ecosystem.settings import SECRET_FIELDS, Settings
from ecosystem.supervisord import config

HOME = "/srv/zap"
ACCESS = SandboxAccess(ca_file=Path("/srv/zap/sandbox/ca.pem"), root_public_hex="ab" * 32)


def names(settings: Settings, **options: SandboxAccess) -> list[str]:
    return [program.name for program in definition.programs(settings, **options)]


def rendered(settings: Settings, access: SandboxAccess | None = None) -> str:
    return config.render(settings, definition.programs(settings, sandbox=access))


def parsed(text: str) -> UnhosedConfigParser:
    parser = UnhosedConfigParser()
    parser.read_string(text)
    parser.expansions = {}
    return parser


def test_which_programs_there_are() -> None:
    assert names(Settings(home=HOME)) == ["postgres", "redis", "zygote", "orchestrator", "webhooks"]
    assert names(Settings(home=HOME, prefork=False)) == ["postgres", "redis", "orchestrator", "webhooks"]
    outside = Settings(home=HOME, database_url="postgresql://db/x", redis_url="redis://r")
    assert names(outside) == ["zygote", "orchestrator", "webhooks"]
    sandboxed = Settings(home=HOME, sandbox=True, sandbox_port=4400)
    assert names(sandboxed, sandbox=ACCESS) == ["postgres", "redis", "sandbox", "zygote", "orchestrator", "webhooks"]
    for settings, access in ((Settings(home=HOME), ACCESS), (sandboxed, None)):
        with pytest.raises(ValueError, match="exactly when"):
            definition.programs(settings, sandbox=access)


def test_sessions_stop_after_the_orchestrator_and_before_what_they_stand_on() -> None:
    programs = definition.programs(Settings(home=HOME, sandbox=True, sandbox_port=4400), sandbox=ACCESS)
    order = {program.name: program.priority for program in programs} | {"session": definition.SESSION_PRIORITY}
    stopped = sorted(order, key=lambda name: -order[name])
    assert stopped == ["webhooks", "orchestrator", "session", "zygote", "sandbox", "redis", "postgres"]
    assert next(program for program in programs if program.name == "postgres").stop_signal == "INT"


def test_memory_is_given_back_unless_unwanted_and_offered_for_merging_only_where_wanted() -> None:
    def zygote(settings: Settings) -> tuple[str, ...]:
        return next(program for program in definition.programs(settings) if program.name == "zygote").command

    assert "--merge-memory" not in zygote(Settings(home=HOME))
    assert zygote(Settings(home=HOME, memory_merge=True))[-1] == "--merge-memory"
    assert "--sweep-memory" in zygote(Settings(home=HOME))
    assert "--sweep-memory" not in zygote(Settings(home=HOME, memory_sweep=False))


@pytest.mark.parametrize("prefork", [True, False])
def test_without_the_sandbox_nothing_of_it_appears_anywhere(prefork: bool) -> None:
    settings = Settings(home=HOME, prefork=prefork)
    everything = rendered(settings) + msgspec.json.encode(definition.session_template(settings)).decode()
    for word in ("sandbox", "SSL_CERT", "PROXY", "ROOT", "after-load", "trust"):
        assert word not in everything, word


@pytest.mark.parametrize("prefork", [True, False])
def test_with_the_sandbox_workers_are_led_to_it_and_nobody_else_is(prefork: bool) -> None:
    settings = Settings(home=HOME, sandbox=True, sandbox_port=4400, prefork=prefork)
    programs = {program.name: program for program in definition.programs(settings, sandbox=ACCESS)}
    template = definition.session_template(settings, sandbox=ACCESS)
    environment = programs["zygote"].environment if prefork else template.environment
    assert environment == {
        "GOGC": "25",
        "GOMAXPROCS": "1",
        "GOMEMLIMIT": "16MiB",
        "NEONIZE_BOT_TAG": "off",
        "HTTPS_PROXY": "http://127.0.0.1:4400",
        "SSL_CERT_FILE": "/srv/zap/sandbox/ca.pem",
        "SSL_CERT_DIR": "/nonexistent",
        "ZAPVISOR_SANDBOX_ROOT": "ab" * 32,
    }
    for name, program in programs.items():
        assert name == "zygote" or program.environment == {}
    if prefork:
        assert programs["zygote"].command[-3:] == ("--after-load", "ecosystem.sandbox.trust:install", "--sweep-memory")
        assert template.environment == {}
    else:
        assert template.command[-4:] == ("-m", "ecosystem.sandbox.launch", "-m", "worker")


def test_the_base_environment_is_clean() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "pt_BR.UTF-8",
        "TZ": "America/Sao_Paulo",
        "PYTHONPATH": "/x",
        "HTTPS_PROXY": "http://u:p@proxy:3128",
        "SSL_CERT_FILE": "/etc/own.pem",
        "ADMIN_API_KEY": "secret",
        "DATABASE_URL": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "ZAPVISOR_SANDBOX_ROOT": "from outside",
    }
    plain = definition.base_environment(Settings(home=HOME), environ)
    assert "secret" not in plain.values()
    assert "ZAPVISOR_SANDBOX_ROOT" not in plain
    assert (plain["HTTPS_PROXY"], plain["SSL_CERT_FILE"]) == ("http://u:p@proxy:3128", "/etc/own.pem")
    assert (plain["TZ"], plain["LC_ALL"], plain["PYTHONUTF8"]) == ("America/Sao_Paulo", "pt_BR.UTF-8", "1")
    assert plain["PYTHONPATH"].split(":")[-1] == "/x"
    on = definition.base_environment(Settings(home=HOME, sandbox=True), environ)
    assert "HTTPS_PROXY" not in on
    assert "SSL_CERT_FILE" not in on


def test_no_secret_is_written_into_the_configuration() -> None:
    secrets = dict.fromkeys(SECRET_FIELDS, "s3cr3t") | {
        "database_url": "postgresql://u:s3cr3t@h/d",
        "redis_url": "redis://:s3cr3t@h",
    }
    settings = msgspec.convert({"home": HOME, **secrets}, Settings)
    assert "s3cr3t" not in rendered(settings)
    assert "s3cr3t" not in msgspec.json.encode(definition.session_template(settings)).decode()


@pytest.mark.parametrize("home", ["/srv/100% sure/it's not", "/srv/50%(here)s", "/srv/a b,c=d", "/srv/ção"])
def test_supervisord_reads_back_what_was_written(home: str) -> None:
    home = home.replace("'", "")
    settings = Settings(home=home, sandbox=True, sandbox_port=4400)
    access = SandboxAccess(ca_file=Path(home) / "sandbox" / "ca.pem", root_public_hex="ab" * 32)
    parser = parsed(rendered(settings, access))
    for program in definition.programs(settings, sandbox=access):
        section = f"program:{program.name}"
        assert tuple(shlex.split(parser.saneget(section, "command"))) == program.command
        assert parser.saneget(section, "directory") == home
        assert parser.saneget(section, "stdout_logfile") == str(program.log)
        assert parser.saneget(section, "stopsignal") == program.stop_signal
        if program.environment:
            assert dict_of_key_value_pairs(parser.saneget(section, "environment")) == program.environment
    assert parser.saneget("rpcinterface:session", "template") == str(settings.paths.session_template)
    assert parser.saneget("unix_http_server", "file") == str(settings.paths.supervisord_socket)
    with pytest.raises(configparser.NoSectionError):
        parser.saneget("inet_http_server", "port")


@pytest.mark.parametrize("name", ["it's", 'say "no"', "a ;b", "a #b", "a\nb", "back\\slash"])
def test_a_home_that_cannot_be_written_down_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        config.check_paths(Settings(home=f"/srv/{name}"))
    assert caught.value.field == "ZAPVISOR_HOME"
    with pytest.raises(InvalidSettings) as caught:
        config.check_paths(Settings(home=HOME, log_dir=f"/srv/{name}"))
    assert caught.value.field == "LOG_DIR"


def test_logs_go_where_the_settings_say() -> None:
    settings = Settings(home=HOME, log_dir="/var/log/zap")
    assert definition.session_log(settings, "alpha") == Path("/var/log/zap/sessions/alpha.log")
    assert all(program.log.parent == Path("/var/log/zap") for program in definition.programs(settings))
    plain = Settings(home=HOME)
    assert definition.session_log(plain, "alpha") == plain.paths.session_log("alpha")
    assert definition.program_log(plain, "zygote") == plain.paths.log("zygote")

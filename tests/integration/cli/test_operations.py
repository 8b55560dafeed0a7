"""The further verbs of PM2, and proxies, against a server that plays what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.commands.operations import unit
from cli.commands.proxy import parse
from cli.root import main
from ecosystem.contract.errors import InvalidRequest


def test_the_unit_starts_and_stops_this_very_instance_and_holds_no_setting() -> None:
    text = unit(Path("/var/lib/my zapvisor"), "zap")
    assert 'ExecStart="' in text
    assert 'up --home "/var/lib/my zapvisor"' in text
    assert 'down --home "/var/lib/my zapvisor"' in text
    assert "User=zap" in text
    assert "Environment" not in text


def test_startup_shows_the_unit_without_touching_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["startup", "--home", str(tmp_path), "--user", "ana", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == "/etc/systemd/system/zapvisor.service"
    assert f'--home "{tmp_path}"' in shown["text"]
    assert "User=ana" in shown["text"]


@pytest.mark.parametrize(
    ("url", "host", "port", "kind", "user"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, "http", None),
        ("socks5://ana%40x@10.0.0.1:1080", "10.0.0.1", 1080, "socks5", "ana@x"),
        ("socks5h://[2001:db8::1]:1080", "2001:db8::1", 1080, "socks5", None),
    ],
)
def test_a_proxy_s_url_is_understood(url: str, host: str, port: int, kind: str, user: str | None) -> None:
    found = parse(url, password="x", required=True)
    assert (found.host, found.port, found.type, found.username) == (host, port, kind, user)
    assert (found.password, found.required) == ("x", True)


@pytest.mark.parametrize(
    "url", ["proxy.example", "ftp://x:1", "http://proxy.example", "http://x:port", "socks5://:1080"]
)
def test_what_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(url)


def test_a_password_on_the_command_line_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["proxy", "set", "alpha", "http://ana:geheim@x:1", "--url", "http://127.0.0.1:1", "--key", "k" * 20]) == 2
    )
    said = capsys.readouterr()
    assert "geheim" not in said.out + said.err
    assert "--password-from" in said.err

"""The further verbs of PM2, and proxies, against a server that plays what it is told."""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path

import pytest

from cli.commands import operations
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


def test_what_systemd_would_take_for_something_else_is_written_so_that_it_does_not() -> None:
    text = unit(Path('/srv/50% of $it "now"/home'), "zap")
    assert 'up --home "/srv/50%% of $$it \\"now\\"/home"' in text
    assert 'WorkingDirectory=/srv/50%% of $it "now"' in text


def test_install_says_what_is_missing_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operations, "UNITS", tmp_path)
    monkeypatch.setattr(operations, "BOOTED", tmp_path / "none")
    for uid, said in ((1000, "needs root"), (0, "there is no systemd here")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert main(["startup", "--install", "--home", str(tmp_path / "home")]) != 0
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_install_writes_and_enables_the_unit_and_unstartup_takes_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a systemctl that writes down what it is told; systemd itself cannot be had in a test."""
    programs, told, units = tmp_path / "bin", tmp_path / "told", tmp_path / "units"
    programs.mkdir()
    units.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(operations, "UNITS", units)
    monkeypatch.setattr(operations, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    me = pwd.getpwuid(os.getuid()).pw_name
    home = tmp_path / "home"
    assert main(["startup", "--install", "--home", str(home), "--user", me]) == 0
    assert home.stat().st_mode & 0o777 == 0o700
    assert f"User={me}" in (units / operations.UNIT).read_text()
    assert told.read_text().split("\n")[:-1] == ["daemon-reload", "enable zapvisor.service"]
    assert main(["unstartup"]) == 0
    assert list(units.iterdir()) == []
    assert main(["startup", "--install", "--home", str(home), "--user", "nobody-has-this-name"]) != 0
    assert "useradd" in capsys.readouterr().err
    # A Python below a home that is closed to others, as a version manager of root's installs it.
    (programs / "zapvisor").write_text("#!/nonexistent/python\n")
    (programs / "zapvisor").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert main(["startup", "--install", "--home", str(home), "--user", me]) != 0
    assert "cannot run" in capsys.readouterr().err
    assert list(units.iterdir()) == []


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

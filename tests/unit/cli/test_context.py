"""Which instance a call means, and how its options come together."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from cli.context import Call, home_folder, read_text
from ecosystem.contract.errors import ApiKeyMissing, InvalidRequest, InvalidSettings, NotRunning
from ecosystem.home import default_home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(url: str | None = None, key: str | None = None, home: str | None = None) -> Call:
    return Call(json=False, quiet=True, url=url, key=key, home=home)


def instance(folder: Path, url: str = "http://127.0.0.1:3000", key: str = "local-key") -> Path:
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "instance.json").write_text(f'{{"url": "{url}"}}')
    (folder / "admin.key").write_text(key)
    return folder


def test_home_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_folder(None) == default_home()
    (tmp_path / "ecosystem.toml").write_text(f'home = "{tmp_path}/by-toml"\n')
    assert home_folder(None) == tmp_path / "by-toml"
    (tmp_path / ".env").write_text(f"ZAPVISOR_HOME={tmp_path}/by-dotenv\n")
    assert home_folder(None) == tmp_path / "by-dotenv"
    monkeypatch.setenv("PM2_HOME", str(tmp_path / "by-pm2"))
    assert home_folder(None) == tmp_path / "by-pm2"
    monkeypatch.setenv("ZAPVISOR_HOME", "by-environment")
    assert home_folder(None) == tmp_path / "by-environment"
    assert home_folder("by-flag") == tmp_path / "by-flag"


def test_a_broken_configuration_here_is_said_and_a_named_home_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "ecosystem.toml").write_text("nonsense = 1\n")
    with pytest.raises(InvalidSettings):
        home_folder(None)
    assert home_folder("x") == tmp_path / "x"


def test_local_instance(tmp_path: Path) -> None:
    folder = instance(tmp_path / "home")
    client = call(home=str(folder)).client
    assert str(client.address) == "http://127.0.0.1:3000"
    assert client._key == "local-key"
    assert "local-key" not in repr(client)


def test_nothing_runs_here(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        _ = call(home=str(tmp_path)).client


def test_the_local_key_never_goes_to_a_named_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = instance(tmp_path / "home")
    monkeypatch.setenv("ZAPVISOR_HOME", str(folder))
    with pytest.raises(ApiKeyMissing):
        _ = call(url="https://fleet.example").client
    monkeypatch.setenv("ZAPVISOR_URL", "https://fleet.example")
    with pytest.raises(ApiKeyMissing):
        _ = call().client


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPVISOR_URL", "https://a.example")
    monkeypatch.setenv("ZAPVISOR_KEY", "key-a")
    assert (str(call().client.address), call().client._key) == ("https://a.example:443", "key-a")
    flagged = call(url="https://b.example", key="key-b").client
    assert (str(flagged.address), flagged._key) == ("https://b.example:443", "key-b")


def test_a_key_in_the_clear_is_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    loud = Call(json=False, quiet=False, url="http://fleet.example", key="key", home=None)
    _ = loud.client
    err = capsys.readouterr().err
    assert "unencrypted" in err
    assert "key;" not in err


def stdin(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_text("São") == "São"
    stdin("two\nlines é\n".encode(), monkeypatch)
    assert read_text("-") == "two\nlines é"


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff"])
def test_no_text(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(data, monkeypatch)
    with pytest.raises(InvalidRequest):
        read_text("-")

"""Servers saved under a name: the file, and which server and key a call means."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from cli import contexts
from cli.context import Call
from cli.contexts import Contexts, Named, checked
from ecosystem.contract.errors import (
    ApiKeyMissing,
    ApiKeyUnknown,
    ConfigUnusable,
    ContextExists,
    ContextNotFound,
    InvalidRequest,
)

if TYPE_CHECKING:
    from pathlib import Path

FAR = Named("far", "https://far.example:443", "key-far")
NEAR = Named("near", "http://127.0.0.1:3000", None)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ZAPVISOR_URL", "ZAPVISOR_KEY", "ZAPVISOR_CONTEXT", "ZAPVISOR_HOME"):
        monkeypatch.delenv(name, raising=False)


def saved(current: str | None = None) -> Path:
    return contexts.save(Contexts(current, {"far": FAR, "near": NEAR}))


def call(url: str | None = None, key: str | None = None, home: str | None = None, context: str | None = None) -> Call:
    return Call(json=False, quiet=True, url=url, key=key, home=home, context=context)


def meant(given: Call) -> tuple[str, str | None]:
    """The server and the key a call means."""
    client = given.client
    return str(client.address), client._key


def test_nothing_is_saved_and_then_something_is() -> None:
    assert contexts.load() == Contexts()
    saved("near")
    assert contexts.load() == Contexts("near", {"far": FAR, "near": NEAR})


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    path = saved()
    assert path == tmp_path / "config" / "zapvisor" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert contexts.exposed() is None
    path.chmod(0o644)
    assert contexts.exposed() == path
    saved()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "written anew, for the owner alone"
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"], "nothing is left over"


def test_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert contexts.config_file() == tmp_path / "home" / ".config" / "zapvisor" / "config.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert contexts.config_file() == tmp_path / "home" / ".config" / "zapvisor" / "config.toml"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        'current = "nobody"',
        "current = 7",
        "unknown = 1",
        '[contexts.a]\nurl = "ftp://x"',
        '[contexts.a]\nurl = "http://x"\nkey = "two words"',
        '[contexts.a]\nkey = "k"',
        '[contexts.local]\nurl = "http://x"',
        "\xff",
    ],
)
def test_a_file_that_cannot_be_understood_is_named(text: str) -> None:
    path = saved()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigUnusable) as caught:
        contexts.load()
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2
    assert "two words" not in str(caught.value), "no key in a message"


@pytest.mark.parametrize("name", ["", "local", "Upper", "with space", "-a", "a/b", "x" * 64, "é"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidRequest):
        checked(name, "https://x.example", None)


def test_changes() -> None:
    both = Contexts("far", {"far": FAR, "near": NEAR})
    with pytest.raises(ContextExists):
        both.with_(FAR, replace=False)
    other = Named("far", "https://other.example:443")
    assert both.with_(other, replace=True).named("far") == other
    assert both.without("far") == Contexts(None, {"near": NEAR})
    assert both.without("near").current == "far"
    with pytest.raises(ContextNotFound) as caught:
        both.using("nobody")
    assert caught.value.hint is not None
    assert "far, near" in caught.value.hint
    with pytest.raises(ApiKeyUnknown):
        checked("a", "https://x.example", "two words")
    assert "key-far" not in repr(FAR)


def test_which_server_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is beaten by the next one."""
    assert call().server.url is None, "the instance on this machine, where nothing is said"
    saved("far")
    assert call().server.url == FAR.url
    assert call().server.by == "the current context"
    monkeypatch.setenv("ZAPVISOR_HOME", str(tmp_path))
    assert call().server.url is None
    monkeypatch.setenv("ZAPVISOR_CONTEXT", "near")
    assert call().server.url == NEAR.url
    monkeypatch.setenv("ZAPVISOR_URL", "https://environment.example")
    assert call().server.url == "https://environment.example"
    assert call(home="x").server.url is None
    assert call(context="far").server.url == FAR.url
    assert call(context="local").server.url is None
    assert call(url="https://flag.example").server.url == "https://flag.example"
    for given in (call(url="https://a.example", context="far"), call(home="x", context="far"), call(url="u", home="x")):
        with pytest.raises(InvalidRequest):
            _ = given.server
    with pytest.raises(ContextNotFound):
        _ = call(context="nobody").server


def test_which_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    saved("far")
    assert meant(call()) == (FAR.url, "key-far")
    monkeypatch.setenv("ZAPVISOR_KEY", "key-environment")
    assert meant(call()) == (FAR.url, "key-environment"), "the environment beats the file"
    assert meant(call(context="far")) == (FAR.url, "key-far"), "an option beats the environment"
    assert meant(call(context="far", key="key-flag")) == (FAR.url, "key-flag")
    assert meant(call(context="near")) == (NEAR.url, "key-environment"), "one that was saved without"


def test_the_key_of_a_context_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    saved("far")
    with pytest.raises(ApiKeyMissing):
        _ = call(url="https://elsewhere.example").client
    monkeypatch.setenv("ZAPVISOR_URL", "https://elsewhere.example")
    with pytest.raises(ApiKeyMissing):
        _ = call().client


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-from-file\n")
    assert meant(call(url="https://a.example", key=f"@{tmp_path}/key"))[1] == "key-from-file"
    with pytest.raises(InvalidRequest):
        _ = call(url="https://a.example", key="@/nowhere").client

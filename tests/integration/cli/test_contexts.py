"""`zapvisor context`: saved, used, shown and forgotten; the key stays where it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import COMMAND, run
from tests.support.api_stand_in import KEY, ApiStandIn, Reply, page, view
from tests.support.pty_terminal import Terminal

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Zap


@pytest.fixture
def alone(environ: dict[str, str]) -> dict[str, str]:
    """The environment of somebody who named no server yet."""
    return {name: value for name, value in environ.items() if name not in {"ZAPVISOR_URL", "ZAPVISOR_KEY"}}


def test_a_server_is_saved_and_driven(api: ApiStandIn, alone: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha"))))
    told = run(["context", "add", "there", api.url, "--key-from", "-"], alone, f"{KEY}\n".encode())
    assert told.returncode == 0, told.stderr
    assert b"zapvisor context use there" in told.stdout
    assert KEY.encode() not in told.stdout + told.stderr
    assert run(["list", "-q", "--context", "there"], alone).stdout == b"alpha\n"
    assert run(["context", "use", "there"], alone).returncode == 0
    assert run(["list", "-q"], alone).stdout == b"alpha\n"
    for words in (
        ["context", "list"],
        ["context", "show"],
        ["context", "show", "there"],
        ["context", "list", "--json"],
    ):
        shown = run(words, alone).stdout
        assert api.url.encode() in shown
        assert KEY.encode() not in shown
    assert run(["context", "show", "-q"], alone).stdout.decode().strip() == api.url
    assert run(["context", "use", "local"], alone).returncode == 0
    assert run(["list"], alone).returncode == 9, "nothing runs on this machine"


def test_a_key_is_asked_for_and_not_shown(api: ApiStandIn, alone: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha"))))
    with Terminal((*COMMAND, "context", "add", "there", api.url, "--use"), alone) as terminal:
        terminal.until("it asks", lambda: "API key" in terminal.seen)
        terminal.type(f"{KEY}\r")
        assert terminal.end() == 0
        assert KEY not in terminal.seen
    assert run(["list", "-q"], alone).stdout == b"alpha\n"


def test_nobody_is_there_to_ask(alone: dict[str, str]) -> None:
    told = run(["context", "add", "there", "https://far.example"], alone)
    assert told.returncode == 2
    assert b"--key-from FILE, or --no-key" in told.stderr


def test_removing_asks_first(api: ApiStandIn, alone: dict[str, str]) -> None:
    for name in ("one", "two"):
        run(["context", "add", name, api.url, "--no-key", "--use"], alone)
    told = run(["context", "remove", "one"], alone)
    assert told.returncode == 2
    assert b"--yes" in told.stderr
    with Terminal((*COMMAND, "context", "remove", "one"), alone) as terminal:
        terminal.until("it asks", lambda: "Forget one" in terminal.seen)
        terminal.type("n\r")
        assert terminal.end() == 130
        assert "nothing was done" in terminal.seen
    with Terminal((*COMMAND, "context", "remove", "one"), alone) as terminal:
        terminal.until("it asks", lambda: "Forget one" in terminal.seen)
        terminal.type("y\r")
        assert terminal.end() == 0
    assert run(["context", "list", "-q"], alone).stdout == b"two\n"
    assert b"this machine" in run(["context", "remove", "two", "-y"], alone).stdout, "the current one is gone"


def test_mistakes_have_their_codes(zap: Zap) -> None:
    assert zap("context", "add", "a", "https://x.example", "--no-key").code == 0
    assert zap("context", "add", "a", "https://x.example", "--no-key").code == 5
    assert zap("context", "add", "a", "https://y.example", "--no-key", "--replace").code == 0
    assert zap("context", "add", "b", "ftp://x", "--no-key").code == 2
    assert zap("context", "use", "nobody").code == 4
    assert zap("list", "--context", "nobody").code == 4
    assert zap("list", "--context", "a", "--url", "https://x.example").code == 2
    assert zap("context", "show", "nobody", "--json").problem["code"] == "context_not_found"


def test_a_file_others_can_read_is_remarked(zap: Zap) -> None:
    zap("context", "add", "a", "https://x.example", "--no-key")
    path = Path(zap("context", "add", "b", "https://x.example", "--no-key").out.split(" in ")[1].splitlines()[0])
    path.chmod(0o644)
    assert f"chmod 600 {path}" in zap("context", "show").err


def test_a_spoilt_file_is_named_and_an_option_goes_round_it(zap: Zap, tmp_path: Path) -> None:
    (tmp_path / "config" / "zapvisor").mkdir(parents=True)
    (tmp_path / "config" / "zapvisor" / "config.toml").write_text("nonsense")
    told = zap("context", "list")
    assert told.code == 2
    assert "config.toml" in told.err
    assert zap("list").code != 2, "ZAPVISOR_URL says what is meant: the file is not read"

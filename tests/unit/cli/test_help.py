"""Every verb explains itself, and a mistyped one is understood."""

from __future__ import annotations

import json

import click
import pytest

from cli.context import Verb, is_common
from cli.habits import INSTEAD, MEANT
from cli.root import ALIASES, ENTRIES, main, zapvisor
from tests.unit.cli.tree import walk

TREE = dict(walk(zapvisor))
COMMON = ("json", "quiet", "lang", "context", "url", "key", "home")
VERBS = {path: command for path, command in TREE.items() if not isinstance(command, click.Group)}


def test_the_tree_is_whole() -> None:
    assert set(ENTRIES) >= {
        "up", "down", "doctor", "create", "list", "describe", "start", "stop", "restart", "logout", "delete",
        "qr", "pair", "send", "status", "logs", "webhook", "sandbox", "completion", "key", "audit", "context", "session",
    }  # fmt: skip
    assert ("sandbox", "phone", "add") in VERBS
    assert ("sandbox", "fault", "hold_acks") in VERBS


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: zapvisor {' '.join(path)}")
    command = TREE[path]
    assert command.help
    assert command.help.split("\n\n")[0].rstrip(".").split()[0] in out


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_verb_has_examples_and_the_common_options(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    command = VERBS[path]
    assert isinstance(command, Verb)
    assert command.examples
    alone = path[1:] if path[0] == "session" else path  # the noun holds the very same verbs
    assert any(" ".join(alone) in line for line in command.examples)
    assert {param.name for param in command.params if is_common(param)} == set(COMMON)
    main([*path, "-h"])
    out = capsys.readouterr().out
    for word in ("Options of every command:", "--json", "Examples:", "ZAPVISOR_KEY", command.examples[0]):
        assert word in out


@pytest.mark.parametrize("name", ENTRIES)
def test_the_overview_says_what_the_verb_says(name: str) -> None:
    command = TREE[(name,)]
    assert command.help
    first = " ".join(command.help.split("\n\n")[0].split())
    spoken = ENTRIES[name].summary.rstrip(".")
    assert first.replace(":", "").startswith(spoken.split(",")[0].split(":")[0].split(" (")[0].rstrip(".")), first


def test_bare_command_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Sessions:" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["-v"], ["version"]], ids=" ".join)
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("zapvisor ")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lst"], "Did you mean 'list'?"),
        (["restrat", "alpha"], "Did you mean 'restart'?"),
        (["sandbox", "scna"], "Did you mean 'scan'?"),
        (["sandbox", "fault", "bann"], "Did you mean 'ban'?"),
        (["xyzzy"], "See 'zapvisor --help'."),
        (["list", "--statu", "error"], "--status"),
        (["pid", "alpha"], "Did you mean 'describe'?"),
        (["scale", "alpha", "3"], "`zapvisor create` adds another"),
        (["conf"], "`zapvisor doctor`"),
        (["help", "xyzzy"], "See 'zapvisor --help'."),
    ],
)
def test_mistyped(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert meant in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["help"], ["--help"]),
        (["--lang", "pt", "help"], ["--lang", "pt", "--help"]),
        (["help", "list"], ["list", "--help"]),
        (["help", "sandbox", "phone", "add"], ["sandbox", "phone", "add", "--help"]),
    ],
    ids=" ".join,
)
def test_help_as_a_command(words: list[str], same: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    told = capsys.readouterr().out
    assert main(same) == 0
    assert told == capsys.readouterr().out


def test_habits_lead_to_what_exists() -> None:
    known = {*ENTRIES, *ALIASES}
    assert set(MEANT.values()) <= known
    assert not {*MEANT, *INSTEAD} & known, "the command itself would never be reached"


def test_mistyped_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lst", "--json"]) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.err)
    assert (document["code"], document["kind"]) == ("invalid_request", "invalid")
    assert captured.out == ""


@pytest.mark.parametrize(("alias", "words"), ALIASES.items())
def test_alias(alias: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    main([alias, "--help"])
    by_alias = capsys.readouterr().out.splitlines()[1:]
    main([*words, "--help"])
    assert capsys.readouterr().out.splitlines()[1:] == by_alias
    assert words[0] in ENTRIES
    assert alias not in ENTRIES, "an alias would be hidden by a command of that name"


def test_short_forms_of_pm2() -> None:
    assert {"ls", "del", "jlist", "prettylist", "desc", "info", "show", "dash", "dump"} <= set(ALIASES)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "_ZAPVISOR_COMPLETE" in out
    assert f"{shell}_complete" in out


def test_completion_knows_the_verbs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ZAPVISOR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "zapvisor re")
    monkeypatch.setenv("COMP_CWORD", "1")
    main(["re"])
    assert "restart" in capsys.readouterr().out


BAD_SESSIONS = ["", "A", "a" * 64, "a/b", "..", "-a", "a_b", "sandbox"]


@pytest.mark.parametrize("session", BAD_SESSIONS)
@pytest.mark.parametrize(
    "words",
    [
        ["describe"], ["start"], ["stop"], ["restart"], ["delete", "--yes"], ["logout"], ["qr"], ["create"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_session_id_is_refused_before_any_call(
    words: list[str], session: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPVISOR_URL", "http://127.0.0.1:1")  # a call would fail with another exit code
    monkeypatch.setenv("ZAPVISOR_KEY", "k")
    assert main([*words, "--json", "--", session]) == 2
    code = {"": "session_id_required", "sandbox": "reserved_session_id"}.get(session, "invalid_session_id")
    problem = json.loads(capsys.readouterr().err)
    assert (problem["code"], problem["field"]) == (code, "SESSION")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["pair", "alpha", "12"], "invalid_phone"),
        (["send", "alpha", "12", "hi"], "invalid_phone"),
        (["send", "alpha", "x@nowhere", "hi"], "invalid_jid"),
        (["send", "alpha", "5511912345678", ""], "invalid_request"),
        (["send", "alpha", "5511912345678", "a\udcffb"], "invalid_request"),
        (["create", "alpha", "--metadata", "novalue"], "invalid_request"),
        (["sandbox", "phone", "add", "abc"], "invalid_phone"),
        (["sandbox", "fault", "drop", "--number", "5511912345678", "--session", "alpha"], "invalid_request"),
        (["start"], "invalid_request"),
        (["start", "alpha", "--wait", "61"], "invalid_request"),
        (["list", "--limit", "0"], "invalid_request"),
        (["list", "--url", "ftp://x"], "invalid_request"),
        (["list", "--key", "two words"], "api_key_unknown"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, list) else str(value),
)
def test_bad_input(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPVISOR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ZAPVISOR_KEY", "k")
    exit_code = main([*words, "--json"])
    captured = capsys.readouterr()
    assert json.loads(captured.err)["code"] == code
    assert captured.out == ""
    assert exit_code == (3 if code.startswith("api_key") else 2)


def test_deleting_asks_and_nobody_there_means_no(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAPVISOR_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ZAPVISOR_KEY", "k")
    assert main(["delete", "alpha"]) == 2
    assert "--yes" in capsys.readouterr().err

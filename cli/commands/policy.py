"""A session's own rules of restart: show, set, reset."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from cli.commands.session import SESSIONS, Done, chosen, report
from cli.context import Call, SessionParam, noun, verb
from cli.texts import tr

if TYPE_CHECKING:
    from ecosystem.contract.ids import SessionId
    from ecosystem.contract.policy import PolicyView

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class SizeParam(click.ParamType[int]):
    """Bytes, written as PM2's users do: 300M, 1.5G, 0."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(tr("{value} is no size such as 300M or 1.5G", value=value), param, ctx)
        return round(float(found[1]) * _UNITS[found[2].lower()])


class CodesParam(click.ParamType["list[int]"]):
    """Exit codes, with commas between them."""

    name = "codes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not all(word.isdecimal() and int(word) <= 255 for word in words):
            self.fail(tr("{value} is no list of exit codes such as 0,143", value=value), param, ctx)
        return [int(word) for word in words]


RULES: Final = {
    "priority": "priority",
    "max-restarts": "max_restarts",
    "min-uptime": "min_uptime_s",
    "restart-delay": "restart_delay_s",
    "restart-delay-max": "restart_delay_max_s",
    "max-memory": "max_memory_bytes",
    "cron-restart": "cron_restart",
    "kill-timeout": "kill_timeout_s",
    "stop-exit-codes": "stop_exit_codes",
}
"""What the command calls a rule, and what the API does."""


@verb("show", examples=("zapvisor policy show alpha", "zapvisor policy show alpha --json"))
@click.argument("session", type=SessionParam())
def show(call: Call, session: SessionId) -> None:
    """Show when a session is restarted: its own rules, and what holds with the settings.

    With --quiet only its own rules, as set takes them.
    """
    from ecosystem.contract.policy import PolicyView

    answer = call.client.get(f"/sessions/{session}/policy")
    if call.json:
        call.screen.data(answer.body)
        return
    _show(call, answer.decode(PolicyView))


@verb(
    "set",
    examples=(
        "zapvisor policy set alpha --max-memory 300M --max-restarts 5",
        'zapvisor policy set label:shop --cron-restart "0 4 * * *"',
        "zapvisor policy set alpha --priority 10 --unset max-memory",
    ),
)
@SESSIONS
@click.option("--priority", type=click.IntRange(-100, 100), help="Who is started first when many wait: the higher.")
@click.option(
    "--max-restarts",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Deaths within the window until it is given up as crash_loop.",
)
@click.option(
    "--min-uptime",
    "min_uptime_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="A worker that lived so long did not fail.",
)
@click.option(
    "--restart-delay",
    "restart_delay_s",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="The first pause before it is restarted; it doubles.",
)
@click.option(
    "--restart-delay-max",
    "restart_delay_max_s",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="The longest pause.",
)
@click.option(
    "--max-memory",
    "max_memory_bytes",
    type=SizeParam(),
    metavar="SIZE",
    help="A worker that takes more is replaced: 300M, 1.5G; 0 is no limit.",
)
@click.option(
    "--cron-restart", metavar="CRON", help="When a fresh worker starts: five fields of cron, in UTC; empty is never."
)
@click.option(
    "--kill-timeout",
    "kill_timeout_s",
    type=click.FloatRange(1, 120),
    metavar="SECONDS",
    help="How long its worker may take to stop; from its next worker on.",
)
@click.option(
    "--stop-exit-codes",
    type=CodesParam(),
    metavar="CODES",
    help="Exit codes after which it stays down: 0,143; from its next worker on.",
)
@click.option(
    "--unset",
    type=click.Choice(list(RULES)),
    multiple=True,
    metavar="RULE",
    help="Have a rule as the settings have it, such as max-memory; may be repeated.",
)
def set_(call: Call, /, sessions: tuple[str, ...], unset: tuple[str, ...], **given: Any) -> int:
    """Change when sessions are restarted; rules that are not given stay."""
    from ecosystem.contract.errors import InvalidRequest

    changes = {name: value for name, value in given.items() if value is not None}
    dropped = {RULES[name] for name in unset}
    if both := sorted(name for name in unset if RULES[name] in changes):
        raise InvalidRequest(tr("{name} is set and unset", name=both[0]), field=both[0])
    if not changes and not dropped:
        raise InvalidRequest(tr("no rule was named"), hint=tr("see `zapvisor policy set --help`"))

    def act(session: str) -> Done:
        own: dict[str, Any] = call.client.get(f"/sessions/{session}/policy").decode(dict[str, Any])["own"]
        return _put(call, session, {name: value for name, value in own.items() if name not in dropped} | changes)

    return report(call, chosen(call.client, sessions), act)


@verb("reset", examples=("zapvisor policy reset alpha", "zapvisor policy reset all"))
@SESSIONS
def reset(call: Call, sessions: tuple[str, ...]) -> int:
    """Drop the own rules of sessions: all is as the settings have it."""
    return report(call, chosen(call.client, sessions), lambda session: _put(call, session, {}))


def _put(call: Call, session: str, rules: dict[str, Any]) -> Done:
    from ecosystem.contract.policy import PolicyView

    answer = call.client.request("PUT", f"/sessions/{session}/policy", body=rules)
    own = _words(answer.decode(PolicyView).own)
    named = ", ".join(f"{name} {value}" for name, value in own.items())
    return Done(f"{session}: {named or tr('no rules of its own')}", answer.body)


def _show(call: Call, view: PolicyView) -> None:
    from cli.output.figures import NOTHING
    from cli.output.screen import Column

    if call.quiet:
        for name, value in _words(view.own).items():
            call.screen.line(f"--{name} {value}")
        return
    own, effective = _sentences(view.own), {"priority": "0"} | _sentences(view.effective)
    call.screen.table(
        [Column(tr("RULE")), Column(tr("OWN")), Column(tr("HOLDS"))],
        [(name, own.get(name, NOTHING), effective.get(name, NOTHING)) for name in RULES],
    )


def _words(rules: object) -> dict[str, str]:
    """The rules that are set, as people (and `policy set`) write them."""
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(rules)
    return {name: _word(field, fields[field]) for name, field in RULES.items() if fields.get(field) is not None}


def _sentences(rules: object) -> dict[str, str]:
    """The same with units, and in words where a number alone says little."""
    special = {
        "max-memory": {"0": tr("no limit")},
        "cron-restart": {'""': tr("never")},
        "stop-exit-codes": {"": tr("none")},
    }
    seconds = {name for name, field in RULES.items() if field.endswith("_s")}
    return {
        name: special.get(name, {}).get(word, f"{word} s" if name in seconds else word)
        for name, word in _words(rules).items()
    }


def _word(field: str, value: Any) -> str:
    if field == "stop_exit_codes":
        return ",".join(map(str, value))
    if field == "cron_restart":
        return f'"{value}"'
    if field == "max_memory_bytes":
        return _size(value)
    return f"{value:g}"


def _size(size_bytes: int) -> str:
    """`300M` where it is even, else plain bytes."""
    for letter, unit in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{letter}"
    return str(size_bytes)


policy = noun("policy", "Rules of restart: when a session is restarted, and when no more.", (show, set_, reset))

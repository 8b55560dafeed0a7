"""Writes the documents that follow from the code: errors, settings, events and commands.

python docs/generate.py            writes them
python docs/generate.py --check    ends with 1 when one is not current
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import click
import msgspec

from cli import answers
from cli.context import is_common, paragraphs
from cli.root import SECTIONS, zapvisor
from ecosystem.contract import eventbook, events, happenings
from ecosystem.contract.errors import EXIT_CODE, HTTP_STATUS, RETRYABLE, DomainError, ErrorKind, all_errors
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.contract.webhook import WebhookPayload
from ecosystem.settings import ALIASES, HINTS, IGNORED, SECRET_FIELDS, Settings
from ecosystem.settings import fields as fields_module

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS: Final = Path(__file__).parent
_MARK: Final = "<!-- Written by docs/generate.py; `make docs` renews it. -->"
_BOUNDS: Final = {"ge": "from", "gt": "above", "le": "to", "lt": "below", "min_length": "from", "max_length": "to"}


def errors_page() -> str:
    """`errors.md`: every code with its meaning, HTTP status and exit code."""
    lines = [
        "# Errors",
        "",
        _MARK,
        "",
        "Every failure has a stable `code`. Its kind decides the HTTP status, the exit code of a command, and whether the",
        "same request may succeed later without a change. The control API answers `application/problem+json` with",
        "`code`, `kind`, `detail`, `hint`, `field`, `session_id`, `retryable` and `request_id`; routes of a session answer",
        "the single-session envelope with the same `code`, and 400 where 422 stands here, as GoWA has it. `Retry-After` says how",
        "many seconds to wait.",
        "",
        "| kind | HTTP | exit code | try again |",
        "|---|---|---|---|",
        *(
            f"| {kind} | {HTTP_STATUS[kind]} | {EXIT_CODE[kind]} | {'yes' if kind in RETRYABLE else 'no'} |"
            for kind in ErrorKind
        ),
        "",
        "Exit code 0 is success, 130 an interrupt with Ctrl-C.",
    ]
    by_kind: dict[ErrorKind, list[type[DomainError]]] = {kind: [] for kind in ErrorKind}
    for cls in all_errors():
        by_kind[cls.kind].append(cls)
    for kind, classes in by_kind.items():
        lines += ["", f"## {kind}", "", "| code | HTTP | meaning |", "|---|---|---|"]
        for cls in sorted(classes, key=lambda each: each.code):
            meaning = (cls.__doc__ or "").strip().splitlines()[0]
            lines.append(f"| `{cls.code}` | {cls().status} | {meaning} |")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """`settings.md`: every setting with its names, default and limits."""
    lines = [
        "# Settings",
        "",
        _MARK,
        "",
        "Later ones win: defaults, `ecosystem.toml`, `.env`, the environment, flags of the command. Both files are looked",
        "for in the working directory; `ZAPVISOR_CONFIG` or `--config` names another TOML file. In `ecosystem.toml` a",
        "setting is written in lower case. An unknown key in one of the files, an unknown `ZAPVISOR_…` variable, or a value",
        "that does not fit ends the start with a sentence that names it and where it stood. Durations (`…_S`) are seconds",
        "or text such as `90s`, `5m`, `24h`. An empty value means: not set. Those marked `secret` are never shown.",
        "",
    ]
    hints = typing.get_type_hints(Settings, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    aliases: dict[str, list[str]] = {}
    for alias, name in ALIASES.items():
        aliases.setdefault(name, []).append(alias)
    for title, fields in _sections():
        lines += [f"## {title}", "", "| name | default | values | meaning |", "|---|---|---|---|"]
        for name, meaning in fields:
            names = [name.upper()] if name != "home" else []
            words = [meaning] if meaning else []
            also = [f"`{alias}`" for alias in aliases.get(name, []) if alias != "ZAPVISOR_HOME"]
            if name == "home":
                names = ["ZAPVISOR_HOME"]
            if also:
                words.append(f"Also read as {', '.join(also)}.")
            if name in SECRET_FIELDS:
                words.append("Secret.")
            default = "see below" if name == "home" else _shown(defaults[name])
            lines.append(f"| `{names[0]}` | {default} | {_values(hints[name])} | {' '.join(words)} |")
        lines.append("")
    lines += [
        "`ZAPVISOR_HOME` is the one folder an instance writes into: `/var/lib/zapvisor` for root, `~/.zapvisor` for",
        "anybody else.",
        "",
        "## Names from other systems",
        "",
        "`POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_DB`, `POSTGRES_USER` and `POSTGRES_PASSWORD` make up `DATABASE_URL` where",
        "that one is not set. These are refused with a hint, because they mean something else here:",
        "",
        *(f"- `{name}`: {hint}." for name, hint in HINTS.items()),
        "",
        f"These have no meaning here and are ignored: {', '.join(f'`{name}`' for name in sorted(IGNORED))}.",
    ]
    return "\n".join(lines) + "\n"


def _sections() -> list[tuple[str, list[tuple[str, str]]]]:
    """The fields with the docstring below each, under the `# --- title` comments of the class."""
    source = inspect.getsource(fields_module)
    body = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "Settings").body
    titles = {
        number: line.strip().removeprefix("# --- ")
        for number, line in enumerate(source.splitlines(), start=1)
        if line.startswith("    # --- ")
    }
    found: list[tuple[str, list[tuple[str, str]]]] = [("the instance", [])]
    last = 0
    for node in body:
        found += [(titles[number], []) for number in range(last, node.lineno) if number in titles]
        last = node.lineno
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[-1][1].append((node.target.id, ""))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and found[-1][1]:
            found[-1][1][-1] = (found[-1][1][-1][0], inspect.cleandoc(str(node.value.value)).replace("\n", " "))
    return [(title[0].upper() + title[1:], fields) for title, fields in found]


def _shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _values(kind: object) -> str:
    """What a field may hold, in words."""
    if typing.get_origin(kind) is Annotated:
        inner, meta, *_ = typing.get_args(kind)
        bounds = [f"{word} {getattr(meta, key)}" for key, word in _BOUNDS.items() if getattr(meta, key) is not None]
        if meta.pattern:
            bounds.append(f"matching `{meta.pattern}`")
        return f"{_values(inner)} {' '.join(bounds)}"
    if typing.get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    arms = [arm for arm in typing.get_args(kind) if arm is not type(None)]
    if arms:
        return " or ".join(_values(arm) for arm in arms)
    return {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}.get(
        typing.cast("type", kind), str(kind)
    )


def events_page() -> str:
    """`events.md`: every type of event with its members and one example."""
    schema = eventbook.schema()
    lines = [
        "# Events",
        "",
        _MARK,
        "",
        "What webhooks in the format `zapvisor`, `GET /events` and `WS /api/dashboard/events` carry; how they are delivered",
        "is in [webhooks](guides/webhooks.md). `GET /events/schema` answers the JSON Schema of all of this, and",
        "`/openapi.json` has it under `webhooks`. New types and new members may come with any version: pass over what you",
        "do not know. A person is named by phone number (`jid`) and LID (`lid`); one is null only where WhatsApp did not",
        "tell. Examples set every member, also where a real event has only some of them.",
        "",
        "## Every event",
        "",
        *_members(WebhookPayload, schema["$defs"]["WebhookPayload"]),
        "",
        "## Types",
        "",
        "| event | meaning |",
        "|---|---|",
        *(f"| [`{name}`](#{_anchor(name)}) | {_cell(eventbook.meaning(name))} |" for name in EVENT_TYPES),
    ]
    for name, shape in EVENT_TYPES.items():
        found = schema["$defs"][name]["properties"]["data"]
        body = msgspec.json.format(msgspec.json.encode(eventbook.example(name)), indent=2).decode()
        lines += ["", f"## {name}", "", _sentence(eventbook.meaning(name)), ""]
        lines += [*_members(shape, schema["$defs"][found["$ref"].removeprefix("#/$defs/")]), "", "```json", body, "```"]
    lines += ["", "## Parts"]
    for part in _parts(schema):
        lines += ["", f"### {part.__name__}", "", (part.__doc__ or "").strip(), ""]
        lines += _members(part, schema["$defs"][part.__name__])
    return "\n".join(lines) + "\n"


def _members(shape: type[msgspec.Struct], schema: dict[str, Any]) -> list[str]:
    """The table of a struct's members, with the docstring below each."""
    said = _docstrings(shape)
    lines = ["| member | | meaning |", "|---|---|---|"]
    for name, kind in schema.get("properties", {}).items():
        words = said.get(name, "")
        if name not in schema.get("required", ()) and "default" not in kind:
            words = f"May be absent. {words}".strip()
        lines.append(f"| `{name}` | {_kind(kind)} | {_cell(words)} |")
    return lines if len(lines) > 2 else ["No members."]


def _docstrings(shape: type[msgspec.Struct]) -> dict[str, str]:
    body = typing.cast("ast.ClassDef", ast.parse(inspect.getsource(shape)).body[0]).body
    found: dict[str, str] = {}
    name = ""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[name] = " ".join(inspect.cleandoc(str(node.value.value)).split())
    return found


def _parts(schema: dict[str, Any]) -> list[type[msgspec.Struct]]:
    """The structs that are members of events."""
    candidates = [*vars(events).values(), *vars(happenings).values()]
    shapes = {each for each in candidates if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    others = {*EVENT_TYPES.values(), msgspec.Struct}
    return sorted(
        (each for each in shapes - others if each.__name__ in schema["$defs"]), key=lambda each: each.__name__
    )


def _kind(schema: dict[str, Any]) -> str:
    """What a member may hold, in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        enum: list[str] | None = eventbook.schema()["$defs"][name].get("enum")
        if enum is None:
            return f"[{name}](#{_anchor(name)})"
        return "text" if len(enum) > 8 else ", ".join(f"`{value}`" for value in enum)
    if "anyOf" in schema:
        return " or ".join(_kind(arm) for arm in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    words = {
        "string": "text",
        "integer": "whole number",
        "boolean": "`true`, `false`",
        "number": "number",
        "null": "null",
    }
    return words.get(schema.get("type", ""), "object")


def _anchor(title: str) -> str:
    return title.lower().replace(".", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def commands_page() -> str:
    """`commands.md`: every command with its options, examples and what it prints with `--json`."""
    lines = ["# Commands", "", _MARK, "", *_COMMANDS_INTRO.splitlines(), ""]
    ctx = click.Context(zapvisor, info_name="zapvisor")
    lines += [
        "## Options of every command",
        "",
        *_options([each for each in zapvisor.params if is_common(each)], ctx),
        "",
    ]
    for section in SECTIONS:
        lines += [f"## {section.title}", ""]
        for entry in section.entries:
            command = zapvisor.get_command(ctx, entry.name)
            # The verbs of the noun `session` stand on their own already.
            deep = entry.name != "session"
            also = f" Also: {', '.join(f'`{alias}`' for alias in entry.aliases)}." if entry.aliases else ""
            lines += _command(f"zapvisor {entry.name}", command, also, deep=deep) if command else []
    lines += ["## Shapes", "", "What `--json` prints, by name. New versions may add fields, and take none away.", ""]
    return "\n".join([*lines, *_shapes()])


def _command(words: str, command: click.Command, also: str, *, deep: bool) -> list[str]:
    """One command, and those below it."""
    parts = paragraphs(command.help)
    lines = [f"### `{words}`", "", parts[0] + also, "", *(line for part in parts[1:] for line in (part, ""))]
    ctx = click.Context(command, info_name=words)
    if isinstance(command, click.Group):
        below = [command.get_command(ctx, name) for name in command.list_commands(ctx)] if deep else []
        return [
            *lines,
            *(line for each in below if each for line in _command(f"{words} {each.name}", each, "", deep=True)),
        ]
    usage = " ".join(command.collect_usage_pieces(ctx)).replace("[OPTIONS]", "").split()
    lines += [f"Usage: `{' '.join([words, *usage])}`", "", "```sh", *getattr(command, "examples", ()), "```", ""]
    own = [param for param in command.params if isinstance(param, click.Option) and not is_common(param)]
    lines += [*_options(own, ctx), ""] if own else []
    answer = answers.answer_of(words.removeprefix("zapvisor "))
    if answer.shape:
        how = "an array of " if answer.many else "one a line, " if answer.lines else ""
        name = answer.shape.partition(":")[2]
        lines += [f"`--json`: {how}[`{name}`](#{name.lower()})", ""]
    return lines


def _options(options: Sequence[click.Parameter], ctx: click.Context) -> list[str]:
    records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
    cells = [(names, text.replace("|", "\\|")) for names, text in records]
    return ["| option | meaning |", "|---|---|", *(f"| `{names}` | {text} |" for names, text in cells)]


def _shapes() -> list[str]:
    """Every shape the answers are made of, each with its fields."""
    kinds = [kind for answer in answers.ANSWERS.values() if (kind := answers.type_of(answer)) is not None]
    _, found = msgspec.json.schema_components([*kinds, answers.FaultDone], ref_template="{name}")
    lines: list[str] = []
    for name, shape in sorted(found.items()):
        if "properties" not in shape:
            continue
        about = str(shape.get("description", "")).replace("\n", " ")
        lines += [f"### {name}", "", *([about, ""] if about else []), "| field | type |", "|---|---|"]
        lines += [f"| `{field}` | {_json_kind(kind)} |" for field, kind in shape["properties"].items()]
        lines.append("")
    return lines


def _json_kind(schema: dict[str, Any]) -> str:
    """A type of JSON Schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"])
    if "anyOf" in schema:
        return " or ".join(_json_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_json_kind(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "time (ISO 8601)"
    return str(schema.get("type", "anything"))


_COMMANDS_INTRO: Final = """\
`zapvisor` speaks the public HTTP API, so it drives the instance on this machine and any other one. Which server is meant, the
first of these that is given decides:

1. `--url`, `--context` or `--home` (two of them are a mistake),
2. `ZAPVISOR_URL`, then `ZAPVISOR_CONTEXT`, then `ZAPVISOR_HOME`,
3. the current context (`zapvisor context use`),
4. the instance on this machine.

Which key is sent: `--key`, the key of `--context`, `ZAPVISOR_KEY`, the key of the context in use, the local instance's own. The
key of a context or of the local instance goes to no other server. Contexts lie in `~/.config/zapvisor/config.toml`
(`XDG_CONFIG_HOME` moves it), which only its owner can read.

The language is `--lang`, else the first of `ZAPVISOR_LANG`, `LC_ALL`, `LC_MESSAGES` and `LANG` that is set: English or
Portuguese.
What the server says stays in its own. Colours are for terminals: `NO_COLOR` and `TERM=dumb` switch them off, `FORCE_COLOR` on.

Commands end with 0, or with the code of the [kind of failure](errors.md); some say more in their own text. Where sessions are
named, `all` is every session and `label:NAME` each with that label. What destroys asks first; `--yes` answers, and without a
terminal it is needed."""

PAGES: Final = {
    "errors.md": errors_page,
    "settings.md": settings_page,
    "events.md": events_page,
    "commands.md": commands_page,
}


def main() -> int:
    """Writes or checks; the exit code."""
    stale = 0
    for name, page in PAGES.items():
        path = DOCS / name
        text = page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            sys.stderr.write(f"docs/{name} is not current: run `make docs`\n")
            stale = 1
        else:
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())

"""What msgspec finds wrong with a value, as the member's path, a sentence for whoever sent it, and what would have fitted.

The sentences translated here are those of msgspec 0.22 (`_core.c`); one that is not known is passed on as it is.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_MEMBER: Final = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`")
_KIND: Final = re.compile(r"^Expected `(?P<wanted>[^`]*)`(?:, got `(?P<got>[^`]*)`)?(?P<bound>.*)$")
_BOUND: Final = re.compile(r"^ (?P<length>of length )?(?P<sign>[<>]=?|)\s*(?P<number>-?\d\S*)$")
_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_KINDS: Final[dict[str, str]] = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "an object",
    "array": "a list", "datetime": "a time such as 2026-01-02T03:04:05Z",
}  # fmt: skip
_SIGNS: Final[dict[str, str]] = {
    "<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "": "exactly",
}  # fmt: skip
_COUNTED: Final[dict[str, tuple[str, str]]] = {
    "str": ("character", "characters"), "array": ("entry", "entries"), "object": ("member", "members"),
}  # fmt: skip


class Misfit(NamedTuple):
    """One of them. `path` is empty where it is the whole."""

    path: str
    sentence: str
    hint: str | None


def misfit(error: msgspec.ValidationError, wanted: object) -> Misfit:
    """What `error` says of a value that should have been a `wanted`."""
    text = str(error)
    at = _AT.search(text)
    path, sentence = (at["path"], text[: at.start()]) if at else ("", text)
    member = _MEMBER.match(sentence)
    if member is not None:
        inner = f"{path}.{member['name']}" if path else member["name"]
        if member["what"] == "missing required":
            return Misfit(inner, "must be given", None)
        known = _members(wanted, path)
        return Misfit(inner, "there is no such member", f"known: {', '.join(known)}" if known else None)
    values = _values(wanted, path)
    return Misfit(path, _words(sentence), f"one of {', '.join(values)}" if values else None)


def _words(sentence: str) -> str:
    if sentence.startswith("Invalid enum value "):
        return f"{sentence.removeprefix('Invalid enum value ')} is not possible here"
    if sentence.startswith("Invalid RFC3339 encoded datetime"):
        return f"must be {_KINDS['datetime']}"
    kind = _KIND.match(sentence)
    if kind is None:
        return sentence
    if kind["got"] is not None:
        got = "one with a fraction" if kind["got"] == "float" else _kinds(kind["got"])
        return f"must be {_kinds(kind['wanted'])}, not {got}"
    bound = _BOUND.match(kind["bound"])
    if bound is None:
        return sentence
    number = bound["number"].removesuffix(".0")
    amount = f"{_SIGNS[bound['sign']]} {number}"
    if not bound["length"]:
        return f"must be {amount}"
    return f"must have {amount} {_COUNTED.get(kind['wanted'], _COUNTED['array'])[number != '1']}"


def _kinds(text: str) -> str:
    names = text.split(" | ")
    if len(names) > 1:
        names = [name for name in names if name != "null"]
    return " or ".join(_KINDS.get(name, name) for name in names)


def _values(wanted: object, path: str) -> list[str]:
    """What a member with few values may be."""
    found: list[str] = []
    for kind in _kinds_at(wanted, path):
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            found += [str(value.value) for value in kind]
        elif typing.get_origin(kind) is typing.Literal:
            found += map(str, typing.get_args(kind))
    return found


def _members(wanted: object, path: str) -> list[str]:
    return [
        field.encode_name
        for kind in _kinds_at(wanted, path)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in msgspec.structs.fields(kind)
    ]


def _kinds_at(wanted: object, path: str) -> list[object]:
    """The types a value at that path may have."""
    kinds = [*_parts(wanted)]
    for step in _STEP.findall(path):
        kinds = [part for kind in kinds for inner in _inside(kind, step) for part in _parts(inner)]
    return kinds


def _parts(kind: object) -> Iterator[object]:
    """The types of a union, each without what is noted of it."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        yield from _parts(typing.get_args(kind)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from _parts(part)
    else:
        yield kind


def _inside(kind: object, step: str) -> Iterator[object]:
    """What a struct has under a name, or a list or mapping holds."""
    if step.startswith("["):
        yield from typing.get_args(kind)[-1:]
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        names = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        if step in names:
            yield names[step]

"""Reads the sources, weakest first, and names the one a bad value came from."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ecosystem.contract.errors import InvalidSettings
from ecosystem.home import default_home
from ecosystem.settings.checking import check
from ecosystem.settings.fields import ALIASES, HINTS, IGNORED, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_POSTGRES_PARTS: Final = ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD")
_OF_THE_COMMAND: Final = ("ZAPVISOR_URL", "ZAPVISOR_KEY", "ZAPVISOR_CONTEXT", "ZAPVISOR_LANG")
"""What the command reads for itself: which server, with which key, in which language."""
_NOT_FIELDS: Final = {*IGNORED, *_POSTGRES_PARTS, "ZAPVISOR_CONFIG", *_OF_THE_COMMAND}
"""Names that are ours but no setting: ignored, parts of another one, or read by the command alone."""
_FLAGS: Final = "the command line"
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_ASSIGNMENT: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)", re.ASCII)
_QUOTED: Final = re.compile(r"""(?P<quote>["'])(?P<inner>.*)(?P=quote)(?:\s+#.*)?""")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class _Given(NamedTuple):
    """A value with the name the user wrote it under, and where."""

    value: object
    name: str
    where: str


def load(
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    folder: Path | None = None,
    config: Path | None = None,
) -> Settings:
    """The settings of this start. `folder` (the working directory unless given) may hold `.env` and `ecosystem.toml`.

    `config` names another TOML file. Raises InvalidSettings.
    """
    environ = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    given: dict[str, _Given] = {}
    toml_path = config or _config_path(environ, folder)
    if toml_path is not None:
        given |= _from_toml(toml_path)
    dotenv = folder / ".env"
    names = read_dotenv(dotenv) if dotenv.is_file() else {}
    given |= _from_names(names, names, where=str(dotenv), strict=True)
    given |= _from_names(environ, {**names, **environ}, where="the environment", strict=False)
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = _Given(_converted(name, name, value, _FLAGS), name.upper(), _FLAGS)
    values = {field: one.value for field, one in given.items()}
    for name in ("home", "session_storage_path", "log_dir"):
        if values.get(name):
            values[name] = str(Path(os.path.expanduser(str(values[name]))).absolute())  # noqa: PTH111 -- keeps "~user" working
    values.setdefault("home", str(default_home()))
    try:
        return check(values)
    except InvalidSettings as error:
        raise _placed(error, given) from None


def read_dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a `.env` file; `#` comments, `export ` and surrounding quotes are understood."""
    found: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(text)
        if match is None:
            raise InvalidSettings(f"{path}, line {number}: expected NAME=value")
        quoted = _QUOTED.fullmatch(match["value"])
        found[match["name"]] = (
            quoted["inner"] if quoted else re.split(r"(?:^|\s)#", match["value"], maxsplit=1)[0].rstrip()
        )
    return found


def _text(path: Path) -> str:
    """The file's text, without a byte order mark. Raises InvalidSettings."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"{path} is not UTF-8 text") from None


def _config_path(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("ZAPVISOR_CONFIG")
    if named:
        return Path(named)
    beside = folder / "ecosystem.toml"
    return beside if beside.is_file() else None


def _from_toml(path: Path) -> dict[str, _Given]:
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{path}: {error}", field="config") from None
    found: dict[str, _Given] = {}
    for key, value in table.items():
        if key not in _FIELDS:
            raise _unknown(key, str(path), list(_FIELDS))
        found[key] = _Given(_converted(key, key, value, str(path)), key, str(path))
    return found


def _from_names(names: Mapping[str, str], parts: Mapping[str, str], *, where: str, strict: bool) -> dict[str, _Given]:
    """Settings among environment-like names. `strict`: every name must be one (a `.env` file holds nothing else).

    `parts` are the names the POSTGRES_* parts are looked up in: a stronger source may add to those of a weaker one.
    """
    found: dict[str, _Given] = {}
    for name, text in names.items():
        if name in HINTS and text:
            raise InvalidSettings(f"{name} (in {where}): {HINTS[name]}", field=name)
        field = _field_named(name)
        if field is None:
            if name not in _NOT_FIELDS and (strict or name.startswith("ZAPVISOR_")):
                raise _unknown(name, where, [*(n.upper() for n in _FIELDS), *ALIASES])
        # `NAME=` in a compose file means: not set.
        elif text and (field not in found or _rank(name) < _rank(found[field].name)):
            found[field] = _Given(_converted(field, name, text, where), name, where)
    if "database_url" not in found and parts.get("POSTGRES_HOST") and any(names.get(part) for part in _POSTGRES_PARTS):
        found["database_url"] = _Given(_database_url(parts, where), "POSTGRES_HOST", where)
        found.pop("postgres_user", None)
    return found


def _field_named(name: str) -> str | None:
    """The field an environment name stands for. Only whole names count, and HOME is the user's own folder."""
    own = name.lower() if name.isupper() else ""
    return own if own in _FIELDS and own != "home" else ALIASES.get(name)


def _rank(name: str) -> int:
    """Where two names of one field are given, the field's own wins, then the order of `ALIASES`."""
    return list(ALIASES).index(name) if name in ALIASES else -1


def _database_url(parts: Mapping[str, str], where: str) -> str:
    port = parts.get("POSTGRES_PORT") or "5432"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InvalidSettings(f"POSTGRES_PORT (in {where}): must be a port", field="POSTGRES_PORT")
    quote = urllib.parse.quote
    user = quote(parts.get("POSTGRES_USER") or "postgres", safe="")
    password = f":{quote(parts['POSTGRES_PASSWORD'], safe='')}" if parts.get("POSTGRES_PASSWORD") else ""
    name = parts["POSTGRES_HOST"].strip("[]")
    host = f"[{name}]" if ":" in name else quote(name, safe="")
    database = quote(parts.get("POSTGRES_DB") or "zapvisor", safe="")
    return f"postgresql://{user}{password}@{host}:{port}/{database}"


def _converted(field: str, name: str, value: object, where: str) -> object:
    return _duration(name, value, where) if field.endswith("_s") else value


def _duration(name: str, value: object, where: str) -> object:
    """`24h`, `60s`, `1.5m` or plain seconds as seconds; what is no text passes through."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise InvalidSettings(
            f"{name} (in {where}): '{value}' is not a duration", field=name, hint="write for example 30s, 5m or 24h"
        )
    return float(match[1]) * _UNITS[match[2]]


def _placed(error: InvalidSettings, given: Mapping[str, _Given]) -> InvalidSettings:
    """The same error naming what the user wrote, and where, if the offending field was given at all."""
    source = given.get((error.field or "").lower())
    if source is None:
        return error
    sentence = error.message.removeprefix(f"{error.field}: ")
    return InvalidSettings(f"{source.name} (in {source.where}): {sentence}", field=source.name, hint=error.hint)


def _unknown(name: str, where: str, known: list[str]) -> InvalidSettings:
    near = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.upper(), known, n=1)
    return InvalidSettings(
        f"{name} (in {where}) is not a setting", field=name, hint=f"did you mean {near[0]}?" if near else None
    )

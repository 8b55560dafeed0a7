"""Arguments that need no server to be understood: numbers, texts, and secrets that stay out of the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.texts import tr

if TYPE_CHECKING:
    from ecosystem.contract.ids import PhoneNumber


class NumberParam(click.ParamType["PhoneNumber"]):
    """A phone number, in any usual spelling."""

    name = "number"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,  # noqa: ARG002 -- click's signature
    ) -> PhoneNumber:
        from ecosystem.contract.ids import parse_phone

        return parse_phone(value, field=(param.human_readable_name if param else "number").strip("-"))


def read_text(text: str, *, field: str = "TEXT") -> str:
    """`text`, or all of standard input where it is `-`. Raises InvalidRequest when it is empty or not UTF-8."""
    from ecosystem.contract.errors import InvalidRequest

    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
        except UnicodeDecodeError:
            raise InvalidRequest(tr("{field}: standard input is not UTF-8", field=field), field=field) from None
    if not text:
        raise InvalidRequest(tr("{field} is empty", field=field), field=field)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # the command line held bytes that are no UTF-8
        raise InvalidRequest(tr("{field} is not UTF-8", field=field), field=field) from None
    return text


def read_secret(path: str, option: str) -> str:
    """What a file holds, without its end of line (`-`: standard input): a word of the command line could be read by others.

    Raises InvalidRequest, which names `option`.
    """
    from ecosystem.contract.errors import InvalidRequest

    field = option.strip("-")
    if path == "-":
        return read_text("-", field=option).strip()
    try:
        found = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or tr("not UTF-8")
        raise InvalidRequest(
            tr("{option}: {path} cannot be read: {reason}", option=option, path=path, reason=reason), field=field
        ) from None
    if not found:
        raise InvalidRequest(tr("{field} is empty", field=option), field=field)
    return found

"""Any route of the API, for what has no verb of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from cli.context import Call, read_text, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Sequence


@verb(
    "api",
    examples=(
        "zapvisor api GET /status",
        "zapvisor api GET /api/alpha/chats -p limit=5",
        "zapvisor api POST /api/alpha/send/location -f phone=5511912345678 -f latitude=-8.05 -f longitude=-34.9",
        "zapvisor api PATCH /sessions/alpha --data @change.json",
    ),
)
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the query.")
@click.option("-f", "--field", "fields", multiple=True, metavar="NAME=VALUE", help="A field of the body, as text.")
@click.option("-d", "--data", metavar="JSON", help="The body; `@FILE` is read from it, `-` is standard input.")
@click.option(
    "--wait", type=click.FloatRange(0, 600), default=90, show_default=True, metavar="SECONDS", help="For the answer."
)
def api(
    call: Call,
    method: str,
    path: str,
    params: tuple[str, ...],
    fields: tuple[str, ...],
    data: str | None,
    wait: float,
) -> None:
    """Call a route of the API and print its answer.

    /docs on the server describes every route. An answer that is no JSON is written as it is.
    """
    from ecosystem.contract.errors import InvalidRequest

    if not path.startswith("/"):
        raise InvalidRequest(tr("PATH must begin with '/'"), field="PATH")
    if data is not None and fields:
        raise InvalidRequest(tr("--data and --field are two bodies: give one"), field="data")
    body = _body(data) if data is not None else dict(_pairs(fields, "--field")) if fields else None
    answer = call.client.request(method, path, dict(_pairs(params, "--param")), body=body, wait=wait)
    if not answer.body:
        call.screen.done(tr("done ({status})", status=answer.status))
        if call.json:
            call.screen.data({"status": answer.status})
    elif "json" in answer.headers.get("content-type", ""):
        call.screen.data(answer.body)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(answer.body)
        sys.stdout.buffer.flush()


def _body(data: str) -> object:
    from ecosystem.contract.errors import InvalidRequest

    try:
        text = Path(data[1:]).read_text(encoding="utf-8") if data.startswith("@") else read_text(data, field="--data")
        return msgspec.json.decode(text)
    except OSError as error:
        reason = error.strerror or str(error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
    raise InvalidRequest(tr("--data is no JSON: {reason}", reason=reason), field="data")


def _pairs(words: Sequence[str], option: str) -> list[tuple[str, str]]:
    from ecosystem.contract.errors import InvalidRequest

    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidRequest(tr("{option} must be NAME=VALUE", option=option), field=option.strip("-"))
        found.append((name, value))
    return found

"""The instance as a whole."""

from __future__ import annotations

from typing import Any

from cli.context import Call, verb
from cli.texts import tr


@verb("status", examples=("zapvisor status", "zapvisor status --json", "zapvisor status --url https://fleet.example"))
def status(call: Call) -> None:
    """Show the instance: address, counts of sessions, and every process with its pid, uptime and memory."""
    import msgspec

    from cli.output.records import as_table, cell, title
    from ecosystem.contract.errors import InternalError

    answer = call.client.get("/status")
    if call.json:
        call.screen.data(answer.body)
        return
    try:
        fleet = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InternalError(
            tr("the server's answer is not understood: {error}", error=error), hint=tr("check --url")
        ) from None
    tables = {name: value for name, value in fleet.items() if _is_table(value)}
    call.screen.fields(
        [
            (title(name).lower(), cell(name, value))
            for name, value in fleet.items()
            if name not in tables and value is not None
        ]
    )
    for rows in tables.values():
        call.screen.line()
        call.screen.table(*as_table(rows))


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)

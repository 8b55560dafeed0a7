"""What the verbs of the sandbox share: whom they mean, and how they say what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cli.texts import tr

if TYPE_CHECKING:
    from cli.client import Client
    from cli.context import Call


def given(**fields: object) -> dict[str, object]:
    """The fields that were given: the sandbox refuses nulls."""
    return {name: value for name, value in fields.items() if value is not None}


def tell(call: Call, body: bytes, sentence: str, *, key: str = "jid") -> None:
    """The answer to an action: itself as JSON, the value under `key` alone, or a sentence with it."""
    if call.json:
        call.screen.data(body or b"{}")
        return
    decoded: Any = msgspec.json.decode(body) if body else {}
    value = str(decoded.get(key) or "") if isinstance(decoded, dict) else ""
    if call.quiet:
        if value:
            call.screen.line(value)
    else:
        call.screen.done(f"{sentence}: {value}" if value else sentence)


def listed(call: Call, path: str, nothing: str) -> None:
    from cli.output.records import as_table, rows_of

    answer = call.client.get(path)
    if call.json:
        call.screen.data(answer.body)
        return
    rows = rows_of(answer.body)
    if rows:
        call.screen.table(*as_table(rows))
    else:
        call.screen.note(nothing)


def recipient(client: Client, word: str) -> str:
    """The number or group address that `word` means."""
    from cli.commands.waiting import view_of
    from ecosystem.contract.errors import InvalidPhone, SessionNotAuthenticated
    from ecosystem.contract.ids import Jid, jid_user, parse_phone, parse_recipient, parse_session_id

    if "@" in word:
        return parse_recipient(word, field="SESSION")
    try:
        return parse_phone(word, field="SESSION")
    except InvalidPhone:
        view = view_of(client, parse_session_id(word, field="SESSION"))
    paired = view.phone or (jid_user(Jid(view.jid)) if view.jid else None)
    if paired is None:
        raise SessionNotAuthenticated(
            tr("{word} is not paired: it has no number", word=word),
            session_id=word,
            state=str(view.status),
            hint=f"zapvisor qr {word}",
        )
    return paired

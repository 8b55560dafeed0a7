"""API keys: list, create, rotate, revoke, and what the present one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.context import Call, SessionParam, noun, verb
from cli.texts import tr

if TYPE_CHECKING:
    from cli.client import Answer
    from ecosystem.contract.ids import SessionId

SCOPES = ("read", "send", "control", "settings", "delete")


@verb("list", examples=("zapvisor key list", "zapvisor key list --session alpha"))
@click.option("--session", type=SessionParam(), help="Only the keys of this session.")
def list_(call: Call, session: SessionId | None) -> None:
    """Show the API keys, never the keys themselves."""
    from cli.output import records
    from ecosystem.contract.access import ApiKeyList

    answer = call.client.get(f"/sessions/{session}/keys" if session else "/keys")
    if call.json:
        call.screen.data(answer.body)
        return
    if call.quiet:
        for key in answer.decode(ApiKeyList).keys:
            call.screen.line(key.id)
        return
    rows = records.rows_of(answer.body)
    if not rows:
        call.screen.note(tr("no keys; create one: zapvisor key create crm --session alpha"))
        return
    call.screen.table(*records.as_table(rows))


@verb(
    "create",
    examples=(
        "zapvisor key create crm --session alpha",
        "zapvisor key create reports --session alpha --scope read --days 30",
        "zapvisor key create deploys --scope read --scope control",
    ),
)
@click.argument("name")
@click.option("--session", type=SessionParam(), help="The one session it is for; without it: every session.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do; may be repeated.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="How long it holds; without it: for ever.")
def create(call: Call, name: str, session: SessionId | None, scopes: tuple[str, ...], days: float | None) -> None:
    """Create a key; it is shown this once.

    Without --scope it may read, send, control and change settings, but not delete.
    """
    from ecosystem.contract.access import CreateKey, Scope

    body = CreateKey(
        name=name,
        session_id=session,
        scopes=[Scope(scope) for scope in scopes] or None,
        expires_in_s=days * 86400 if days else None,
    )
    _show(call, call.client.post("/keys", body))


@verb("rotate", examples=("zapvisor key rotate 01KDZ7B7BWD2DRJRVKCXGP6Q7C --overlap 3600",))
@click.argument("key_id")
@click.option(
    "--overlap", type=click.FloatRange(0, 30 * 86400), default=0, metavar="SECONDS", help="The old one works so long."
)
def rotate(call: Call, key_id: str, overlap: float) -> None:
    """Replace a key by a new one, alike in all but its id; it is shown this once."""
    from cli.client import segment
    from ecosystem.contract.access import RotateKey

    _show(call, call.client.post(f"/keys/{segment(key_id)}/rotate", RotateKey(overlap_s=overlap)))


@verb("revoke", examples=("zapvisor key revoke 01KDZ7B7BWD2DRJRVKCXGP6Q7C --yes",))
@click.argument("key_id")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def revoke(call: Call, key_id: str, yes: bool) -> None:
    """End a key at once."""
    from cli.client import segment

    call.confirm(tr("Revoke {name}? Whoever uses it is locked out.", name=key_id), yes=yes)
    answer = call.client.delete(f"/keys/{segment(key_id)}")
    if call.json:
        call.screen.data(answer.body)
    else:
        call.screen.done(tr("{key_id} revoked", key_id=key_id))


@verb("rotate-secret", examples=("zapvisor key rotate-secret",))
def rotate_secret(call: Call) -> None:
    """Encrypt every secret in the database with a new key.

    Where ZAPVISOR_SECRET_KEY is set, the first key in it is used: put a new one in front and restart before.
    """
    from ecosystem.contract.access import RotatedSecretKey

    answer = call.client.post("/secret-key/rotate")
    if call.json:
        call.screen.data(answer.body)
        return
    done = answer.decode(RotatedSecretKey)
    call.screen.done(tr("{count} secrets encrypted anew", count=done.resealed))
    if done.source == "setting":
        call.screen.note(
            tr("the keys behind the first can be taken out of {setting} now", setting="ZAPVISOR_SECRET_KEY")
        )


@verb("whoami", examples=("ZAPVISOR_KEY=zpv_... zapvisor key whoami",))
def whoami(call: Call) -> None:
    """Show what the present key is and may do."""
    from ecosystem.contract.access import Identity

    answer = call.client.get("/whoami")
    if call.json:
        call.screen.data(answer.body)
        return
    identity = answer.decode(Identity)
    scopes = ", ".join(identity.scopes)
    call.screen.line(f"{identity.kind} ({identity.name}): {identity.session_id or tr('every session')}: {scopes}")


def _show(call: Call, answer: Answer) -> None:
    from ecosystem.contract.access import IssuedKey

    if call.json:
        call.screen.data(answer.body)
        return
    issued = answer.decode(IssuedKey)
    call.screen.line(issued.api_key)
    if not call.quiet:
        call.screen.note(
            tr("{id}: {names}; keep the key, it is not shown again", id=issued.id, names=", ".join(issued.scopes))
        )


key = noun("key", "API keys: list, create, rotate, revoke.", (list_, create, rotate, revoke, rotate_secret, whoami))

"""The audit log."""

from __future__ import annotations

import click

from cli.context import Call, SessionParam, verb
from cli.texts import tr


@verb(
    "audit",
    examples=(
        "zapvisor audit",
        "zapvisor audit --session alpha --failed",
        "zapvisor audit --action sign-in --since 2026-01-01T00:00:00Z",
    ),
)
@click.option("--session", "session_id", type=SessionParam(), help="About this session.")
@click.option("--actor", "key_id", metavar="KEY_ID", help="By the key with this id, or `admin`.")
@click.option("--action", metavar="TEXT", help="With TEXT in the action.")
@click.option("--since", metavar="TIME", help="Not before this time (ISO 8601 with an offset).")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--failed", is_flag=True, help="Only what was refused or failed.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Older than the line with this id.")
def audit(call: Call, /, **filters: str | int | bool | None) -> None:
    """Show who did what, newest first."""
    from cli.output import records
    from ecosystem.contract.access import AuditPage

    answer = call.client.get("/audit", {name: value for name, value in filters.items() if value is not False})
    if call.json:
        call.screen.data(answer.body)
        return
    rows = records.rows_of(answer.body)
    if not rows:
        call.screen.note(tr("nothing is recorded"))
        return
    call.screen.table(*records.as_table(rows))
    page = answer.decode(AuditPage)
    if page.next_before is not None:
        call.screen.note(tr("older ones: --before {next_before}", next_before=page.next_before))

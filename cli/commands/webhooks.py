"""Webhooks: create, list, change, try out, look at what was sent, send again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from cli.context import Call, SessionParam, noun, read_secret, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.contract.ids import SessionId

FORMATS: Final = click.Choice(["zapvisor", "gowa"])
STATES: Final = click.Choice(["pending", "delivered", "dead"])
ULID_LENGTH: Final = 26

WEBHOOK = click.argument("webhook")
SINCE = click.option("--since", metavar="TIME", help="Those from then on, as 2026-01-31T00:00:00Z.")
UNTIL = click.option("--until", metavar="TIME", help="Those before then.")
SESSION = click.option("--session", type=SessionParam(), metavar="SESSION", help="Only this session's events.")


def _fields(function: Any) -> Any:
    """The options `create` and `update` share."""
    for option in (
        click.option("--retries", type=click.IntRange(0, 1000), help="Tries before an event may be given up."),
        click.option(
            "--timeout", type=click.FloatRange(0, 120, min_open=True), metavar="SECONDS", help="For one answer."
        ),
        click.option(
            "--ignore", multiple=True, metavar="WHAT", help="status, groups, channels, a number or an address."
        ),
        click.option(
            "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Sent along; VALUE @FILE is read from it."
        ),
        click.option("--secret-from", metavar="FILE", help="File that holds the secret; `-` is standard input."),
        click.option("--format", "format_", type=FORMATS, help="The body and signature it expects."),
        click.option(
            "--event", "events", multiple=True, metavar="EVENT", help="An event or a pattern, such as `message.*`."
        ),
        click.option("--name", help="A friendly name; any text."),
    ):
        function = option(function)
    return function


@verb(
    "create",
    examples=(
        "zapvisor webhook create https://crm.example/hook",
        "zapvisor webhook create http://n8n:5678/webhook/in --session alpha --event message --event 'session.*'",
        "zapvisor webhook create https://crm.example/hook --ignore groups --header Authorization=@token.txt",
    ),
)
@click.argument("target", metavar="URL")
@SESSION
@_fields
def create(call: Call, /, target: str, session: SessionId | None, **given: Any) -> None:
    """Create a webhook.

    Its secret, which signs every request, is shown this once.
    """
    from ecosystem.contract.webhook import WebhookView

    answer = call.client.post(
        "/webhooks", _body(given) | {"url": target} | ({"session_id": session} if session else {})
    )
    if call.json:
        call.screen.data(answer.body)
        return
    view = answer.decode(WebhookView)
    if call.quiet:
        call.screen.line(view.id)
        return
    call.screen.done(tr("{id} created for {session_id}", id=view.id, session_id=view.session_id or tr("every session")))
    call.screen.done(tr("secret: {secret}", secret=view.secret))
    call.screen.done(tr("next: zapvisor webhook test {id}", id=view.id))


@verb(
    "update",
    examples=("zapvisor webhook update ID --event message", "zapvisor webhook update ID --to https://new.example/"),
)
@WEBHOOK
@click.option("--to", "target", metavar="URL", help="Where to from now on.")
@_fields
def update(call: Call, /, webhook: str, target: str | None, **given: Any) -> None:
    """Change a webhook; what is not given stays."""
    _patch(call, webhook, _body(given) | ({"url": target} if target else {}), tr("changed"))


@verb("enable", examples=("zapvisor webhook enable ID",))
@WEBHOOK
def enable(call: Call, webhook: str) -> None:
    """Send to a webhook again, also after it answered that it is gone (410)."""
    _patch(call, webhook, {"enabled": True}, tr("enabled"))


@verb("disable", examples=("zapvisor webhook disable ID",))
@WEBHOOK
def disable(call: Call, webhook: str) -> None:
    """Send nothing to a webhook; what waits for it is kept for a while."""
    _patch(call, webhook, {"enabled": False}, tr("disabled"))


@verb("list", examples=("zapvisor webhook list", "zapvisor webhook list --session alpha --json"))
@SESSION
def list_(call: Call, session: SessionId | None) -> None:
    """Show the webhooks.

    STATE is ok, failing, paused (it failed too often in a row and is only probed now and then), probing or disabled.
    The other commands take a webhook's id or its name. With --quiet, only the ids, one a line.
    """
    from cli.output.screen import Column
    from cli.output.targets import error_of, shown_state
    from ecosystem.contract.webhook import WebhookList

    answer = call.client.get("/webhooks", {"session_id": session} if session else None)
    if call.json:
        call.screen.data(answer.body)
        return
    found = answer.decode(WebhookList).webhooks
    if call.quiet:
        for view in found:
            call.screen.line(view.id)
        return
    if not found:
        call.screen.note(tr("no webhooks; create one: zapvisor webhook create URL"))
        return
    columns = [
        Column(tr("ID")), Column(tr("NAME"), expendable=4), Column(tr("SESSION")), Column(tr("URL"), expendable=1),
        Column(tr("EVENTS"), expendable=3),
        Column(tr("STATE")), Column(tr("PENDING"), right=True), Column(tr("LAST ERROR"), expendable=2),
    ]  # fmt: skip
    call.screen.table(
        columns,
        [
            (
                view.id,
                view.name or "-",
                view.session_id or tr("every session"),
                view.url,
                ", ".join(view.events),
                shown_state(view),
                str(view.pending),
                error_of(view) or "-",
            )
            for view in found
        ],
    )


@verb("describe", examples=("zapvisor webhook describe ID", "zapvisor webhook describe CRM"))
@WEBHOOK
def describe(call: Call, webhook: str) -> None:
    """Show all there is to know about one webhook."""
    _show(call, call.client.get(_path(call, webhook)).body)


@verb("delete", examples=("zapvisor webhook delete ID", "zapvisor webhook delete ID --yes"))
@WEBHOOK
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(call: Call, webhook: str, yes: bool) -> None:
    """Delete a webhook; what waits for it is dropped."""
    call.confirm(tr("Delete {name}, and drop what waits for it?", name=webhook), yes=yes)
    call.client.delete(_path(call, webhook))
    if call.json:
        call.screen.data({"deleted": webhook})
    else:
        call.screen.done(tr("{webhook} deleted", webhook=webhook))


@verb("test", examples=("zapvisor webhook test ID", "zapvisor webhook test https://crm.example/hook"))
@click.argument("webhook")
@click.option("--event", default="webhook.test", show_default=True, help="The event to pretend.")
def test(call: Call, webhook: str, event: str) -> int:
    """Send one request now and tell what came back.

    WEBHOOK is the id or name of one, or any URL. The exit code is 1 unless the answer was good.
    """
    from ecosystem.contract.webhook import SentWebhook

    which = {"url": webhook} if "://" in webhook else {"webhook_id": _id_of(call, webhook)}
    answer = call.client.post("/webhooks/send", which | {"event": event}, wait=120)
    sent = answer.decode(SentWebhook)
    if call.json:
        call.screen.data(answer.body)
    elif sent.delivered:
        call.screen.done(tr("{code} in {took_ms} ms", code=sent.code, took_ms=sent.took_ms))
    else:
        call.screen.line(tr("not delivered: {error} ({took_ms} ms)", error=sent.error, took_ms=sent.took_ms))
    return 0 if sent.delivered else 1


@verb("stats", examples=("zapvisor webhook stats", "zapvisor webhook stats --session alpha"))
@SESSION
def stats(call: Call, session: SessionId | None) -> None:
    """Show how many events were delivered, failed and given up."""
    import msgspec

    from cli.output.records import as_table, cell, title
    from ecosystem.contract.webhook import WebhookStats

    answer = call.client.get(f"/webhooks/sessions/{session}/stats" if session else "/webhooks/stats")
    if call.json:
        call.screen.data(answer.body)
        return
    found = answer.decode(WebhookStats)
    total = msgspec.to_builtins(found.total)
    call.screen.fields([(title(name).lower(), cell(name, value)) for name, value in total.items() if value is not None])
    if found.webhooks:
        call.screen.line()
        call.screen.table(*as_table([{"id": name, **msgspec.to_builtins(one)} for name, one in found.webhooks.items()]))


@verb(
    "deliveries",
    examples=(
        "zapvisor webhook deliveries ID",
        "zapvisor webhook deliveries ID --state pending",
        "zapvisor webhook deliveries ID --event 'message.*' --session alpha --since 2026-01-31T00:00:00Z",
    ),
)
@WEBHOOK
@click.option("--state", type=STATES, help="Those in this state.")
@click.option("--event", metavar="EVENT", help="Events of this name or pattern.")
@click.option("--event-id", help="The event with this id.")
@SESSION
@SINCE
@UNTIL
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
def deliveries(call: Call, /, webhook: str, session: SessionId | None, **given: Any) -> None:
    """Show what was sent to a webhook, newest first, with each answer."""
    query = {name: value for name, value in (given | {"session_id": session}).items() if value is not None}
    _table(
        call,
        call.client.get(f"{_path(call, webhook)}/deliveries", query).body,
        tr("no deliveries"),
        without="webhook_id",
    )


@verb("dead-letters", examples=("zapvisor webhook dead-letters",))
@SESSION
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
def dead_letters(call: Call, session: SessionId | None, limit: int) -> None:
    """Show the events that were given up, newest first."""
    query = {"limit": limit} | ({"session_id": session} if session else {})
    if _table(call, call.client.get("/webhooks/dead-letters", query).body, tr("no dead letters")):
        call.screen.note(tr("send them again: zapvisor webhook replay WEBHOOK --state dead"))


@verb(
    "replay",
    examples=(
        "zapvisor webhook replay ID --delivery 7",
        "zapvisor webhook replay ID --state dead",
        "zapvisor webhook replay ID --session alpha --since 2026-01-31T00:00:00Z --from-worker",
    ),
)
@WEBHOOK
@click.option("--delivery", "delivery_id", type=click.IntRange(1), help="The one with this number.")
@click.option("--event-id", help="The event with this id.")
@click.option("--state", type=click.Choice(["delivered", "dead"]), help="Those in this state.")
@click.option("--event", "events", multiple=True, metavar="EVENT", help="Events of this name or pattern.")
@SESSION
@SINCE
@UNTIL
@click.option("--from-worker", is_flag=True, help="Ask the session's own store, which keeps more.")
def replay(
    call: Call, /, webhook: str, session: SessionId | None, from_worker: bool, events: tuple[str, ...], **given: Any
) -> None:
    """Send events again, in their old order."""
    from ecosystem.contract.webhook import ReplayedWebhook

    body = {name: value for name, value in given.items() if value is not None}
    body |= {"session_id": session} if session else {}
    body |= {"events": list(events)} if events else {}
    body |= {"source": "worker"} if from_worker else {}
    answer = call.client.post(f"{_path(call, webhook)}/replay", body, wait=60)
    if call.json:
        call.screen.data(answer.body)
        return
    count = answer.decode(ReplayedWebhook).queued
    if call.quiet:
        call.screen.line(str(count))
    elif count:
        call.screen.done(tr("{count} queued again", count=count))
    else:
        call.screen.done(tr("nothing to send again; what still waits is sent anyway"))


def _body(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as the API takes them. Raises InvalidRequest."""
    found: dict[str, Any] = {
        field: given[option]
        for option, field in (
            ("name", "name"),
            ("format_", "format"),
            ("timeout", "timeout_s"),
            ("retries", "retry_count"),
        )
        if given[option] is not None
    }
    if given["events"]:
        found["events"] = list(given["events"])
    if given["headers"]:
        found["headers"] = _headers(given["headers"])
    if given["ignore"]:
        words = set(given["ignore"])
        kinds = {"status", "groups", "channels"}
        found["ignore"] = dict.fromkeys(sorted(words & kinds), True) | {"jids": sorted(words - kinds)}
    if given["secret_from"]:
        found["secret"] = read_secret(given["secret_from"], "--secret-from")
    return found


def _headers(pairs: Sequence[str]) -> dict[str, str]:
    from ecosystem.contract.errors import InvalidRequest

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidRequest(tr("--header must be NAME=VALUE"), field="header")
        found[name] = read_secret(value[1:], "--header") if value.startswith("@") else value
    return found


def _patch(call: Call, webhook: str, body: dict[str, Any], done: str) -> None:
    answer = call.client.request("PATCH", _path(call, webhook), body=body)
    if call.json:
        call.screen.data(answer.body)
    else:
        call.screen.done(f"{webhook} {done}")


def _path(call: Call, webhook: str) -> str:
    """The path of a webhook. Raises as `_id_of`."""
    from cli.client import segment

    return f"/webhooks/{segment(_id_of(call, webhook))}"


def _id_of(call: Call, webhook: str) -> str:
    """The id of a webhook given by its id or name; what nobody is called is left to the server to refuse.

    Raises InvalidRequest where several have that name.
    """
    from ecosystem.contract.errors import InvalidRequest
    from ecosystem.contract.webhook import WebhookList

    if len(webhook) == ULID_LENGTH and webhook.isalnum() and webhook.isupper():
        return webhook
    found = [view.id for view in call.client.get("/webhooks").decode(WebhookList).webhooks if view.name == webhook]
    if len(found) > 1:
        raise InvalidRequest(
            tr("{count} webhooks are called {name}", count=len(found), name=webhook),
            field="webhook",
            hint=tr("say which by its id: {ids}", ids=", ".join(found)),
        )
    return found[0] if found else webhook


def _show(call: Call, body: bytes) -> None:
    import msgspec

    from cli.output.records import cell, title

    if call.json:
        call.screen.data(body)
        return
    found = msgspec.json.decode(body, type=dict[str, Any])
    call.screen.fields([(title(name).lower(), cell(name, value)) for name, value in found.items() if value is not None])


def _table(call: Call, body: bytes, nothing: str, *, without: str = "") -> bool:
    """Whether a table was shown. `without`: a field that is the same in all of them."""
    from cli.output.records import as_table, rows_of

    if call.json:
        call.screen.data(body)
        return False
    rows = [{name: value for name, value in row.items() if name != without} for row in rows_of(body)]
    if rows:
        call.screen.table(*as_table(rows))
    else:
        call.screen.note(nothing)
    return bool(rows)


webhook = noun(
    "webhook",
    "Webhooks: who is told of events, and what came of it.",
    [create, list_, describe, update, enable, disable, delete, test, stats, deliveries, dead_letters, replay],
)

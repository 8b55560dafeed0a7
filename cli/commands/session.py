"""Sessions: create, list, describe, start, stop, restart, logout, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from cli.context import Call, SessionParam, read_secret, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from cli.client import Client, Query
    from cli.output.screen import Column
    from ecosystem.contract.ids import SessionId
    from ecosystem.contract.session import SessionView

ALL: Final = "all"
LABEL: Final = "label:"
"""What stands before a label where sessions are named."""
PAGE: Final = 500
"""The most sessions one request lists."""
HISTORY_LINES: Final = 10

STATES: Final = ("disconnected", "connecting", "connected", "authenticated", "error")
SORTS: Final = tuple(
    f"{sign}{name}" for name in ("session_id", "name", "status", "created_at", "updated_at") for sign in ("", "-")
)

WAIT = click.option(
    "--wait",
    type=click.FloatRange(0, 60),
    default=20,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until it is so; 0 returns at once.",
)


class SessionsParam(click.ParamType[str]):
    """A session id, `all`, or `label:NAME`."""

    name = "session"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if isinstance(value, str) and (value == ALL or (value.startswith(LABEL) and value != LABEL)):
            return value
        return SessionParam().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from cli import completing

        return [*SessionParam().shell_complete(ctx, param, incomplete), *completing.every(ctx, param, incomplete)]


YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
SESSIONS = click.argument("sessions", type=SessionsParam(), nargs=-1, required=True, metavar="SESSION...")


# --- create


@verb(
    "create",
    examples=(
        "zapvisor create alpha",
        'zapvisor create shop-7 --name "The shop" --label sales --metadata city=Recife',
        "zapvisor create beta --no-start",
    ),
)
@click.argument("session", type=SessionParam())
@click.option("--name", help="A friendly name; any text.")
@click.option("--label", "labels", multiple=True, help="A label to find it by; may be repeated.")
@click.option("--metadata", "pairs", multiple=True, metavar="KEY=VALUE", help="Data of yours to keep with it.")
@click.option("--no-start", is_flag=True, help="Leave it stopped.")
@click.option("--on-demand", is_flag=True, help="Unload it while nobody uses it; unloaded it receives nothing.")
@click.option("--key-from", metavar="FILE", help="File that holds its first API key; without it one is generated.")
@WAIT
def create(
    call: Call,
    session: SessionId,
    name: str | None,
    labels: tuple[str, ...],
    pairs: tuple[str, ...],
    no_start: bool,
    on_demand: bool,
    key_from: str | None,
    wait: float,
) -> None:
    """Create a session and start it.

    SESSION is its id: 1 to 63 characters of a-z, 0-9 and '-'.
    """
    from ecosystem.contract.session import CreatedSession, CreateSession

    body = CreateSession(
        session_id=session,
        name=name,
        start=not no_start,
        metadata=metadata(pairs),
        labels=list(labels),
        api_key=None if key_from is None else read_secret(key_from, "--key-from"),
        on_demand=on_demand,
    )
    answer = call.client.post("/sessions", body, {"wait": wait} if wait else None, wait=wait)
    if call.json:
        call.screen.data(answer.body)
        return
    view = answer.decode(CreatedSession)
    if call.quiet:
        call.screen.line(view.session_id)
        return
    call.screen.done(tr("{session_id} created: {state}", session_id=view.session_id, state=_state(view)))
    if view.api_key:
        call.screen.done(tr("its API key, which is not shown again: {api_key}", api_key=view.api_key))
    if next_step := next_of(view):
        call.screen.done(tr("next: {next_step}", next_step=next_step))


def next_of(view: SessionView) -> str | None:
    """What to do next about the session, with the commands for it where pairing is meant."""
    from ecosystem.contract.session import Reason

    if view.next_step and view.reason is Reason.PAIRING:
        return tr(
            "`zapvisor qr {session}` shows its QR code, `zapvisor pair {session} NUMBER` asks for a code to type",
            session=view.session_id,
        )
    return tr(view.next_step) if view.next_step else None


def metadata(pairs: Sequence[str]) -> dict[str, Any]:
    from ecosystem.contract.errors import InvalidRequest

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidRequest(tr("--metadata '{pair}' is not KEY=VALUE", pair=pair), field="metadata")
        found[key] = value
    return found


# --- list, describe


@verb("list", examples=("zapvisor list", "zapvisor ls --status error", "zapvisor ls -q | xargs zapvisor restart"))
@click.option("--status", type=click.Choice(STATES), help="Those in this status.")
@click.option("--desired", type=click.Choice(["running", "stopped"]), help="Those wanted so.")
@click.option("--reason", metavar="WORD", help="Those in their status for this reason.")
@click.option("--label", help="Those with this label.")
@click.option("--search", metavar="TEXT", help="Those with TEXT in id, name or number.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    metavar="FIELD",
    help="By session_id, name, status, created_at or updated_at; - before it: descending.",
)
@click.option("--limit", type=click.IntRange(1, PAGE), default=PAGE, show_default=True, help="The most to show.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="How many to skip.")
def list_(call: Call, /, **filters: Any) -> None:
    """Show the sessions.

    With --quiet, only their ids, one a line.
    """
    from cli.output import figures
    from ecosystem.contract.session import SessionList

    answer = call.client.get("/sessions", filters)
    if call.json:
        call.screen.data(answer.body)
        return
    page = answer.decode(SessionList)
    views = page.sessions
    if not filters["sort"] and len(views) == page.total:
        views = sorted(views, key=lambda view: figures.natural(view.session_id))
    if call.quiet:
        for view in views:
            call.screen.line(view.session_id)
        return
    if not page.sessions:
        call.screen.note(tr("no sessions") if not page.total else tr("no sessions on this page"))
        if not page.total and not any(filters[name] for name in ("status", "desired", "reason", "label", "search")):
            call.screen.note(tr("create one: zapvisor create alpha"))
        return
    call.screen.table(*_listed(views))
    shown = len(page.sessions)
    if shown < page.total:
        call.screen.note(
            tr(
                "{shown} of {total} shown; more with --offset {offset}",
                shown=shown,
                total=page.total,
                offset=page.offset + shown,
            )
        )


def _listed(views: Sequence[SessionView]) -> tuple[list[Column], list[list[str]]]:
    """Sessions as a table: its columns and rows. Friendly names are a column where there are any."""
    from cli.output import figures
    from cli.output.screen import Column

    columns: list[tuple[Column, Callable[[SessionView], str]]] = [
        (Column(tr("ID")), lambda view: view.session_id),
        (Column(tr("NAME"), expendable=2), lambda view: view.name),
        (Column(tr("STATUS"), coloured=True), lambda view: str(view.status)),
        (Column(tr("REASON")), lambda view: str(view.reason)),
        (Column(tr("HEALTH"), expendable=1), lambda view: str(view.health or figures.NOTHING)),
        (Column(tr("PHONE"), expendable=1), lambda view: view.phone or figures.NOTHING),
        (Column(tr("PORT"), expendable=2, right=True), lambda view: figures.number(view.port)),
        (Column(tr("PID"), expendable=4, right=True), lambda view: figures.number(view.pid)),
        (Column(tr("MEMORY"), expendable=3, right=True), lambda view: figures.memory(view.memory_bytes)),
        (
            Column(tr("UPTIME"), expendable=1, right=True),
            lambda view: figures.duration(view.uptime_s if view.pid else None),
        ),
        (Column(tr("RESTARTS"), expendable=5, right=True), lambda view: str(view.restarts)),
    ]
    if all(view.name == view.session_id for view in views):
        del columns[1]
    return [column for column, _ in columns], [[text(view) for _, text in columns] for view in views]


@verb("describe", examples=("zapvisor describe alpha", "zapvisor describe alpha --json | jq .last_error"))
@click.argument("session", type=SessionParam())
def describe(call: Call, session: SessionId) -> None:
    """Show all there is to know about one session."""
    from ecosystem.contract.session import SessionView

    answer = call.client.get(f"/sessions/{session}")
    if call.json:
        call.screen.data(answer.body)
        return
    view = answer.decode(SessionView)
    call.screen.fields(_fields(view))
    history = _history(call.client, session)
    if history:
        call.screen.line()
        call.screen.table(*history)


def _fields(view: SessionView) -> list[tuple[str, str | None]]:
    from cli.output import figures

    def some(value: object) -> str | None:
        return None if value is None else str(value)

    messages = tr("{received} in, {sent} out", received=view.messages_in or 0, sent=view.messages_out or 0)
    return [
        (tr("id"), view.session_id),
        (tr("name"), view.name if view.name != view.session_id else None),
        (tr("status"), str(view.status)),
        (tr("reason"), str(view.reason)),
        (tr("detail"), view.detail),
        (tr("by itself"), _by_itself(view)),
        (tr("next step"), tr(view.next_step) if view.next_step else None),
        (tr("wanted"), tr("{desired} (generation {generation})", desired=view.desired, generation=view.generation)),
        (tr("health"), _health(view)),
        (tr("since"), figures.moment(view.since)),
        (tr("phone"), view.phone),
        (tr("jid"), view.jid),
        (tr("lid"), view.lid),
        (tr("push name"), view.push_name),
        (tr("port"), some(view.port)),
        (tr("pid"), some(view.pid)),
        (tr("uptime"), figures.duration(view.uptime_s) if view.pid else None),
        (tr("restarts"), str(view.restarts)),
        (tr("renewals"), tr("{count}, planned", count=view.renewals) if view.renewals else None),
        (tr("memory"), figures.memory(view.memory_bytes) if view.memory_bytes is not None else None),
        (tr("cpu"), f"{view.cpu_percent:.1f} %" if view.cpu_percent is not None else None),
        (tr("messages"), messages if view.pid else None),
        (tr("last connected"), figures.moment(view.last_connected_at)),
        (tr("last inbound"), figures.moment(view.last_inbound_at)),
        (tr("last error"), view.last_error),
        (tr("labels"), ", ".join(view.labels) or None),
        (tr("metadata"), "\n".join(f"{key}={value}" for key, value in view.metadata.items()) or None),
        (tr("created"), figures.moment(view.created_at)),
        (tr("updated"), figures.moment(view.updated_at)),
    ]


def _by_itself(view: SessionView) -> str | None:
    """What Zapvisor does next about the session, and when; None where it is the operator's turn, or all is well."""
    from cli.output import figures

    if view.repair is None:
        return None
    repair = tr(view.repair)
    return (
        repair if view.repair_at is None else tr("{repair}, at {at}", repair=repair, at=figures.moment(view.repair_at))
    )


def _health(view: SessionView) -> str | None:
    """The judgement with what is missing."""
    if view.health is None:
        return None
    missing = view.path.detail if view.path is not None else None
    return f"{view.health}: {missing}" if missing else str(view.health)


def _history(client: Client, session: str) -> tuple[list[Any], list[tuple[str, ...]]] | None:
    """The last changes of the session as a table, or None where the server keeps none."""
    from cli.output.records import as_table, rows_of

    rows = rows_of(client.get(f"/sessions/{session}/history", {"limit": HISTORY_LINES}).body)
    return as_table(rows) if rows else None


# --- verbs on several sessions


@verb("start", examples=("zapvisor start alpha", "zapvisor start alpha beta", "zapvisor start label:sales"))
@SESSIONS
@WAIT
def start(call: Call, sessions: tuple[str, ...], wait: float) -> int:
    """Start sessions.

    One that expired, was logged out or given up gets a fresh process. `all` is every session, `label:NAME` each with
    that label.
    """
    return _change(call, sessions, "start", wait)


@verb("stop", examples=("zapvisor stop alpha", "zapvisor stop all --wait 60", "zapvisor stop label:trial"))
@SESSIONS
@WAIT
def stop(call: Call, sessions: tuple[str, ...], wait: float) -> int:
    """Stop sessions; they stay paired, and stay stopped until started again.

    `all` is every session, `label:NAME` each with that label.
    """
    return _change(call, sessions, "stop", wait)


@verb("restart", examples=("zapvisor restart alpha", "zapvisor restart all"))
@SESSIONS
@WAIT
def restart(call: Call, sessions: tuple[str, ...], wait: float) -> int:
    """Restart sessions in a fresh process.

    `all` and `label:NAME` are those that should run; stopped ones stay stopped.
    """
    return _change(call, sessions, "restart", wait)


@verb("logout", examples=("zapvisor logout alpha", "zapvisor logout alpha beta --yes"))
@SESSIONS
@YES
@WAIT
def logout(call: Call, sessions: tuple[str, ...], yes: bool, wait: float) -> int:
    """Unlink sessions from their phones.

    They can be paired again afterwards, with the same number or another.
    """
    named = chosen(call.client, sessions)
    if named:
        call.confirm(tr("Unlink {sessions} from the phone?", sessions=_enumerated(named)), yes=yes)
    return _change(call, named, "logout", wait)


@verb("delete", examples=("zapvisor delete alpha", "zapvisor del alpha beta --yes", "zapvisor delete alpha --logout"))
@SESSIONS
@YES
@click.option("--logout", is_flag=True, help="Also unlink it from the phone.")
@WAIT
def delete(call: Call, sessions: tuple[str, ...], yes: bool, logout: bool, wait: float) -> int:
    """Delete sessions.

    Their folders are kept in the archive for a while.
    """
    named = chosen(call.client, sessions)
    if named:
        call.confirm(tr("Delete {sessions}?", sessions=_enumerated(named)), yes=yes)
    query = {"logout": True if logout else None, "wait": wait or None}

    def act(session: str) -> Done:
        answer = call.client.delete(f"/sessions/{session}", query, wait=wait)
        if answer.status == 202:  # accepted; it goes on when its worker has ended
            return Done(tr("{session} is being deleted", session=session), answer.body)
        return Done(
            tr("{session} deleted", session=session), msgspec.json.encode({"session_id": session, "deleted": True})
        )

    return report(call, named, act)


class Done(msgspec.Struct, frozen=True):
    """What came of one verb on one session: for people, for programs, and what to do next, in the reader's language."""

    sentence: str
    document: bytes
    next_step: str | None = None


def _change(call: Call, sessions: Sequence[str], what: str, wait: float) -> int:
    from ecosystem.contract.session import SessionView

    client = call.client

    def act(session: str) -> Done:
        answer = client.post(f"/sessions/{session}/{what}", query={"wait": wait} if wait else None, wait=wait)
        view = answer.decode(SessionView)
        return Done(f"{view.session_id}: {_state(view)}", answer.body, next_of(view))

    return report(call, chosen(client, sessions, desired="running" if what == "restart" else None), act)


def report(call: Call, sessions: Sequence[str], act: Callable[[str], Done]) -> int:
    """Does `act` for each session and tells what came of it; the exit code of the first that failed, else 0."""
    from cli.commands.waiting import each
    from cli.output.problems import show
    from ecosystem.contract.errors import DomainError

    outcomes: dict[str, Done | DomainError] = {}
    count = tr("{done} of {total} sessions", done=0, total=len(sessions))
    with call.screen.waiting(count) as say:
        for session, outcome in each(sessions, act):
            outcomes[session] = outcome
            say(tr("{done} of {total} sessions", done=len(outcomes), total=len(sessions)))
            if isinstance(outcome, DomainError):
                outcome.session_id = outcome.session_id or session
                call.screen.progress.hide()
                show(outcome, as_json=call.json, about=session if len(sessions) > 1 else None)
            else:
                call.screen.done(outcome.sentence)
                if outcome.next_step and len(sessions) == 1:
                    call.screen.done(tr("next: {next_step}", next_step=outcome.next_step))
    if call.json:
        done = [outcomes[session] for session in sessions]
        call.screen.data([msgspec.Raw(outcome.document) for outcome in done if isinstance(outcome, Done)])
    elif not sessions:
        call.screen.note(tr("no sessions; `zapvisor list` shows those there are"))
    failed = [outcomes[session] for session in sessions if isinstance(outcomes[session], DomainError)]
    return next((error.exit_code for error in failed if isinstance(error, DomainError)), 0)


def chosen(client: Client, words: Sequence[str], *, desired: str | None = None) -> list[str]:
    """The session ids meant, each once, in the order given; `all` and `label:NAME` ask the server.

    `desired`: of those the server is asked for, only the ones wanted so.
    """
    found: list[str] = []
    for word in words:
        if word == ALL:
            found += _matching(client, {"desired": desired})
        elif word.startswith(LABEL):
            found += _matching(client, {"desired": desired, "label": word.removeprefix(LABEL)})
        else:
            found.append(word)
    return list(dict.fromkeys(found))


def _matching(client: Client, query: Query) -> list[str]:
    """The ids of all sessions that match, page by page."""
    from ecosystem.contract.session import SessionList

    found: list[str] = []
    while True:
        page = client.get("/sessions", {**query, "limit": PAGE, "offset": len(found)}).decode(SessionList)
        found += [view.session_id for view in page.sessions]
        if not page.sessions or len(found) >= page.total:
            return found


def _enumerated(sessions: Sequence[str]) -> str:
    if len(sessions) > 5:
        return tr("{count} sessions ({first}, ...)", count=len(sessions), first=", ".join(sessions[:3]))
    return ", ".join(sessions)


def _state(view: SessionView) -> str:
    return f"{view.status} ({view.reason})"

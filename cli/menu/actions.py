"""What can be done with sessions: one literal table, and the requests behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cli.client import segment
from cli.commands.waiting import each
from cli.menu import open_screens
from cli.menu.dialogs import Answer
from cli.monit.app import sentence
from cli.output.screen import clean
from cli.texts import tr
from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import SessionView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.client import Client
    from cli.monit.app import LiveScreen

WAIT_S: Final = 20.0
"""How long the server may take until it is so."""


class Action(NamedTuple):
    """A line of the menu of a session. `many`: it works on several at once."""

    key: str
    name: str
    label: str
    many: bool = False


SESSION_ACTIONS: Final = (
    Action("1", "details", tr("Details")),
    Action("2", "pair", tr("Pair: QR code or code to type")),
    Action("3", "start", tr("Start"), many=True),
    Action("4", "stop", tr("Stop (disconnect; it stays paired)"), many=True),
    Action("5", "restart", tr("Restart in a fresh process"), many=True),
    Action("6", "reconnect", tr("Reconnect to WhatsApp"), many=True),
    Action("7", "logs", tr("Logs, live")),
    Action("8", "send", tr("Send a test message")),
    Action("9", "settings", tr("Settings")),
    Action("w", "webhooks", tr("Webhooks")),
    Action("k", "keys", tr("Keys")),
    Action("e", "events", tr("Events, live")),
    Action("o", "logout", tr("Log out (unlink from the phone)"), many=True),
    Action("x", "delete", tr("Delete"), many=True),
)
VERBS: Final = {
    "start": tr("Start"),
    "stop": tr("Stop"),
    "restart": tr("Restart"),
    "reconnect": tr("Reconnect"),
    "logout": tr("Log out"),
    "delete": tr("Delete"),
}
"""What needs a request and nothing more, each with its short name for notices."""


def act(screen: LiveScreen, name: str, sessions: Sequence[str], *, then: Callable[[], None] | None = None) -> None:
    """Does what `name` says with these sessions, after a question where it destroys something. `then`: once it was done."""
    if name not in VERBS:
        open_screens.open_screen(screen, name, sessions[0])
        return
    if name not in {"logout", "delete"}:
        _run(screen, name, sessions, {}, then)
        return
    named = enumerated(sessions)

    def answered(answer: tuple[bool, bool] | None) -> None:
        if answer is None or not answer[0]:
            return
        _run(screen, name, sessions, {"logout": True} if name == "delete" and answer[1] else {}, then)

    if name == "delete":
        question = Answer(tr("Delete {sessions}?", sessions=named), box=tr("also unlink from the phone"))
    else:
        question = Answer(tr("Log {sessions} out? It has to be paired again afterwards.", sessions=named))
    screen.app.push_screen(question, answered)


def enumerated(sessions: Sequence[str]) -> str:
    """Names of sessions; the first of them where there are many."""
    if len(sessions) > 5:
        return tr("{count} sessions ({first}, …)", count=len(sessions), first=", ".join(sessions[:3]))
    return ", ".join(sessions)


def _run(
    screen: LiveScreen, name: str, sessions: Sequence[str], query: dict[str, Any], then: Callable[[], None] | None
) -> None:
    """One request a session, some at once; each outcome becomes a notice when it is there."""
    live = screen.live
    client = live.client
    if len(sessions) > 1:
        live.notify(tr("{verb}: {count} sessions …", verb=VERBS[name], count=len(sessions)), timeout=3, markup=False)
    else:
        live.notify(f"{sessions[0]}: {VERBS[name]} …", timeout=2, markup=False)

    def work() -> list[tuple[str, str | DomainError]]:
        done = []
        for session, outcome in each(list(sessions), lambda session: request(client, name, session, query)):
            live.poke(session)
            done.append((session, outcome))
        return done

    def tell(outcomes: list[tuple[str, str | DomainError]]) -> None:
        failed = [(session, error) for session, error in outcomes if isinstance(error, DomainError)]
        good = [text for _, text in outcomes if not isinstance(text, DomainError)]
        for session, error in failed[:3]:
            live.notify(f"{session}: {sentence(error)}", severity="error", timeout=10, markup=False)
        if len(good) == 1:
            live.notify(good[0], timeout=5, markup=False)
        elif good:
            live.notify(
                tr("{verb}: done for {count} of {all}", verb=VERBS[name], count=len(good), all=len(outcomes)),
                markup=False,
            )
        live.poke()
        if then is not None and not failed:
            then()

    screen.ask(work, tell)


def request(client: Client, name: str, session: str, query: dict[str, Any]) -> str:
    """Asks the server for one verb; what came of it, for people. Raises DomainError."""
    path = f"/sessions/{segment(session)}"
    if name == "delete":
        answer = client.delete(path, {**query, "wait": WAIT_S}, wait=WAIT_S)
        if answer.status == 202:
            return tr("{session} is being deleted", session=session)
        return tr("{session} deleted", session=session)
    if name == "reconnect":
        client.post(f"/api/{segment(session)}/app/reconnect", wait=WAIT_S)
        return tr("{session} connects again", session=session)
    view = client.post(f"{path}/{name}", query={"wait": WAIT_S}, wait=WAIT_S).decode(SessionView)
    text = f"{session}: {view.status} ({view.reason})"
    return f"{text}\n{clean(tr(view.next_step))}" if view.next_step else text

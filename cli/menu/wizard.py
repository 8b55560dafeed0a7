"""Creating a session, step by step: who it is, who is told of its events, how it connects, how it is paired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cli.client import segment
from cli.menu.forms import Field, Form, Page, Values, words
from cli.menu.proxying import check_proxy, proxy_field, set_proxy
from cli.monit.app import sentence
from cli.texts import tr
from ecosystem.contract.errors import DomainError, InvalidRequest
from ecosystem.contract.ids import parse_phone, parse_session_id
from ecosystem.contract.session import CreatedSession
from ecosystem.contract.webhook import SetSessionWebhook

if TYPE_CHECKING:
    from collections.abc import Container

    from cli.client import Client
    from cli.monit.app import LiveApp

QR: Final = "qr"
CODE: Final = "code"
LATER: Final = "later"
STOPPED: Final = "stopped"


class Made(msgspec.Struct, frozen=True):
    """A session that was created; `problems`: what did not work out beside it."""

    session_id: str
    key: str
    problems: list[DomainError]
    pairing: str
    phone: str | None


def create(app: LiveApp, _: str | None) -> Form:
    """The wizard."""
    client = app.client
    return Form(
        tr("Create a session"),
        _pages(app),
        lambda values: make(client, values),
        lambda made: _made(app, made),
        button=tr("Create"),
    )


def _pages(app: LiveApp) -> tuple[Page, ...]:
    return (
        Page(
            tr("the session"),
            (
                Field("session_id", tr("Session id"), hint=tr("1 to 63 characters of a-z, 0-9 and -"), required=True),
                Field("name", tr("Name"), hint=tr("any text; may be empty")),
                Field("labels", tr("Labels"), hint=tr("words to find it by; may be empty")),
            ),
            tr("Enter goes on, Esc back; Ctrl-S creates it at once."),
            check=lambda values: _check_session(values, app.board.sessions),
        ),
        Page(
            tr("webhook"),
            (
                Field("url", tr("URL"), hint=tr("where its events are sent to; empty: nowhere")),
                Field("events", tr("Events"), value="*", hint=tr("names or patterns, such as message.*")),
                Field("secret", tr("Secret"), kind="secret", hint=tr("signs every request; empty: one is made")),
            ),
            check=_check_webhook,
        ),
        Page(tr("proxy"), (proxy_field(),), check=check_proxy),
        Page(
            tr("pairing"),
            (
                Field(
                    "pairing",
                    tr("Pair by"),
                    kind="choice",
                    value=QR,
                    choices=(
                        (QR, tr("QR code, shown here")),
                        (CODE, tr("a code to type on the phone")),
                        (LATER, tr("later; start it now")),
                        (STOPPED, tr("later; leave it stopped")),
                    ),
                ),
                Field("number", tr("Phone number"), hint=tr("for the code to type: with country code")),
            ),
            check=_check_pairing,
        ),
    )


def _check_session(values: Values, known: Container[str]) -> None:
    session = parse_session_id(values["session_id"], field="session_id")
    if session in known:
        raise InvalidRequest(tr("there is a session '{session}' already", session=session), field="session_id")


def _check_webhook(values: Values) -> None:
    if values["url"] and "://" not in values["url"]:
        raise InvalidRequest(tr("the URL must begin with http:// or https://"), field="url")


def _check_pairing(values: Values) -> None:
    if values["pairing"] == CODE:
        parse_phone(values["number"], field="number")


def make(client: Client, values: Values) -> Made:
    """Creates the session, then what belongs to it. Raises DomainError where the session itself cannot be created."""
    body: dict[str, Any] = {"session_id": values["session_id"], "start": values["pairing"] != STOPPED}
    body |= {"name": values["name"]} if values["name"] else {}
    body |= {"labels": words(values["labels"])} if values["labels"] else {}
    if values["proxy"]:
        body["start"] = False  # it does not connect once without its proxy
    view = client.post("/sessions", body).decode(CreatedSession)
    problems: list[DomainError] = []
    path = f"/sessions/{segment(view.session_id)}"

    def attempt(what: Any) -> None:
        try:
            what()
        except DomainError as error:
            problems.append(error)

    if values["url"]:
        hook = SetSessionWebhook(
            values["url"],
            words(values["events"]) or ["*"],
            **({"secret": values["secret"]} if values["secret"] else {}),
        )
        attempt(lambda: client.request("PUT", f"{path}/webhook", body=hook))
    if values["proxy"]:
        attempt(lambda: set_proxy(client, view.session_id, values["proxy"]))
        if not problems and values["pairing"] != STOPPED:
            attempt(lambda: client.post(f"{path}/start"))
    phone = parse_phone(values["number"], field="number") if values["pairing"] == CODE else None
    return Made(view.session_id, view.api_key, problems, values["pairing"], phone)


def _made(app: LiveApp, made: Made) -> None:
    """Goes on to pairing, or shows the new key."""
    from cli.menu.dialogs import Reading
    from cli.menu.pairing import Pairing

    app.poke(made.session_id)
    for problem in made.problems:
        app.notify(f"{made.session_id}: {sentence(problem)}", severity="error", timeout=15, markup=False)
    if made.pairing in {QR, CODE}:
        app.push_screen(Pairing(made.session_id, key=made.key, phone=made.phone))
    else:
        text = tr("Its API key, which is not shown again:") + f"\n\n{made.key}"
        app.push_screen(Reading(tr("{session} created", session=made.session_id), text))

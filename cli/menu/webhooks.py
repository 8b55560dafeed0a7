"""Webhooks: who is told of events, what came of it, trying them out, sending again what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual.binding import Binding

from cli.client import segment
from cli.menu.dialogs import Answer, Choice, Reading
from cli.menu.forms import Field, Form, Page, Values, words
from cli.menu.lists import ListScreen
from cli.monit.columns import Column
from cli.monit.fleet import UNKNOWN
from cli.output.figures import moment
from cli.output.records import cell, title
from cli.output.targets import COLOURS, error_of, shown_state
from cli.texts import tr
from ecosystem.contract.webhook import (
    CreateWebhook,
    DeliveryList,
    DeliveryView,
    ReplayedWebhook,
    SentWebhook,
    UpdateWebhook,
    WebhookFormat,
    WebhookList,
    WebhookView,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.binding import BindingType

    from cli.client import Client

TEST_WAIT_S = 120.0
DELIVERIES = 200


class Webhooks(ListScreen):
    """The webhooks of one session, or all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "create", tr("New")),
        Binding("t", "do('test')", tr("Test")),
        Binding("d", "dead", tr("Dead letters")),
        Binding("v", "do('deliveries')", tr("Deliveries")),
        Binding("x", "do('delete')", tr("Delete"), show=False),
    ]

    def __init__(self, about: str | None = None) -> None:
        super().__init__(about)
        self.title_text = tr("Webhooks of {session}", session=about) if about else tr("Webhooks")
        self.nothing = tr("There are no webhooks. Press n to create one.")

    def columns(self) -> Sequence[Column]:
        return [
            Column("url", "URL", 20, 70),
            Column("session", tr("SESSION"), 7, 30),
            Column("state", tr("STATE"), 8, 9),
            Column("pending", tr("WAITING"), 7, 7, right=True),
            Column("events", tr("EVENTS"), 10, 40, expendable=2),
            Column("error", tr("LAST ERROR"), 12, 60, expendable=1),
            Column("id", "ID", 26, 26, expendable=3),
        ]

    def fetch(self, client: Client) -> Mapping[str, WebhookView]:
        query = {"session_id": self.about} if self.about else None
        return {view.id: view for view in client.get("/webhooks", query).decode(WebhookList).webhooks}

    def row(self, thing: WebhookView) -> dict[str, str]:
        return {
            "url": thing.url,
            "session": thing.session_id or tr("every"),
            "state": shown_state(thing),
            "pending": str(thing.pending),
            "events": ", ".join(thing.events),
            "error": error_of(thing) or UNKNOWN,
            "id": thing.id,
        }

    def style(self, column: str, text: str) -> str:
        if column == "state":
            return {tr(word): colour for word, colour in COLOURS.items()}.get(text, "bright_black")
        return super().style(column, text)

    def on_data_table_row_selected(self) -> None:
        view: WebhookView | None = self.current
        if view is None:
            return
        options = [
            ("1", tr("Test: send one request now")),
            ("2", tr("Deliveries")),
            ("3", tr("Enable") if not view.enabled else tr("Disable")),
            ("4", tr("Change")),
            ("5", tr("Send dead letters again")),
            ("6", tr("All there is to know")),
            ("x", tr("Delete")),
        ]
        names = {
            "1": "test",
            "2": "deliveries",
            "3": "toggle",
            "4": "update",
            "5": "replay",
            "6": "read",
            "x": "delete",
        }
        self.app.push_screen(Choice(view.url, options), lambda key: self.action_do(names[key]) if key else None)

    def action_do(self, name: str) -> None:
        """One thing with the webhook under the cursor."""
        view: WebhookView | None = self.current
        if view is None:
            return
        client = self.live.client
        path = f"/webhooks/{segment(view.id)}"
        if name == "test":
            self.app.notify(tr("Sending to {url} …", url=view.url), markup=False)
            self.change(lambda: test(client, view.id))
        elif name == "deliveries":
            self.app.push_screen(Deliveries(view))
        elif name == "toggle":
            self.change(lambda: patch(client, path, UpdateWebhook(enabled=not view.enabled)))
        elif name == "update":
            self.app.push_screen(self._form(view))
        elif name == "replay":
            self.change(lambda: replay(client, view.id, {"state": "dead"}))
        elif name == "read":
            self.app.push_screen(Reading(view.url, told(view)))
        elif name == "delete":
            self._delete(client, view, path)

    def _delete(self, client: Client, view: WebhookView, path: str) -> None:
        def answered(answer: tuple[bool, bool] | None) -> None:
            if answer and answer[0]:
                self.change(lambda: deleted(client, path, view.url))

        self.app.push_screen(
            Answer(tr("Delete the webhook {url}? What waits for it is dropped.", url=view.url)), answered
        )

    def action_dead(self) -> None:
        self.app.push_screen(DeadLetters(self.about))

    def action_create(self) -> None:
        self.app.push_screen(self._form(None))

    def _form(self, view: WebhookView | None) -> Form:
        client = self.live.client
        fields: tuple[Field, ...] = (
            Field("url", "URL", value=view.url if view else "https://", required=True),
            Field("session", tr("Session"), value=self.about or "", hint=tr("empty: every session")),
            Field("events", tr("Events"), value=" ".join(view.events) if view else "*",
                hint=tr("names or patterns, such as message.*")),
            Field("secret", tr("Secret"), kind="secret", hint=tr("signs every request; empty: as it is, or one is made")),
            Field(
                "format", tr("Format"), kind="choice", value=view.format.value if view else "zapvisor",
                choices=tuple((one.value, one.value) for one in WebhookFormat),
            ),
        )  # fmt: skip
        fields = tuple(field for field in fields if view is None or field.name != "session")
        heading = tr("Change the webhook") if view else tr("Create a webhook")

        def done(saved: WebhookView) -> None:
            self.action_reload()
            if saved.secret is not msgspec.UNSET and view is None:
                text = tr("The secret, which is not shown again:") + f"\n\n{saved.secret}"
                self.app.push_screen(Reading(tr("{url} created", url=saved.url), text))

        return Form(heading, [Page("", fields)], lambda values: save(client, view, values), done)


class Deliveries(ListScreen):
    """What was sent to one webhook, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "replay", tr("Send again"))]

    def __init__(self, hook: WebhookView) -> None:
        super().__init__()
        self.path = f"/webhooks/{segment(hook.id)}/deliveries"
        self.asked: dict[str, str | int] = {"limit": DELIVERIES}
        self.title_text = tr("Deliveries to {url}", url=hook.url)
        self.nothing = tr("Nothing was sent yet.")

    def columns(self) -> Sequence[Column]:
        return [
            Column("at", tr("TIME"), 19, 25),
            Column("event", tr("EVENT"), 12, 24),
            Column("session", tr("SESSION"), 7, 24),
            Column("state", tr("STATE"), 9, 9),
            Column("code", tr("CODE"), 4, 4, right=True),
            Column("attempts", tr("TRIES"), 5, 5, right=True),
            Column("error", tr("ERROR"), 10, 80, expendable=1),
            Column("took", "MS", 5, 6, right=True, expendable=2),
        ]

    def fetch(self, client: Client) -> Mapping[str, DeliveryView]:
        return {str(one.id): one for one in client.get(self.path, self.asked).decode(DeliveryList).deliveries}

    def row(self, thing: DeliveryView) -> dict[str, str]:
        return {
            "at": moment(thing.last_at or thing.created_at) or UNKNOWN,
            "event": thing.event,
            "session": thing.session_id,
            "state": thing.state.value,
            "code": UNKNOWN if thing.code is None else str(thing.code),
            "attempts": str(thing.attempts),
            "error": thing.error or UNKNOWN,
            "took": UNKNOWN if thing.took_ms is None else str(thing.took_ms),
        }

    def style(self, column: str, text: str) -> str:
        if column == "state":
            return {"delivered": "green", "dead": "red", "pending": "yellow"}.get(text, "")
        return super().style(column, text)

    def on_data_table_row_selected(self) -> None:
        if self.current is not None:
            self.app.push_screen(Reading(self.current.event, told(self.current)))

    def action_replay(self) -> None:
        one: DeliveryView | None = self.current
        client = self.live.client
        if one is not None:
            self.change(lambda: replay(client, one.webhook_id, {"delivery_id": one.id}))


class DeadLetters(Deliveries):
    """The events that were given up, of one session or all."""

    def __init__(self, about: str | None = None) -> None:
        ListScreen.__init__(self, about)
        self.path = "/webhooks/dead-letters"
        self.asked = {"limit": DELIVERIES} | ({"session_id": about} if about else {})
        self.title_text = tr("Dead letters of {session}", session=about) if about else tr("Dead letters")
        self.nothing = tr("No event was given up.")


# --- requests, in threads


def test(client: Client, webhook: str) -> str:
    """Sends one request now; what came of it."""
    body = {"webhook_id": webhook, "event": "webhook.test"}
    sent = client.post("/webhooks/send", body, wait=TEST_WAIT_S).decode(SentWebhook)
    if sent.delivered:
        return tr("delivered: {code} in {ms} ms", code=sent.code, ms=sent.took_ms)
    return tr("not delivered: {error} ({ms} ms)", error=sent.error, ms=sent.took_ms)


def patch(client: Client, path: str, body: UpdateWebhook) -> str:
    """Changes a webhook."""
    view = client.request("PATCH", path, body=body).decode(WebhookView)
    return tr("{url} enabled", url=view.url) if view.enabled else tr("{url} disabled", url=view.url)


def replay(client: Client, webhook: str, body: dict[str, Any]) -> str:
    """Sends events again."""
    count = client.post(f"/webhooks/{segment(webhook)}/replay", body, wait=60).decode(ReplayedWebhook).queued
    return tr("{count} queued again", count=count)


def deleted(client: Client, path: str, url: str) -> str:
    """Deletes a webhook."""
    client.delete(path)
    return tr("{url} deleted", url=url)


def save(client: Client, view: WebhookView | None, values: Values) -> WebhookView:
    """Creates or changes a webhook. Raises DomainError."""
    events = words(values["events"]) or ["*"]
    kind = WebhookFormat(values["format"])
    secret = values["secret"] or None
    if view is None:
        made = CreateWebhook(
            values["url"], session_id=values["session"] or None, events=events, secret=secret, format=kind
        )
        return client.post("/webhooks", made).decode(WebhookView)
    changed = UpdateWebhook(url=values["url"], events=events, secret=secret or msgspec.UNSET, format=kind)
    return client.request("PATCH", f"/webhooks/{segment(view.id)}", body=changed).decode(WebhookView)


def told(thing: msgspec.Struct) -> str:
    """Every field of an answer, one a line."""
    fields: dict[str, Any] = msgspec.to_builtins(thing)
    width = max(map(len, fields))
    return "\n".join(
        f"{title(name).lower():<{width}}  {cell(name, value)}" for name, value in fields.items() if value is not None
    )

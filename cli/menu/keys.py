"""API keys: list, create, rotate, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from cli.client import segment
from cli.menu.dialogs import Answer, Choice, Reading
from cli.menu.forms import Field, Form, Page, Values, words
from cli.menu.lists import ListScreen
from cli.monit.columns import Column
from cli.monit.fleet import UNKNOWN
from cli.output.figures import moment
from cli.texts import tr
from ecosystem.contract.access import (
    ALL_SCOPES,
    DEFAULT_SCOPES,
    ApiKeyList,
    ApiKeyView,
    CreateKey,
    IssuedKey,
    RotateKey,
    Scope,
)
from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.binding import BindingType

    from cli.client import Client

DAY_S = 86400.0


class Keys(ListScreen):
    """The keys of one session, or all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "create", tr("New")),
        Binding("x", "revoke", tr("Revoke")),
    ]

    def __init__(self, about: str | None = None) -> None:
        super().__init__(about)
        self.title_text = tr("Keys of {session}", session=about) if about else tr("Keys")
        self.nothing = tr("There are no keys. Press n to create one.")

    def columns(self) -> Sequence[Column]:
        return [
            Column("name", tr("NAME"), 10, 30),
            Column("session", tr("SESSION"), 7, 30),
            Column("scopes", tr("MAY"), 14, 40),
            Column("status", tr("STATUS"), 7, 8),
            Column("prefix", tr("BEGINS"), 12, 16),
            Column("used", tr("LAST USED"), 19, 25, expendable=1),
            Column("expires", tr("EXPIRES"), 19, 25, expendable=2),
            Column("id", "ID", 26, 26, expendable=3),
        ]

    def fetch(self, client: Client) -> Mapping[str, ApiKeyView]:
        path = f"/sessions/{segment(self.about)}/keys" if self.about else "/keys"
        return {key.id: key for key in client.get(path).decode(ApiKeyList).keys}

    def row(self, thing: ApiKeyView) -> dict[str, str]:
        return {
            "name": thing.name,
            "session": thing.session_id or tr("every"),
            "scopes": " ".join(thing.scopes),
            "status": thing.status.value,
            "prefix": thing.prefix,
            "used": moment(thing.last_used_at) or UNKNOWN,
            "expires": moment(thing.expires_at) or tr("never"),
            "id": thing.id,
        }

    def style(self, column: str, text: str) -> str:
        if column == "status":
            return {"active": "green", "expired": "yellow", "revoked": "red"}.get(text, "")
        return super().style(column, text)

    def on_data_table_row_selected(self) -> None:
        key: ApiKeyView | None = self.current
        if key is None:
            return
        options = [("1", tr("Rotate: a new key instead of this one")), ("x", tr("Revoke: it ends at once"))]

        def choose(letter: str | None) -> None:
            if letter == "1":
                self._rotate(key)
            elif letter == "x":
                self.action_revoke()

        self.app.push_screen(Choice(f"{key.name} ({key.prefix}…)", options), choose)

    def _rotate(self, key: ApiKeyView) -> None:
        client = self.live.client
        path = f"/keys/{segment(key.id)}/rotate"
        self.ask(lambda: client.post(path, RotateKey()).decode(IssuedKey), self._show_key)

    def action_revoke(self) -> None:
        key: ApiKeyView | None = self.current
        if key is None:
            return
        client = self.live.client

        def revoke() -> str:
            client.delete(f"/keys/{segment(key.id)}")
            return tr("{name} revoked", name=key.name)

        def answered(answer: tuple[bool, bool] | None) -> None:
            if answer and answer[0]:
                self.change(revoke)

        self.app.push_screen(Answer(tr("Revoke {name}? Whoever uses it is shut out at once.", name=key.name)), answered)

    def action_create(self) -> None:
        client = self.live.client
        fields = (
            Field("name", tr("Name"), hint=tr("what it is for"), required=True),
            Field("session", tr("Session"), value=self.about or "", hint=tr("the one it is for; empty: every session")),
            Field(
                "scopes",
                tr("May"),
                value=" ".join(DEFAULT_SCOPES),
                hint=tr("of: {scopes}", scopes=" ".join(ALL_SCOPES)),
            ),
            Field("days", tr("Days"), hint=tr("how long it holds; empty: for ever")),
        )
        self.app.push_screen(
            Form(
                tr("Create a key"),
                [Page("", fields)],
                lambda values: issue(client, values),
                self._show_key,
                button=tr("Create"),
            )
        )

    def _show_key(self, key: IssuedKey) -> None:
        self.action_reload()
        text = f"{key.api_key}\n\n" + tr("Keep it: it is not shown again.")
        self.app.push_screen(Reading(tr("The key {name}", name=key.name), text))


def issue(client: Client, values: Values) -> IssuedKey:
    """Creates a key. Raises DomainError naming the field."""
    try:
        scopes = [Scope(word) for word in words(values["scopes"])] or None
    except ValueError as error:
        raise InvalidRequest(str(error), field="scopes") from None
    try:
        days = float(values["days"].replace(",", ".")) if values["days"] else None
    except ValueError:
        raise InvalidRequest(tr("that is no number"), field="days") from None
    body = CreateKey(
        name=values["name"],
        session_id=values["session"] or None,
        scopes=scopes,
        expires_in_s=days * DAY_S if days else None,
    )
    return client.post("/keys", body).decode(IssuedKey)

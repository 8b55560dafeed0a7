"""A session's settings: its name, labels, data and proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cli.client import segment
from cli.menu.forms import Field, Form, Page, Values, words
from cli.menu.proxying import check_proxy, proxy_field, set_proxy
from cli.texts import tr
from ecosystem.contract.errors import InvalidRequest
from ecosystem.contract.session import SessionView, UpdateSession

if TYPE_CHECKING:
    from cli.client import Client
    from cli.monit.app import LiveApp


def settings(app: LiveApp, session: str) -> Form:
    """The form of one session."""
    view = app.board.sessions[session]
    fields = (
        Field("name", tr("Name"), value=view.name),
        Field("labels", tr("Labels"), value=" ".join(view.labels), hint=tr("words to find it by")),
        Field(
            "metadata",
            tr("Metadata"),
            value=msgspec.json.encode(view.metadata).decode() if view.metadata else "",
            hint=tr("a JSON object of yours to keep with it"),
        ),
        Field(
            "on_demand", tr("On demand"), kind="flag", value=view.on_demand, hint=tr("it sleeps while nobody uses it")
        ),
        proxy_field(view.proxy),
    )

    def done(saved: SessionView) -> None:
        app.poke(saved.session_id)
        app.notify(tr("{session} saved", session=saved.session_id), markup=False)

    return Form(
        tr("Settings of {session}", session=session),
        [Page("", fields, check=_check)],
        lambda values: save(app.client, view, values),
        done,
    )


def _check(values: Values) -> None:
    metadata_of(values["metadata"])
    check_proxy(values)


def metadata_of(text: str) -> dict[str, Any]:
    """The object in the field. Raises InvalidRequest naming it."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(tr("that is no JSON object: {error}", error=error), field="metadata") from None


def save(client: Client, view: SessionView, values: Values) -> SessionView:
    """Writes what was changed. Raises DomainError."""
    changed = UpdateSession(
        name=values["name"],
        labels=words(values["labels"]),
        metadata=metadata_of(values["metadata"]),
        on_demand=values["on_demand"] if values["on_demand"] != view.on_demand else msgspec.UNSET,
    )
    saved = client.request("PATCH", f"/sessions/{segment(view.session_id)}", body=changed).decode(SessionView)
    if values["proxy"] and values["proxy"] != view.proxy:
        set_proxy(client, view.session_id, values["proxy"])
    return saved

"""Sending a test message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.client import segment
from cli.menu.forms import Field, Form, Page, Values
from cli.texts import tr
from ecosystem.contract.envelope import Envelope, SendText
from ecosystem.contract.ids import parse_phone, parse_recipient

if TYPE_CHECKING:
    from cli.client import Client
    from cli.monit.app import LiveApp

WAIT_S = 90.0
"""WhatsApp itself may take more than a minute to acknowledge."""


def sending(app: LiveApp, session: str) -> Form:
    """The form of one session."""
    fields = (
        Field("to", tr("To"), hint=tr("a number with country code, or a WhatsApp address"), required=True),
        Field("text", tr("Text"), value=tr("Hello from Zapvisor"), required=True),
    )
    return Form(
        tr("Send a message as {session}", session=session),
        [Page("", fields, check=lambda values: recipient(values["to"]))],
        lambda values: send(app.client, session, values),
        lambda sent: app.notify(sent, markup=False),
        button=tr("Send"),
    )


def recipient(text: str) -> str:
    """A recipient as the API takes it. Raises InvalidRequest naming the field."""
    return parse_recipient(text, field="to") if "@" in text else parse_phone(text, field="to")


def send(client: Client, session: str, values: Values) -> str:
    """Sends; what came of it. Raises DomainError."""
    to = recipient(values["to"])
    body = SendText(phone=to, message=values["text"])
    answer = client.post(f"/api/{segment(session)}/send/message", body, wait=WAIT_S).decode(Envelope)
    results: Any = answer.results
    message_id = str(results.get("message_id", "")) if isinstance(results, dict) else ""
    return tr("sent to {recipient}: {message}", recipient=to, message=message_id)

"""Messages: send a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.context import Call, SessionParam, read_text, verb
from cli.texts import tr

if TYPE_CHECKING:
    from ecosystem.contract.ids import SessionId


@verb(
    "send",
    examples=(
        'zapvisor send alpha "+55 11 91234-5678" "Hello"',
        "zapvisor send alpha 120363012345678901@g.us 'Hello, group'",
        "uptime | zapvisor send alpha 5511912345678 -",
    ),
)
@click.argument("session", type=SessionParam())
@click.argument("to")
@click.argument("text")
def send(call: Call, session: SessionId, to: str, text: str) -> None:
    """Send a text message.

    TO is a phone number or a WhatsApp address; TEXT `-` is standard input.
    """
    from ecosystem.contract.envelope import Envelope, SendText
    from ecosystem.contract.ids import parse_phone, parse_recipient

    recipient = parse_recipient(to, field="TO") if "@" in to else parse_phone(to, field="TO")
    body = SendText(phone=recipient, message=read_text(text))
    # WhatsApp itself may take more than a minute to acknowledge: the gateway's patience decides, not ours.
    answer = call.client.post(f"/api/{session}/send/message", body, wait=90)
    if call.json:
        call.screen.data(answer.body)
        return
    envelope = answer.decode(Envelope)
    results: Any = envelope.results
    message_id = str(results.get("message_id", "")) if isinstance(results, dict) else ""
    if call.quiet:
        call.screen.line(message_id)
    else:
        call.screen.done(tr("sent to {recipient}: {message_id}", recipient=recipient, message_id=message_id))

"""The sandbox WhatsApp: its virtual phones, groups and faults."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from cli.commands.sandboxed import given, listed, recipient, tell
from cli.commands.virtual import VERBS, group_change
from cli.context import Call, NumberParam, SessionParam, Verb, noun, read_text, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.contract.ids import PhoneNumber, SessionId

SCAN_TRIES: Final = 3
"""A code may be renewed between reading and scanning it."""
CODE_TIMEOUT_S: Final = 30.0
LOGIN_TIMEOUT_S: Final = 60.0
"""How long the server may take until the session has logged in after a scan."""
INBOX_WAIT_S: Final = 30.0

NUMBER = click.argument("number", type=NumberParam())

FAULTS: Final[dict[str, str]] = {
    "drop": "Cut the connections of a number, or all.",
    "unlink": "Unlink the devices of a number, as its owner could.",
    "ban": "Ban a number for a time.",
    "outdated": "Refuse clients as too old (405).",
    "replaced": "Tell a connection that another one took its place.",
    "restart": "Be away for --seconds, as a server that restarts.",
    "hold_acks": "Keep acknowledgements back until healed.",
    "refuse": "Refuse logins with --code.",
    "refuse_sends": "Refuse messages with --code (463 restricted, 429 too many).",
    "silent": "Accept connections and never answer.",
}
"""What the sandbox can be told to do wrong; those that last stay until `fault clear`."""


class Device(msgspec.Struct, frozen=True):
    """A session linked to a virtual phone."""

    id: int
    jid: str
    connected: bool = False
    logins: int = 0


class Phone(msgspec.Struct, frozen=True):
    """A virtual phone as the sandbox shows it."""

    number: str
    name: str | None = None
    lid: str | None = None
    devices: list[Device] = []


class PhoneList(msgspec.Struct, frozen=True):
    """Answer of `GET /sandbox/phones`."""

    phones: list[Phone]


KINDS: Final = {4: "contact", 5: "location", 12: "settings", 18: "location", 49: "poll", 50: "poll vote", 64: "poll"}
"""Member of WhatsApp's `Message` (E2E.proto) → what a message without a text is called."""


class Message(msgspec.Struct, frozen=True):
    """A message a virtual phone got and decrypted."""

    seq: int
    id: str
    sender: str = msgspec.field(name="from")
    chat: str = ""
    push_name: str | None = None
    text: str | None = None
    media: dict[str, Any] | None = None
    reaction: str | None = None
    target: str | None = None
    """The message a reaction or a change belongs to."""
    edit: str | None = None
    fields: list[int] = []
    """The numbers of the members WhatsApp's `Message` had."""


class FaultResult(msgspec.Struct, frozen=True):
    """Answer of `POST /sandbox/faults`: how many connections it hit, and whether it goes on."""

    hit: int
    standing: bool


class Inbox(msgspec.Struct, frozen=True):
    """Answer of `GET /sandbox/phones/{number}/messages`: the documents as they came, read one by one."""

    messages: list[msgspec.Raw]


# --- phones


@verb("add", examples=("zapvisor sandbox phone add 5511912345678 --name Ana",))
@NUMBER
@click.option("--name", help="The name it shows to others.")
def phone_add(call: Call, number: PhoneNumber, name: str | None) -> None:
    """Add a virtual phone."""
    answer = call.client.post("/sandbox/phones", given(number=number, name=name))
    if call.json:
        call.screen.data(answer.body)
    else:
        call.screen.done(tr("phone {number} added; next: zapvisor sandbox scan {number} SESSION", number=number))


@verb("list", examples=("zapvisor sandbox phone list",))
def phone_list(call: Call) -> None:
    """Show the virtual phones and what is linked to them."""
    from cli.output import figures
    from cli.output.screen import Column

    answer = call.client.get("/sandbox/phones")
    if call.json:
        call.screen.data(answer.body)
        return
    phones = answer.decode(PhoneList).phones
    if call.quiet:
        for phone in phones:
            call.screen.line(phone.number)
        return
    if not phones:
        call.screen.note(tr("no virtual phones; add one: zapvisor sandbox phone add 5511912345678"))
    call.screen.table(
        [Column(tr("NUMBER")), Column(tr("NAME")), Column(tr("DEVICES"), right=True), Column(tr("ONLINE"), right=True)],
        [
            (
                phone.number,
                phone.name or figures.NOTHING,
                str(len(phone.devices)),
                str(sum(device.connected for device in phone.devices)),
            )
            for phone in phones
        ],
    )


# --- pairing


@verb("scan", examples=("zapvisor sandbox scan 5511912345678 alpha",))
@NUMBER
@click.argument("session", type=SessionParam())
def scan(call: Call, number: PhoneNumber, session: SessionId) -> None:
    """Let a virtual phone scan a session's QR code; waits until the session has logged in."""
    from cli.commands.pairing import codes
    from cli.commands.waiting import countdown
    from ecosystem.contract.errors import QrExpired, SessionAlreadyAuthenticated

    client = call.client
    for left_tries in range(SCAN_TRIES - 1, -1, -1):
        try:
            code = next(codes(client, session, countdown(CODE_TIMEOUT_S), call.screen.note))
        except StopIteration:
            raise SessionAlreadyAuthenticated(
                tr("{session} is paired already", session=session), session_id=session
            ) from None
        try:
            answer = client.post(f"/sandbox/phones/{number}/scan", {"qr": code.text}, wait=LOGIN_TIMEOUT_S)
        except QrExpired:
            if not left_tries:
                raise
            time.sleep(0.3)
        else:
            tell(call, answer.body, tr("{number} has scanned {session}'s code", number=number, session=session))
            return


@verb("code", examples=("zapvisor sandbox code 5511912345678 ABCD-EFGH",))
@NUMBER
@click.argument("code")
def code(call: Call, number: PhoneNumber, code: str) -> None:
    """Type a session's pairing code on a virtual phone; waits until the session has logged in."""
    answer = call.client.post(f"/sandbox/phones/{number}/code", {"code": code}, wait=LOGIN_TIMEOUT_S)
    tell(call, answer.body, tr("{number} has linked the session", number=number))


# --- messages


@verb(
    "say",
    examples=(
        'zapvisor sandbox say 5511912345678 alpha "Hello"',
        'zapvisor sandbox say 5511912345678 5521987654321 "Hello"',
    ),
)
@NUMBER
@click.argument("session", metavar="SESSION|NUMBER|GROUP")
@click.argument("text")
def say(call: Call, number: PhoneNumber, session: str, text: str) -> None:
    """Send a text from a virtual phone.

    To a session (the number it is paired with), a number or a group's address. What looks like a number is one.
    """
    client = call.client
    to = recipient(client, session)
    answer = client.post(f"/sandbox/phones/{number}/messages", {"to": to, "text": read_text(text)})
    tell(call, answer.body, f"{number} -> {to}", key="id")


@verb("inbox", examples=("zapvisor sandbox inbox 5511912345678", "zapvisor sandbox inbox 5511912345678 -f"))
@NUMBER
@click.option("-f", "--follow", is_flag=True, help="Go on with new messages as they come.")
def inbox(call: Call, number: PhoneNumber, follow: bool) -> None:
    """Show what a virtual phone got, decrypted.

    With --json: an array; with --follow one message a line.
    """
    client = call.client
    path = f"/sandbox/phones/{number}/messages"
    messages = client.get(path).decode(Inbox).messages
    if call.json and not follow:
        call.screen.data(messages)
        return
    after = _show_messages(call, messages)
    while follow:
        query = {"after": after, "wait": INBOX_WAIT_S}
        after = max(after, _show_messages(call, client.get(path, query, wait=INBOX_WAIT_S).decode(Inbox).messages))


def _show_messages(call: Call, messages: list[msgspec.Raw]) -> int:
    """Prints messages; the largest sequence number among them, 0 where there is none."""
    from cli.output.screen import clean

    last = 0
    for raw in messages:
        message = msgspec.json.decode(raw, type=Message)
        last = max(last, message.seq)
        if call.json:
            call.screen.data_line(bytes(raw))
            continue
        sender = f"{message.sender} ({message.push_name})" if message.push_name else message.sender
        where = f" in {message.chat}" if message.chat.endswith("@g.us") else ""
        call.screen.line(f"{clean(sender)}{where}: {clean(_content(message))}")
    sys.stdout.flush()
    return last


def _content(message: Message) -> str:
    if message.media is not None:
        caption = message.media.get("caption") or ""
        return f"[{message.media.get('kind', 'media')}] {caption}".rstrip()
    if message.edit is not None:
        return f"[{message.edit}] {message.target} {message.text or ''}".rstrip()
    if message.target is not None:
        return f"[reaction] {message.reaction or 'taken back'} to {message.target}"
    what = next((kind for number, kind in KINDS.items() if number in message.fields), "message")
    return message.text or f"[{what}]"


# --- groups


@verb("create", examples=("zapvisor sandbox group create 5511912345678 Team 5521987654321 alpha",))
@click.argument("owner", type=NumberParam())
@click.argument("subject")
@click.argument("members", nargs=-1, required=True, metavar="SESSION|NUMBER...")
def group_create(call: Call, owner: PhoneNumber, subject: str, members: tuple[str, ...]) -> None:
    """Create a group of a virtual phone and others."""
    client = call.client
    body = {"owner": owner, "subject": subject, "members": [recipient(client, member) for member in members]}
    tell(call, client.post("/sandbox/groups", body).body, tr("group '{subject}' created", subject=subject), key="id")


@verb("list", examples=("zapvisor sandbox group list",))
def group_list(call: Call) -> None:
    """Show the groups."""
    listed(call, "/sandbox/groups", tr("no groups; create one: zapvisor sandbox group create NUMBER SUBJECT NUMBER..."))


# --- faults


def _fault_verb(fault: str, summary: str) -> Verb:
    """The verb of one fault; all have the same options, and the sandbox says which of them do not fit."""

    def inject(
        call: Call, number: PhoneNumber | None, session: SessionId | None, seconds: float | None, code: int | None
    ) -> None:
        from ecosystem.contract.errors import InvalidRequest

        if number and session:
            raise InvalidRequest(tr("--number and --session mean the same: give one"), field="session")
        client = call.client
        of = number or (recipient(client, session) if session else None)
        body = given(fault=fault, number=of, seconds=seconds, code=code)
        answer = client.post("/sandbox/faults", body)
        if call.json:
            call.screen.data(answer.body)
            return
        result = answer.decode(FaultResult)
        call.screen.done(tr("{fault} for {of}: {hit} hit", fault=fault, of=of or tr("everybody"), hit=result.hit))
        if result.standing:
            call.screen.done(tr("it stands until `zapvisor sandbox fault clear`"))

    inject.__doc__ = summary
    options: tuple[Callable[[Any], Any], ...] = (
        click.option("--code", type=click.IntRange(100, 999), help="The failure code."),
        click.option("--seconds", type=click.FloatRange(0, 86400), help="How long."),
        click.option("--session", type=SessionParam(), help="For the number this session is paired with."),
        click.option("--number", type=NumberParam(), help="For this number; otherwise for everybody."),
    )
    function: Any = inject
    for option in options:
        function = option(function)
    return verb(fault, examples=(f"zapvisor sandbox fault {fault} --session alpha", "zapvisor sandbox fault clear"))(
        function
    )


@verb("list", examples=("zapvisor sandbox fault list",))
def fault_list(call: Call) -> None:
    """Show the faults that last."""
    listed(call, "/sandbox/faults", tr("no faults"))


@verb("clear", examples=("zapvisor sandbox fault clear",))
def fault_clear(call: Call) -> None:
    """Heal all faults."""
    answer = call.client.delete("/sandbox/faults")
    if call.json:
        call.screen.data(answer.body or {"faults": []})
    else:
        call.screen.done(tr("all faults healed"))


sandbox = noun(
    "sandbox",
    "Virtual phones and faults of the sandbox WhatsApp (`zapvisor up --sandbox`).",
    (
        noun("phone", "Virtual phones.", (phone_add, phone_list)),
        scan,
        code,
        say,
        inbox,
        noun("group", "Groups of virtual phones and sessions.", (group_create, group_list, group_change)),
        *VERBS,
        noun(
            "fault",
            "Make the sandbox misbehave: for one number, or for everybody.",
            (*(_fault_verb(name, summary) for name, summary in FAULTS.items()), fault_list, fault_clear),
        ),
    ),
)

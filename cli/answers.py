"""What each command prints with `--json`: one literal table, from which the schemas and their page in the docs come.

Shapes are the contract's; those of the command itself are here. Nothing of it is loaded by a command that answers.
"""

from __future__ import annotations

from importlib import import_module
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTRACT: Final = "ecosystem.contract."


# --- shapes of the command itself


class Up(msgspec.Struct, frozen=True):
    """`up`: where it answers. `admin_key_file`: null where ADMIN_API_KEY says what the key is."""

    url: str
    home: str
    admin_key_file: str | None
    sandbox: bool
    took_s: float


class Down(msgspec.Struct, frozen=True):
    """`down`."""

    home: str
    was_running: bool


class Deleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """`delete`: one session. `deleting`: its worker has yet to end."""

    session_id: str
    deleted: bool = False
    deleting: bool = False


class DeletedWebhook(msgspec.Struct, frozen=True):
    """`webhook delete`: its id."""

    deleted: str


class SavedContext(msgspec.Struct, frozen=True):
    """A saved server; never its key. `name` is null for a server that was named by its URL, `url` for the local one."""

    name: str | None
    url: str | None
    has_key: bool
    current: bool


class SavedContexts(msgspec.Struct, frozen=True):
    """`context list`."""

    current: str | None
    contexts: list[SavedContext]


class CurrentContext(msgspec.Struct, frozen=True):
    """`context use`: null is the instance on this machine."""

    current: str | None


class RemovedContext(msgspec.Struct, frozen=True):
    """`context remove`."""

    name: str
    removed: bool


class Script(msgspec.Struct, frozen=True):
    """`completion`."""

    shell: str
    script: str


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """`logs`: one line; what else the program knows stands beside it. A line that is no JSON has its text as `event`."""

    event: str
    ts: str | float | None = None
    level: str | None = None
    program: str | None = None


class Linked(msgspec.Struct, frozen=True):
    """`sandbox scan` and `sandbox code`: the address of the session that is linked now."""

    jid: str


class Said(msgspec.Struct, frozen=True):
    """`sandbox say`: the message's id."""

    id: str


class SandboxDevice(msgspec.Struct, frozen=True):
    """A session linked to a virtual phone; `pending`: what it has not acknowledged yet."""

    id: int
    jid: str
    connected: bool
    logins: int
    pending: int


class SandboxPhone(msgspec.Struct, frozen=True):
    """A virtual phone; `devices` are the sessions linked to it."""

    number: str
    name: str
    lid: str
    devices: list[SandboxDevice]


class SandboxPhones(msgspec.Struct, frozen=True):
    """`sandbox phone list`."""

    phones: list[SandboxPhone]


class SandboxMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message a virtual phone got and decrypted; what does not apply is absent."""

    seq: int
    id: str
    sender: str = msgspec.field(name="from")
    from_jid: str
    chat: str
    push_name: str
    timestamp: int
    text: str | None = None
    media: dict[str, Any] | None = None
    reaction: str | None = None
    target: str | None = None
    edit: str | None = None
    fields: list[int] | None = None
    """Numbers of the message's fields, when it is of a kind the sandbox does not read."""


class SandboxGroup(msgspec.Struct, frozen=True):
    """A group of virtual phones and sessions; `members`: number and rank."""

    id: str
    subject: str
    owner: str
    created: int
    members: dict[str, str]


class SandboxGroups(msgspec.Struct, frozen=True):
    """`sandbox group list`."""

    groups: list[SandboxGroup]


class SandboxCall(msgspec.Struct, frozen=True):
    """`sandbox call`: a call and how it stands."""

    id: str
    sender: str = msgspec.field(name="from")
    to: str
    state: str


class SandboxContact(msgspec.Struct, frozen=True):
    """`sandbox contact`: who was put into an address book."""

    number: str
    name: str


class SandboxShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """`sandbox typing` and `sandbox online`: what others are shown."""

    to: str | None = None
    state: str | None = None
    online: bool | None = None


class SandboxPast(msgspec.Struct, frozen=True):
    """`sandbox history`: how much was handed over."""

    chats: int
    messages: int


class SandboxNewsletter(msgspec.Struct, frozen=True):
    """A channel of a virtual phone."""

    id: str
    name: str
    followers: int
    posts: int


class SandboxNewsletters(msgspec.Struct, frozen=True):
    """`sandbox newsletter list`."""

    newsletters: list[SandboxNewsletter]


class SandboxPost(msgspec.Struct, frozen=True):
    """What readers made of a channel's post."""

    id: str
    views: int
    reactions: dict[str, int]


class SandboxFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault that stands; what does not apply is absent."""

    fault: str
    number: str | None = None
    code: int | None = None
    seconds_left: float | None = None


class SandboxFaults(msgspec.Struct, frozen=True):
    """`sandbox fault list`."""

    faults: list[SandboxFault]


class FaultDone(msgspec.Struct, frozen=True):
    """A fault was ordered: how many connections it hit at once, and whether it goes on."""

    fault: str
    number: str | None
    hit: int
    standing: bool


class Healed(msgspec.Struct, frozen=True):
    """`sandbox fault clear`: how many faults stood."""

    healed: int


# --- the table


class Answer(NamedTuple):
    """`shape`: `module:Class`. `many`: an array of them. `lines`: one document a line, as they come."""

    shape: str
    many: bool = False
    lines: bool = False


def _contract(shape: str, *, many: bool = False, lines: bool = False) -> Answer:
    return Answer(f"{_CONTRACT}{shape}", many, lines)


def _own(shape: str, *, many: bool = False, lines: bool = False) -> Answer:
    return Answer(f"{__name__}:{shape}", many, lines)


NOTHING: Final = Answer("")
"""For people alone, or lines as somebody else wrote them."""
_SESSIONS: Final = _contract("session:SessionView", many=True)

ANSWERS: Final[dict[str, Answer]] = {
    "up": _own("Up"),
    "down": _own("Down"),
    "doctor": Answer("cli.commands.doctor:Finding", many=True),
    "create": _contract("session:CreatedSession"),
    "list": _contract("session:SessionList"),
    "describe": _contract("session:SessionDetail"),
    "history": _contract("fleet:SessionHistory"),
    "update": _SESSIONS,
    "start": _SESSIONS,
    "stop": _SESSIONS,
    "restart": _SESSIONS,
    "reload": _SESSIONS,
    "flush": _SESSIONS,
    "reset": _SESSIONS,
    "signal": _SESSIONS,
    "save": Answer("cli.commands.operations:Saved"),
    "resurrect": Answer("cli.commands.operations:Saved"),
    "startup": Answer("cli.commands.operations:Unit"),
    "unstartup": Answer("cli.commands.operations:Unit"),
    "policy show": _contract("policy:PolicyView"),
    "policy set": _contract("policy:PolicyView", many=True),
    "policy reset": _contract("policy:PolicyView", many=True),
    "proxy set": _contract("operations:ProxyView"),
    "proxy show": _contract("operations:ProxyView"),
    "proxy test": _contract("operations:ProxyTested"),
    "proxy remove": _contract("operations:ProxyView"),
    "logout": _SESSIONS,
    "delete": _own("Deleted", many=True),
    "qr": _contract("session:QrCode"),
    "pair": _contract("session:PairingCode"),
    "send": _contract("envelope:Envelope"),
    "menu": NOTHING,
    "monit": NOTHING,
    "status": _contract("fleet:FleetStatus"),
    "processes": _contract("fleet:ProcessList"),
    "server": _contract("operations:ServerView"),
    "alerts": _contract("alerts:AlertList"),
    "health": _contract("fleet:HealthAnswer"),
    "events": _contract("webhook:WebhookPayload", lines=True),
    "logs": _own("LogLine", lines=True),
    "webhook create": _contract("webhook:WebhookView"),
    "webhook list": _contract("webhook:WebhookList"),
    "webhook describe": _contract("webhook:WebhookView"),
    "webhook update": _contract("webhook:WebhookView"),
    "webhook enable": _contract("webhook:WebhookView"),
    "webhook disable": _contract("webhook:WebhookView"),
    "webhook delete": _own("DeletedWebhook"),
    "webhook test": _contract("webhook:SentWebhook"),
    "webhook stats": _contract("webhook:WebhookStats"),
    "webhook deliveries": _contract("webhook:DeliveryList"),
    "webhook dead-letters": _contract("webhook:DeliveryList"),
    "webhook replay": _contract("webhook:ReplayedWebhook"),
    "key list": _contract("access:ApiKeyList"),
    "key create": _contract("access:IssuedKey"),
    "key rotate": _contract("access:IssuedKey"),
    "key revoke": _contract("access:ApiKeyView"),
    "key rotate-secret": _contract("access:RotatedSecretKey"),
    "key whoami": _contract("access:Identity"),
    "audit": _contract("access:AuditPage"),
    "sandbox phone add": _own("SandboxPhone"),
    "sandbox phone list": _own("SandboxPhones"),
    "sandbox scan": _own("Linked"),
    "sandbox code": _own("Linked"),
    "sandbox say": _own("Said"),
    "sandbox inbox": _own("SandboxMessage", many=True),
    "sandbox group create": _own("SandboxGroup"),
    "sandbox group list": _own("SandboxGroups"),
    "sandbox group change": _own("SandboxGroup"),
    "sandbox call": _own("SandboxCall"),
    "sandbox hang-up": _own("Said"),
    "sandbox contact": _own("SandboxContact"),
    "sandbox typing": _own("SandboxShown"),
    "sandbox online": _own("SandboxShown"),
    "sandbox vote": _own("Said"),
    "sandbox history": _own("SandboxPast"),
    "sandbox newsletter create": _own("SandboxNewsletter"),
    "sandbox newsletter list": _own("SandboxNewsletters"),
    "sandbox newsletter follow": _own("SandboxNewsletter"),
    "sandbox newsletter post": _own("Said"),
    "sandbox newsletter leave": _own("SandboxNewsletter"),
    "sandbox newsletter mute": _own("SandboxNewsletter"),
    "sandbox newsletter count": _own("SandboxPost"),
    "sandbox fault list": _own("SandboxFaults"),
    "sandbox fault clear": _own("Healed"),
    "context add": _own("SavedContext"),
    "context use": _own("CurrentContext"),
    "context list": _own("SavedContexts"),
    "context remove": _own("RemovedContext"),
    "context show": _own("SavedContext"),
    "api": NOTHING,
    "completion": _own("Script"),
    "schema": NOTHING,
}
"""By the words of the command. `sandbox fault NAME` is one entry for every fault; `session VERB` is `VERB`."""


def answer_of(words: str) -> Answer:
    """What the command `words` answers. Raises KeyError for one that is not in the table."""
    if words.startswith("session "):
        words = words.removeprefix("session ")
    if words.startswith("sandbox fault ") and words not in ANSWERS:
        return _own("FaultDone")
    return ANSWERS[words]


def type_of(answer: Answer) -> Any:
    """The type of one document that is printed; None where there is none."""
    if not answer.shape:
        return None
    module, _, name = answer.shape.partition(":")
    shape: Any = getattr(import_module(module), name)
    return GenericAlias(list, (shape,)) if answer.many else shape


def schema_of(words: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of what `words --json` prints; an empty one, which takes anything, where nothing is promised."""
    found = type_of(answer_of(words))
    return {} if found is None else msgspec.json.schema(found)


def field_names() -> set[str]:
    """The names of all fields that any command may show."""
    return {name for answer in ANSWERS.values() if answer.shape for name in _fields(type_of(answer))}


def _fields(type_: Any) -> Iterator[str]:
    """The names of the fields of a type and of what it is made of."""
    schema = msgspec.json.schema(type_)
    for shape in [schema, *schema.get("$defs", {}).values()]:
        yield from shape.get("properties", {})

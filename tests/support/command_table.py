"""One call of every command that talks to a server, for tests that hold all of them against the same rule."""

from __future__ import annotations

from typing import Final

ID: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"
NUMBER: Final = "5511900000001"

SAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "create": ("alpha",),
    "list": (),
    "describe": ("alpha",),
    "history": ("alpha",),
    "update": ("alpha", "--name", "x"),
    "start": ("alpha",),
    "stop": ("alpha",),
    "restart": ("alpha",),
    "logout": ("alpha", "--yes"),
    "delete": ("alpha", "--yes"),
    "qr": ("alpha",),
    "pair": ("alpha", NUMBER),
    "send": ("alpha", NUMBER, "hello"),
    "status": (),
    "health": (),
    "events": (),
    "logs": ("-n", "1"),
    "reload": ("alpha",),
    "flush": ("alpha",),
    "reset": ("alpha",),
    "signal": ("CONT", "alpha"),
    "save": (),
    "resurrect": (),
    "proxy set": ("alpha", "socks5://proxy.example:1080"),
    "proxy show": ("alpha",),
    "proxy test": ("alpha",),
    "proxy remove": ("alpha",),
    "webhook create": ("https://crm.example/hook",),
    "webhook list": (),
    "webhook describe": (ID,),
    "webhook update": (ID, "--name", "x"),
    "webhook enable": (ID,),
    "webhook disable": (ID,),
    "webhook delete": (ID, "--yes"),
    "webhook test": (ID,),
    "webhook stats": (),
    "webhook deliveries": (ID,),
    "webhook dead-letters": (),
    "webhook replay": (ID, "--state", "dead"),
    "key list": (),
    "key create": ("crm",),
    "key rotate": (ID,),
    "key revoke": (ID, "--yes"),
    "key rotate-secret": (),
    "key whoami": (),
    "audit": (),
    "sandbox phone add": (NUMBER,),
    "sandbox phone list": (),
    "sandbox scan": (NUMBER, "alpha"),
    "sandbox code": (NUMBER, "ABCD-EFGH"),
    "sandbox say": (NUMBER, "5521900000002", "hello"),
    "sandbox inbox": (NUMBER,),
    "sandbox group create": (NUMBER, "Team", "5521900000002"),
    "sandbox group list": (),
    "sandbox group change": ("1203@g.us", NUMBER, "--name", "Team"),
    "sandbox call": (NUMBER, "5521900000002"),
    "sandbox hang-up": (NUMBER, "CALL1"),
    "sandbox contact": (NUMBER, "5521900000002", "Ana"),
    "sandbox typing": (NUMBER, "5521900000002"),
    "sandbox online": (NUMBER,),
    "sandbox vote": (NUMBER, "3EB0", "Pizza"),
    "sandbox history": (NUMBER, "5521900000002", "Hello"),
    "sandbox newsletter create": (NUMBER, "News"),
    "sandbox newsletter list": (),
    "sandbox newsletter follow": ("1203@newsletter", "5521900000002"),
    "sandbox newsletter post": ("1203@newsletter", "Good morning"),
    "sandbox fault list": (),
    "sandbox fault clear": (),
    "sandbox fault drop": (),
    "api": ("GET", "/status"),
}
"""By the words of the command: what it needs beside them."""

WITHOUT_SERVER: Final = frozenset(
    {
        "up", "down", "doctor", "startup", "unstartup", "menu", "monit", "completion", "schema",
        "context add", "context use", "context list", "context remove", "context show",
    }
)  # fmt: skip
"""Those that ask no server, or (doctor) tell what it answered instead of failing."""

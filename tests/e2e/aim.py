"""Points made-up requests at what exists, and away from what would end the run or leave this machine."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.e2e.conftest import BETA, PHONE

if TYPE_CHECKING:
    import schemathesis

    Case: TypeAlias = schemathesis.Case[Any]

    from tests.e2e.instance import Instance

NOWHERE: Final = "http://127.0.0.1:9/x"
"""Nobody listens there: a made-up URL must not lead anywhere."""
_ENDS: Final = re.compile(
    r"/(logout|stop|disconnect|restart|reconnect|start|connect|login|login-with-code|pairphone|login/code"
    r"|reload|reset|flush|signal|proxy|proxy/test|policy)$"
)
"""Routes that move a session: asked of one that is there for it."""
_URLS: Final = re.compile(r"(url|link)$")
_HARMLESS_QUERY: Final[dict[str, Any]] = {"wait": 0, "follow": "false", "fresh_zygote": "false"}
_HARMLESS_BODY: Final[dict[str, Any]] = {"host": "127.0.0.1", "port": 9}
MOVING: Final = "spare"
"""The session that is logged out, stopped and started."""


class Aim:
    """What there is to be named. Every second request is left as it was made up."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._numbers = itertools.count()
        self._doomed = itertools.count()
        assert instance.http("POST", "/sessions?wait=10", {"session_id": MOVING}).status == 201
        made = instance.http("POST", "/webhooks", {"url": NOWHERE, "enabled": False})
        assert made.status == 201, made
        key = instance.http("POST", "/keys", {"name": "fuzz"})
        assert key.status == 201, key
        headers = {"X-Device-Id": "alpha"}
        group = instance.http("POST", "/group", {"title": "fuzz", "participants": [PHONE]}, headers=headers)
        assert group.status == 200, group
        self._known: dict[str, Any] = {
            "phone": PHONE,
            "chat_jid": f"{PHONE}@s.whatsapp.net",
            "caller_jid": PHONE,
            "group_id": group.body["results"]["group_id"],
            "message_id": instance.send("alpha", PHONE, "something to name"),
            "participants": [BETA],
            "webhook": made.body["id"],
            "webhook_id": made.body["id"],
            "key_id": key.body["id"],
            "name": "orchestrator",
            "newsletter_id": "120363000000000000@newsletter",
        }

    def at(self, case: Case) -> None:
        """Changes a request in place."""
        number = next(self._numbers)
        path = case.operation.path
        self._name_session(case, path, number)
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                self._point(part, path, aimed=number % 2 == 0)
        for part, harmless in ((case.query, _HARMLESS_QUERY), (case.body, _HARMLESS_BODY)):
            if isinstance(part, dict):
                part.update({name: value for name, value in harmless.items() if name in part})
        if isinstance(case.body, dict) and path.endswith("/sessions/actions"):
            case.body |= {"sessions": [MOVING], "all": False, "label": None, "fresh_zygote": False, "wait_s": 0}
            if case.body.get("action") == "delete":
                case.body["action"] = "stop"

    def _name_session(self, case: Case, path: str, number: int) -> None:
        deletes = case.method.upper() == "DELETE" and path.rstrip("/").endswith(("{session}", "/devices/{device_id}"))
        wanted = self._doom() if deletes and number % 4 == 0 else MOVING if _ENDS.search(path) else "alpha"
        if deletes and number % 4:
            wanted = f"nobody-{number}"
        named = False
        for name in ("session", "device_id"):
            if name in (case.path_parameters or {}):
                named = True
                if number % 4 != 3 or deletes or _is_taken(case.path_parameters[name]):
                    case.path_parameters[name] = wanted
        for part in (case.query, case.body):
            if isinstance(part, dict):
                part.pop("device_id", None)
        if isinstance(case.body, dict) and path in ("/device/login", "/device/logout"):
            case.body["device_id"] = MOVING
        if isinstance(case.body, dict) and path == "/devices":
            case.body["device_id"] = "alpha"
        if isinstance(case.body, dict) and "session_id" in case.body and isinstance(case.body["session_id"], str):
            case.body["session_id"] = "alpha"
        for name in ("X-Device-Id", "Authorization", "X-API-Key", "Cookie"):
            case.headers.pop(name, None)
        if not named:
            case.headers["X-Device-Id"] = "alpha" if deletes else wanted

    def _doom(self) -> str:
        name = f"doomed-{next(self._doomed)}"
        assert self._instance.http("POST", "/sessions", {"session_id": name, "start": False}).status == 201
        return name

    def _point(self, part: dict[str, Any], path: str, *, aimed: bool) -> None:
        for name, value in list(part.items()):
            if isinstance(value, str) and (_URLS.search(name) or value.lower().startswith(("http:", "https:"))):
                part[name] = NOWHERE if value else value
            elif aimed and name in self._known and not (name == "name" and "programs" not in path):
                part[name] = self._known[name]
            elif isinstance(value, dict):
                self._point(value, path, aimed=False)

    def is_moving(self, case: Case) -> bool:
        """Whether it is asked of the session this run starts and stops."""
        named = {str(value) for value in (case.path_parameters or {}).values()} | {
            str(value) for value in (case.headers or {}).values()
        }
        body = case.body if isinstance(case.body, dict) else {}
        return MOVING in named or body.get("device_id") == MOVING

    def after(self, case: Case, status: int, text: str) -> None:
        """Takes away what a request has made, so that no limit is reached."""
        if case.method.upper() != "POST" or status not in (200, 201):
            return
        path = case.operation.path
        if path in ("/sessions", "/api/sessions", "/devices"):
            body = json.loads(text)
            found = body.get("session_id") or body.get("results", {}).get("id")
            self._instance.http("DELETE", f"/sessions/{found}?wait=20")


def _is_taken(value: object) -> bool:
    return value in ("alpha", "beta", MOVING)

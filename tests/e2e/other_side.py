"""Calls as a client makes them, and what the other side has of them: a second session's events, a virtual phone's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import until
from tests.e2e.test_contract import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.instance import Instance


class OtherSide(World):
    """`alpha` acts; `beta` and the phone `PHONE` tell what came of it."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self.fresh = 0

    def ok(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        *,
        file: tuple[str, bytes] | None = None,
        session: str | None = "alpha",
    ) -> Any:
        """`results` of a call that must succeed."""
        answer = self.call(method, path, query, body, file=file, session=session)
        assert answer.status == 200, answer
        return answer.body["results"]

    def sent(self, path: str, body: dict[str, Any], file: tuple[str, bytes] | None = None) -> str:
        """Has alpha send something; its id."""
        return str(self.ok("POST", path, body=body, file=file)["message_id"])

    def event(
        self, kind: str, fits: Callable[[dict[str, Any]], object], *, session: str = "beta", timeout: float = 40
    ) -> dict[str, Any]:
        """The data of the first event of `beta` that fits, once it is there."""

        def found() -> dict[str, Any] | None:
            return next((e["data"] for e in self.instance.events(session, kind) if fits(e["data"])), None)

        return until(f"{kind} at {session}", found, timeout)

    def got(self, message_id: str) -> dict[str, Any]:
        """The message as beta decrypted it."""
        return self.event("message", lambda data: data["message_id"] == message_id)

    def on_phone(self, fits: Callable[[dict[str, Any]], object], number: str = PHONE) -> dict[str, Any]:
        """The first message in a phone's memory that fits, once it is there."""

        def found() -> dict[str, Any] | None:
            return next((m for m in self.sandbox("GET", f"/phones/{number}/messages")["messages"] if fits(m)), None)

        return until("a message on the phone", found)

    def file_on_phone(self, message_id: str) -> bytes:
        """The decrypted file of a message on the phone."""
        self.on_phone(lambda message: message["id"] == message_id)
        answer = self.instance.http("GET", f"/sandbox/phones/{PHONE}/messages/{message_id}/media")
        assert answer.status == 200, answer
        return bytes(answer.body)

    def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """What the sandbox answers."""
        answer = self.instance.http(method, f"/sandbox{path}", body)
        assert answer.status in (200, 201), answer
        return answer.body

    def setting(self, on: bool, *index: str) -> None:
        """Waits until alpha's own phone has this setting so."""

        def seen() -> bool:
            found = self.sandbox("GET", f"/phones/{ALPHA}/settings")["settings"]
            return any(item["index"] == list(index) and item["on"] is on for item in found)

        until(f"{index} is {on} on the phone", seen)

    def phone_says(self, text: str, to: str = ALPHA, session: str = "alpha") -> str:
        """The phone writes; the id, once the session has it."""
        said = str(self.sandbox("POST", f"/phones/{PHONE}/messages", {"to": to, "text": text})["id"])
        self.event("message", lambda data: data["message_id"] == said, session=session)
        return said

    def new_group(self, *members: str) -> str:
        """A group of alpha's with beta and others in it; its address, once beta knows of it."""
        self.fresh += 1
        body = {"title": f"effects {self.fresh}", "participants": [BETA, *members]}
        group = str(self.ok("POST", "/group", body=body)["group_id"])
        self.event("group.joined", lambda data: data["group"] == group)
        return group

    def members(self, group: str) -> dict[str, str]:
        """Number → role, as the server has them."""
        found = self.sandbox("GET", "/groups")["groups"]
        return next((dict(item["members"]) for item in found if item["id"] == group), {})

    def devices(self, number: str) -> list[dict[str, Any]]:
        """The linked devices of a phone, as the server has them; the phone itself is device 0."""
        return [item for item in self.sandbox("GET", f"/phones/{number}")["devices"] if item["id"]]

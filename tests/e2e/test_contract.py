"""Every operation a client written for GoWA knows, asked of the running product: route, members, media, envelope, errors."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import pytest

from tests.e2e.conftest import BETA, PHONE
from tests.e2e.contract_table import FORM, GROUPS, JSON, OPERATIONS, Op
from tests.e2e.instance import until
from tests.support import media_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.instance import Answer, Instance

MISSING: Final[frozenset[str]] = frozenset()
"""Operations nobody serves yet, by name. Whoever builds one takes it out."""
BORDER: Final = "a-border-in-no-file"
_HOLE: Final = re.compile(r"\{([A-Z]+)\}")


class World:
    """What calls need: chats, messages and groups, made when a value names them."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._count = itertools.count(1)
        self._kept: dict[str, str] = {"PHONE": PHONE, "BETA": BETA}
        self._makers: dict[str, Callable[[], str]] = {
            "NEW": self._new_message,
            "NEWGROUP": self._new_group,
            "ASKED": self._group_asked_of,
            "FRESH": lambda: f"fresh-{next(self._count)}",
            "MADE": self._made_session,
        }
        self._once: dict[str, Callable[[], str]] = {
            "GOT": self._received,
            "GROUP": self._new_group,
            "LINK": self._link,
            "PICTURE": self._picture,
        }

    def fill(self, value: Any) -> Any:
        """The value with every `{…}` replaced."""
        if isinstance(value, str):
            return _HOLE.sub(lambda match: self._get(match[1]), value)
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        return [self.fill(item) for item in value] if isinstance(value, list) else value

    def _get(self, name: str) -> str:
        if name in self._makers:
            return self._makers[name]()
        if name not in self._kept:
            self._kept[name] = self._once[name]()
        return self._kept[name]

    def _new_message(self) -> str:
        return self.instance.send("alpha", PHONE, f"text {next(self._count)}")

    def _received(self) -> str:
        text = f"from the phone {next(self._count)}"
        self.instance.zap("sandbox", "say", PHONE, "alpha", text)

        def arrived() -> str | None:
            for event in self.instance.events("alpha", "message"):
                if event["data"]["text"] == text:
                    return str(event["data"]["message_id"])
            return None

        return until("a message", arrived)

    def _new_group(self) -> str:
        made = self.call("POST", "/group", body={"title": f"group {next(self._count)}", "participants": [PHONE]})
        assert made.status == 200, made
        return str(made.body["results"]["group_id"])

    def _group_asked_of(self) -> str:
        """A group the phone asks to be let into."""
        made = self.call("POST", "/group", body={"title": f"asked {next(self._count)}", "participants": []})
        group = str(made.body["results"]["group_id"])
        asked = self.instance.http("POST", f"/sandbox/groups/{group}/requests", {"number": PHONE})
        assert asked.status == 201, asked
        return group

    def _link(self) -> str:
        """Of a group alpha is not in."""
        made = self.call("POST", "/group", body={"title": "beta's", "participants": []}, session="beta")
        group = made.body["results"]["group_id"]
        link = self.call("GET", "/group/invite-link", {"group_id": group}, session="beta")
        assert link.status == 200, link
        return str(link.body["results"]["invite_link"])

    def _picture(self) -> str:
        sent = self.call("POST", "/send/image", body={"phone": PHONE}, file=("image", media_files.png(64, 48)))
        assert sent.status == 200, sent
        return str(sent.body["results"]["message_id"])

    def _made_session(self) -> str:
        name = f"made-{next(self._count)}"
        assert self.instance.http("POST", "/sessions", {"session_id": name, "start": False}).status == 201
        return name

    # --- calls

    def call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        *,
        file: tuple[str, bytes] | None = None,
        session: str | None = "alpha",
        media: str = JSON,
    ) -> Answer:
        """One request at GoWA's own path. `body` bytes go as they are."""
        target = quote(path, safe="/@") + (f"?{urlencode(query)}" if query else "")
        headers = {} if session is None else {"X-Device-Id": session}
        sent: bytes | None = None
        if file is not None:
            assert isinstance(body, dict)
            sent, headers["Content-Type"] = form(body, file), f"{FORM}; boundary={BORDER}"
        elif body is not None:
            sent, headers["Content-Type"] = body if isinstance(body, bytes) else json.dumps(body).encode(), media
        return self.instance.http(method, target, sent, headers=headers)

    def good(self, op: Op, *, query: dict[str, str] | None = None, body: dict[str, Any] | None = None) -> Answer:
        """The call of the table, with more members where they are given; again while its session is on the way."""
        file = None if op.file is None else (op.file, FILES[op.file]())
        filled = None if op.body is None else {**self.fill(op.body), **(body or {})}
        path, asked = self.fill(op.path), {**self.fill(op.query), **(query or {})}

        def answered() -> Answer | None:
            answer = self.call(op.method, path, asked, filled, file=file, session=op.session)
            on_the_way = answer.status == 503 and answer.body["code"] == "worker_starting"
            return None if on_the_way else answer

        return until(f"an answer to {op.name}", answered)


FILES: Final[dict[str, Callable[[], bytes]]] = {
    "image": lambda: media_files.png(64, 48),
    "photo": lambda: media_files.picture(640, 640, "JPEG"),
    "avatar": lambda: media_files.picture(640, 640, "JPEG"),
    "sticker": lambda: media_files.png(64, 64),
    "audio": lambda: media_files.mp3(1),
    "video": lambda: media_files.mp4(160, 120, 1),
    "file": lambda: media_files.noise(1000),
}


def form(fields: dict[str, Any], file: tuple[str, bytes]) -> bytes:
    """A form with fields and one file."""
    name, data = file
    parts = [
        f'--{BORDER}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    ending = {"file": "bin", "photo": "jpg", "avatar": "jpg", "audio": "mp3", "video": "mp4"}.get(name, "png")
    head = f'--{BORDER}\r\nContent-Disposition: form-data; name="{name}"; filename="a.{ending}"\r\n\r\n'.encode()
    return b"".join(parts) + head + data + f"\r\n--{BORDER}--\r\n".encode()


@pytest.fixture(scope="module")
def world(paired: Instance) -> World:
    """Alpha and beta paired, alpha with a chat; `spare` with a QR code on show, `other` to be restarted."""
    for name in ("spare", "other"):
        paired.create(name)
        paired.wait_status(name, "connected")
    paired.zap("sandbox", "phone", "add", "5541900000009")
    made = World(paired)
    made.fill("{NEW}")  # so that there is a chat to ask about
    return made


def check_envelope(answer: Answer, op: Op) -> None:
    """Members every JSON answer has; an error's code is a word, and says nothing of the inside."""
    if op.path == "/health":
        return  # the product's own: more than GoWA's word
    assert answer.headers["Content-Type"].startswith(JSON), answer
    assert {"code", "message", "results"} <= set(answer.body), answer
    assert (answer.body["code"] == "SUCCESS") == (answer.status == 200), answer
    assert isinstance(answer.body["message"], str)
    assert answer.body["message"]


def check_results(results: Any, op: Op) -> None:
    """The members the contract promises."""
    if op.results is None:
        return
    if op.paged:
        results = results["data"]
    for entry in results if isinstance(results, list) else [results]:
        assert set(op.results) <= set(entry), entry


def ids(op: Op) -> str:
    return op.name


def test_the_table_is_whole() -> None:
    assert len(OPERATIONS) == 89
    assert len({op.name for op in OPERATIONS}) == 89
    assert {op.name for op in OPERATIONS} >= MISSING


def test_nothing_is_missing_that_is_not_said_to_be(world: World) -> None:
    unknown = set()
    for op in OPERATIONS:
        answer = world.call(op.method, re.sub(r"\{\w+\}", "x", op.path), session=op.session, body=op.body and b"{")
        if (
            answer.body
            and isinstance(answer.body, dict)
            and answer.body.get("code") in ("route_not_found", "method_not_allowed")
        ):
            unknown.add(op.name)
    assert unknown == set(MISSING)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.name not in MISSING], ids=ids)
def test_a_good_call(world: World, op: Op) -> None:
    answer = world.good(op)
    assert answer.status in op.answers, answer
    if answer.status == 200 and op.produces != JSON:
        assert answer.headers["Content-Type"].startswith(op.produces)
        return
    check_envelope(answer, op)
    if answer.status == 200 and op.path != "/health":
        check_results(answer.body["results"], op)
    if answer.status == 501:
        assert answer.body["code"] == "not_supported_by_engine"
        assert " " in answer.body["message"]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.name not in MISSING], ids=ids)
def test_members_nobody_knows_are_ignored(world: World, op: Op) -> None:
    answer = world.good(
        op, query={"surprise": "1"}, body={"surprise": {"a": [1]}} if op.file is None else {"surprise": "1"}
    )
    if op.path != "/health":
        assert answer.status in op.answers, answer


def bad_calls(op: Op, world: World) -> Iterator[tuple[str, str | None, Answer]]:
    """What is wrong, the member an answer must name, and the answer."""
    path, query, body = world.fill(op.path), world.fill(op.query), world.fill(op.body)
    file = None if op.file is None else (op.file, FILES[op.file]())

    def call(with_query: dict[str, str], with_body: object) -> Answer:
        return world.call(op.method, path, with_query, with_body, file=file, session=op.session)

    for name in op.must:
        where = query if name in query else body
        assert where is not None
        without = {key: value for key, value in where.items() if key != name}
        yield f"without {name}", name, call(without, body) if where is query else call(query, without)
        if where is body and op.file is None:
            yield f"wrong type of {name}", name, call(query, {**body, name: {"a": 1}})
            yield f"null as {name}", name, call(query, {**body, name: None})
        if name in ("phone", "group_id", "link"):
            yield (
                f"nonsense as {name}",
                name,
                call({**query, name: "?!"}, body) if where is query else call(query, {**body, name: "?!"}),
            )
    if body is not None and op.file is None and op.must:
        for raw in (b"{", b"", b"\xff", b"[]", b'"x"'):
            answer = world.call(op.method, path, query, raw, session=op.session)
            yield f"{raw!r} as body", None, answer
    for name in set(query) & {"limit", "offset", "count"}:
        for value in ("-1", "x", "99999999999999999999"):
            yield f"{value} as {name}", name, call({**query, name: value}, body)
    if op.file is not None and op.must:
        yield (
            "a broken form",
            None,
            world.call(op.method, path, query, b"--x", session=op.session, media=f"{FORM}; boundary={BORDER}"),
        )


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.name not in MISSING and op.answers != {501}], ids=ids)
def test_bad_input_is_a_clear_refusal(world: World, op: Op) -> None:
    for what, member, answer in bad_calls(op, world):
        assert 400 <= answer.status < 500, (what, answer)
        assert answer.status in (400, 404, 413), (what, answer)
        check_envelope(answer, op)
        if member is not None:
            named = f"{answer.body['results'].get('field')} {answer.body['message']}"
            assert member in named, (what, answer)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.session is not None], ids=ids)
def test_an_unknown_session_is_a_404(world: World, op: Op) -> None:
    answer = world.call(op.method, re.sub(r"\{\w+\}", "x", op.path), body=op.body and b"{}", session="nobody")
    assert answer.status in (404, 501), answer
    check_envelope(answer, op)
    if answer.status == 404:
        assert answer.body["error"].startswith("Device not found")


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.session == "alpha" and op.answers == {200}], ids=ids)
def test_a_session_that_is_not_logged_in_says_so(world: World, op: Op) -> None:
    """Or it answers from what it knows; it never fails."""
    file = None if op.file is None else (op.file, FILES[op.file]())
    path, query, body = world.fill(op.path), world.fill(op.query), world.fill(op.body)
    answer = world.call(op.method, path, query, body, file=file, session="spare")
    assert answer.status in (200, 404, 409), answer
    if answer.status != 200:
        check_envelope(answer, op)


def test_groups_of_the_table_need_a_group(world: World) -> None:
    """A group that is none: refused, not failed."""
    for op in GROUPS:
        # Leaving what one is not in is done already.
        if op.answers != {501} and "group_id" in op.must and op.path != "/group/leave":
            given = {**world.fill(op.body or op.query), "group_id": "120363099999999999@g.us"}
            query, body = (given, None) if op.body is None else ({}, given)
            file = None if op.file is None else (op.file, FILES[op.file]())
            answer = world.call(op.method, world.fill(op.path), query, body, file=file)
            assert answer.status in (403, 404, 409, 501, 502), (op.name, answer)
            check_envelope(answer, op)

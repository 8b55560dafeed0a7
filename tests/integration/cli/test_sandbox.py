"""The sandbox verbs: what they send, and what they say."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.integration.cli.conftest import COMMAND, Zap
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, problem, view

ANA = "5511912345678"
BIA = "5521987654321"


def test_phones(api: ApiStandIn, zap: Zap) -> None:
    phone = {
        "number": ANA,
        "name": "Ana",
        "lid": "1@lid",
        "devices": [{"id": 1, "jid": "x", "connected": True, "logins": 2}],
    }
    api.on("POST /sandbox/phones", Reply(201, phone))
    assert zap("sandbox", "phone", "add", f"+{ANA}", "--name", "Ana").out.startswith(f"phone {ANA} added")
    assert api.asked[-1].body == {"number": ANA, "name": "Ana"}
    zap("sandbox", "phone", "add", ANA)
    assert api.asked[-1].body == {"number": ANA}, "what was not given is not sent"
    api.on("GET /sandbox/phones", Reply(200, {"phones": [phone]}))
    assert zap("sandbox", "phone", "list").out.splitlines()[1].split() == [ANA, "Ana", "1", "1"]
    assert zap("sandbox", "phone", "list", "--json").json == {"phones": [phone]}
    assert zap("sandbox", "phone", "list", "-q").out == f"{ANA}\n"


def test_scan_goes_on_with_a_renewed_code(api: ApiStandIn, zap: Zap) -> None:
    def qr(text: str) -> Reply:
        return Reply(200, {"session_id": "alpha", "text": text, "seq": 1, "expires_in_s": 20.0})

    api.on("GET /sessions/alpha/qr", qr("old"), qr("new"))
    api.on(
        f"POST /sandbox/phones/{ANA}/scan",
        lambda asked: (
            Reply(200, {"jid": f"{ANA}:1@s.whatsapp.net"})
            if asked.body == {"qr": "new"}
            else problem(409, "qr_expired", "conflict")
        ),
    )
    assert f"{ANA}:1@s.whatsapp.net" in zap("sandbox", "scan", ANA, "alpha").out


def test_code(api: ApiStandIn, zap: Zap) -> None:
    api.on(f"POST /sandbox/phones/{ANA}/code", Reply(200, {"jid": "j"}))
    assert zap("sandbox", "code", ANA, "ABCD-EFGH", "-q").out == "j\n"
    assert api.asked[-1].body == {"code": "ABCD-EFGH"}


@pytest.mark.parametrize(
    ("word", "to"), [(BIA, BIA), (f"+{BIA}", BIA), ("alpha", BIA), ("jid-only", BIA), ("1203@g.us", "1203@g.us")]
)
def test_say(word: str, to: str, api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha", Reply(200, view(phone=BIA)))
    api.on("GET /sessions/jid-only", Reply(200, view("jid-only", jid=f"{BIA}:3@s.whatsapp.net")))
    api.on(f"POST /sandbox/phones/{ANA}/messages", Reply(200, {"id": "3EB0"}))
    assert zap("sandbox", "say", ANA, word, "Olá").out == f"{ANA} -> {to}: 3EB0\n"
    assert api.asked[-1].body == {"to": to, "text": "Olá"}


def test_say_to_a_session_without_a_number(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha", Reply(200, view()))
    told = zap("sandbox", "say", ANA, "alpha", "hi", "--json")
    assert (told.code, told.problem["code"]) == (5, "session_not_authenticated")


def message(seq: int, **fields: object) -> dict[str, object]:
    return {"seq": seq, "id": f"id{seq}", "from": BIA, "chat": BIA, "push_name": "Bia", "timestamp": 1, **fields}


def test_inbox(api: ApiStandIn, zap: Zap) -> None:
    messages = [
        message(1, text="hi\x1b[2J"),
        message(2, media={"kind": "image", "caption": "look"}, chat="1203@g.us"),
        message(3, reaction="👍", target="id1"),
        message(4, target="id1"),
        message(5, text="hello", target="id1", edit="edited"),
        message(6, target="id1", edit="revoked"),
        message(7, fields=[35, 49]),
        message(8, fields=[199]),
    ]
    api.on(f"GET /sandbox/phones/{ANA}/messages", Reply(200, {"messages": messages}))
    assert zap("sandbox", "inbox", ANA).out.splitlines() == [
        f"{BIA} (Bia): hi\ufffd[2J",
        f"{BIA} (Bia) in 1203@g.us: [image] look",
        f"{BIA} (Bia): [reaction] 👍 to id1",
        f"{BIA} (Bia): [reaction] taken back to id1",
        f"{BIA} (Bia): [edited] id1 hello",
        f"{BIA} (Bia): [revoked] id1",
        f"{BIA} (Bia): [poll]",
        f"{BIA} (Bia): [message]",
    ]
    assert zap("sandbox", "inbox", ANA, "--json").json == messages


def test_followed_inbox(api: ApiStandIn, environ: dict[str, str]) -> None:
    def later(asked: Asked) -> Reply:
        after = int(asked.query["after"])
        if after < 3:
            return Reply(200, {"messages": [message(after + 1, text="more")]})
        api.stopping.wait(30)
        return Reply(200, {"messages": []})

    api.on(f"GET /sandbox/phones/{ANA}/messages", Reply(200, {"messages": [message(1, text="first")]}), later)
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "inbox", ANA, "-f", "--json"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert [b'"seq":%d,' % number in line for number, line in enumerate(lines, 1)] == [True] * 3
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (130, False)


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["drop"], {"fault": "drop"}),
        (["ban", "--session", "alpha", "--seconds", "60", "--code", "101"],
         {"fault": "ban", "number": BIA, "seconds": 60.0, "code": 101}),
        (["refuse", "--number", ANA, "--code", "503"], {"fault": "refuse", "number": ANA, "code": 503}),
        (["hold_acks"], {"fault": "hold_acks"}),
    ],
)  # fmt: skip
def test_fault(words: list[str], body: dict[str, object], api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha", Reply(200, view(phone=BIA)))
    api.on("POST /sandbox/faults", Reply(200, {"fault": words[0], "number": None, "hit": 2, "standing": True}))
    told = zap("sandbox", "fault", *words)
    assert told.code == 0
    assert "2 hit\nit stands until" in told.out
    assert api.asked[-1].body == body


def test_faults_that_last(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sandbox/faults", Reply(200, {"faults": [{"fault": "ban", "number": ANA, "code": 101}]}))
    assert zap("sandbox", "fault", "list").out.splitlines()[1].split() == ["ban", ANA, "101"]
    api.on("DELETE /sandbox/faults", Reply(200, {"faults": []}))
    assert zap("sandbox", "fault", "clear").out == "all faults healed\n"
    api.on("GET /sandbox/faults", Reply(200, {"faults": []}))
    assert zap("sandbox", "fault", "list").out == ""


def test_groups(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha", Reply(200, view(phone=BIA)))
    api.on("POST /sandbox/groups", Reply(201, {"id": "1203@g.us"}))
    assert zap("sandbox", "group", "create", ANA, "Team", BIA, "alpha", "-q").out == "1203@g.us\n"
    assert api.asked[-1].body == {"owner": ANA, "subject": "Team", "members": [BIA, BIA]}


def test_an_instance_without_the_sandbox(api: ApiStandIn, zap: Zap) -> None:
    off = problem(404, "sandbox_off", "not_found", "this instance runs without the sandbox")
    api.on("GET /sandbox/phones", off)
    assert zap("sandbox", "phone", "list").code == 4


@pytest.mark.parametrize(
    ("words", "route", "body"),
    [
        (("call", ANA, BIA, "--video"), f"POST /sandbox/phones/{ANA}/calls", {"to": BIA, "video": True}),
        (("hang-up", ANA, "C1"), f"DELETE /sandbox/phones/{ANA}/calls/C1", None),
        (("contact", ANA, BIA, "Bia"), f"POST /sandbox/phones/{ANA}/contacts", {"number": BIA, "name": "Bia"}),
        (("typing", ANA, BIA), f"POST /sandbox/phones/{ANA}/presence", {"to": BIA, "state": "typing"}),
        (
            ("typing", ANA, "1@g.us", "--stop"),
            f"POST /sandbox/phones/{ANA}/presence",
            {"to": "1@g.us", "state": "paused"},
        ),
        (("online", ANA, "--away"), f"POST /sandbox/phones/{ANA}/presence", {"online": False}),
        (
            ("vote", ANA, "3EB0", "a", "b"),
            f"POST /sandbox/phones/{ANA}/votes",
            {"message_id": "3EB0", "options": ["a", "b"]},
        ),
        (
            ("history", ANA, BIA, "hi", "hello"),
            f"POST /sandbox/phones/{ANA}/history",
            {
                "chats": [
                    {"with": BIA, "messages": [{"text": "hi", "from_me": False}, {"text": "hello", "from_me": True}]}
                ]
            },
        ),
        (("newsletter", "create", ANA, "News"), "POST /sandbox/newsletters", {"owner": ANA, "name": "News"}),
        (
            ("newsletter", "follow", "1@newsletter", BIA),
            "POST /sandbox/newsletters/1@newsletter/followers",
            {"number": BIA},
        ),
        (("newsletter", "post", "1@newsletter", "hi"), "POST /sandbox/newsletters/1@newsletter/posts", {"text": "hi"}),
        (
            ("newsletter", "leave", "1@newsletter", BIA),
            f"DELETE /sandbox/newsletters/1@newsletter/followers/{BIA}",
            None,
        ),
        (
            ("newsletter", "mute", "1@newsletter", BIA),
            f"PATCH /sandbox/newsletters/1@newsletter/followers/{BIA}",
            {"muted": True},
        ),
        (
            ("newsletter", "mute", "1@newsletter", BIA, "--off"),
            f"PATCH /sandbox/newsletters/1@newsletter/followers/{BIA}",
            {"muted": False},
        ),
        (
            ("newsletter", "count", "1@newsletter", "100", "--views", "2", "--reaction", "👍", "1"),
            "PATCH /sandbox/newsletters/1@newsletter/posts/100",
            {"views": 2, "reactions": {"👍": 1}},
        ),
        (
            ("group", "change", "1@g.us", ANA, "--name", "N"),
            "PATCH /sandbox/groups/1@g.us",
            {"by": ANA, "subject": "N"},
        ),
        (
            ("group", "change", "1@g.us", ANA, "--promote", BIA),
            "PATCH /sandbox/groups/1@g.us",
            {"by": ANA, "do": "promote", "members": [BIA]},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_else_phones_do(words: tuple[str, ...], route: str, body: object, api: ApiStandIn, zap: Zap) -> None:
    api.on(route, Reply(200, {"id": "X1", "state": "s", "name": "n", "messages": 2, "subject": "N"}))
    assert zap("sandbox", *words).code == 0
    assert api.asked[-1].body == body


def test_a_group_changes_in_one_way_at_a_time(api: ApiStandIn, zap: Zap) -> None:
    told = zap("sandbox", "group", "change", "1@g.us", ANA, "--name", "N", "--add", BIA)
    assert told.code == 2
    assert not api.asked

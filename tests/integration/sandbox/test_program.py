"""The sandbox as a program: its control API, and what survives its end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import AlreadyRunning, SandboxStateUnusable
from tests.integration.sandbox.program import Program
from tests.support.neonize_session import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

ADA, BOB, CAROL = "491510000001", "491510000002", "491510000003"


async def test_phones_messages_media_groups_receipts_and_reads(short_folder: Path) -> None:
    async with Program(short_folder) as program:
        session = await program.paired("ada", ADA)
        made = await program.post("/phones", {"number": "+49 151 0000002", "name": "Bob"}, expect=201)
        assert made == {"number": BOB, "name": "Bob", "lid": made["lid"], "devices": []}
        view = await program.get(f"/phones/{ADA}")
        assert [(d["id"], d["jid"], d["connected"], d["logins"]) for d in view["devices"]] == [
            (1, f"{ADA}:1@s.whatsapp.net", True, 1)
        ]
        assert [phone["number"] for phone in (await program.get("/phones"))["phones"]] == [ADA, BOB]

        said = await program.post(f"/phones/{BOB}/messages", {"to": ADA, "text": "hello"})
        assert (await session.event("message", id=said["id"]))["text"] == "hello"
        waiting = asyncio.create_task(program.get(f"/phones/{BOB}/messages", after=0, wait=20))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        sent = await session.call("send", to=BOB, text="long poll")
        (message,) = (await waiting)["messages"]
        assert message == {
            "seq": 1,
            "id": sent["id"],
            "from": ADA,
            "from_jid": message["from_jid"],
            "chat": ADA,
            "push_name": "Ada",
            "timestamp": message["timestamp"],
            "text": "long poll",
        }
        assert (await program.get(f"/phones/{BOB}/messages", after=1))["messages"] == []
        assert (await program.get(f"/phones/{BOB}/messages", chat=CAROL))["messages"] == []
        await program.post(f"/phones/{BOB}/messages/{sent['id']}/read", {})
        await session.event("receipt", kind="READ", ids=[sent["id"]])
        kinds = {entry["kind"] for entry in (await program.get(f"/phones/{BOB}/receipts"))["receipts"]}
        assert kinds >= {"delivery", "inactive"}

        data = os.urandom(5000)
        media = {"kind": "document", "data": base64.b64encode(data).decode(), "filename": "a.bin"}
        sent_media = await program.post(f"/phones/{BOB}/messages", {"to": ADA, "media": media})
        event = await session.event("message", id=sent_media["id"])
        assert base64.b64decode(event["data"]) == data
        encoded = base64.b64encode(data[::-1]).decode()
        answer = await session.call("send_document", to=BOB, data=encoded, filename="b.bin")
        (message,) = (await program.get(f"/phones/{BOB}/messages", after=1, wait=10))["messages"]
        assert message["media"]["filename"] == "b.bin"
        assert await program.get(f"/phones/{BOB}/messages/{answer['id']}/media") == data[::-1]

        group = await program.post("/groups", {"owner": BOB, "subject": "Lab", "members": [ADA]}, expect=201)
        await session.event("joined-group", jid=group["id"])
        assert (await program.get("/groups"))["groups"] == [group]
        said = await program.post(f"/phones/{BOB}/messages", {"to": group["id"], "text": "all"})
        await session.event("message", text="all")
        reaction = {"message_id": said["id"], "emoji": "🎉", "from_me": True}
        reacted = await program.post(f"/phones/{BOB}/messages", {"to": group["id"], "reaction": reaction})
        event = await session.wait(lambda e: e.get("id") == reacted["id"] and e.get("reaction"))
        assert event["reaction"] == ["🎉", said["id"]]

        await program.post("/faults", {"fault": "hold_acks", "number": ADA})
        assert (await program.get("/faults"))["faults"] == [{"fault": "hold_acks", "number": ADA}]
        assert await program.call("DELETE", "/faults") == (200, {"healed": 1})
        assert await program.post(f"/phones/{ADA}/unlink", {}) == {"unlinked": 1}
        await session.event("logged-out")
        health = await program.get("/health")
        assert (health["status"], health["phones"], health["connections"]) == ("ok", 2, 0)
        assert (health["errors"], health["unanswered"]) == ([], {})
        assert health["dialled"] == ["media.sandbox.whatsapp.net:443", "web.whatsapp.com:443"]
        assert stat.S_IMODE(program.socket.stat().st_mode) == 0o600


async def test_bad_requests_have_their_documented_error_and_no_effect(short_folder: Path) -> None:
    async with Program(short_folder) as program:
        await program.post("/phones", {"number": ADA}, expect=201)
        messages = f"/phones/{ADA}/messages"
        for method, path, body, status, code, field in (
            ("POST", "/phones", {"number": ADA}, 409, "phone_exists", "number"),
            ("POST", "/phones", {"number": "12"}, 422, "invalid_phone", "number"),
            ("POST", "/phones", {"number": BOB, "colour": "red"}, 422, "invalid_request", "colour"),
            ("POST", "/phones", {"number": 5}, 422, "invalid_request", "number"),
            ("POST", "/phones", {}, 422, "invalid_request", "number"),
            ("POST", "/phones", {"number": BOB, "name": "x" * 101}, 422, "invalid_request", "name"),
            ("GET", f"/phones/{BOB}", None, 404, "phone_not_found", "number"),
            ("GET", "/phones/abc", None, 422, "invalid_phone", "number"),
            ("GET", "/nothing", None, 404, "route_not_found", None),
            ("PUT", "/phones", {}, 405, "method_not_allowed", None),
            ("POST", f"/phones/{ADA}/scan", {"qr": "x"}, 422, "invalid_request", "qr"),
            ("POST", f"/phones/{ADA}/scan", {"qr": _stale_qr()}, 409, "qr_expired", "qr"),
            ("POST", f"/phones/{ADA}/code", {"code": "ABCDEFGH"}, 409, "pairing_code_refused", "code"),
            ("POST", messages, {"to": BOB, "text": "x"}, 422, "recipient_not_on_whatsapp", "to"),
            ("POST", messages, {"to": "1@g.us", "text": "x"}, 404, "group_not_found", "to"),
            ("POST", messages, {"to": ADA}, 422, "invalid_request", "text"),
            ("POST", messages, {"to": ADA, "text": ""}, 422, "invalid_request", "text"),
            (
                "POST",
                messages,
                {"to": ADA, "media": {"kind": "image", "data": "%"}},
                422,
                "invalid_request",
                "media.data",
            ),
            (
                "POST",
                messages,
                {"to": ADA, "media": {"kind": "film", "data": ""}},
                422,
                "invalid_request",
                "media.kind",
            ),
            ("GET", messages + "?wait=61", None, 422, "invalid_request", "wait"),
            ("GET", messages + "?after=-1", None, 422, "invalid_request", "after"),
            ("GET", messages + "/unknown/media", None, 404, "message_not_found", None),
            ("POST", messages + "/unknown/read", {}, 404, "message_not_found", None),
            ("POST", f"/phones/{ADA}/unlink", {}, 409, "fault_not_applicable", None),
            ("POST", f"/phones/{ADA}/unlink", {"device": 3}, 404, "device_not_found", "device"),
            ("POST", "/groups", {"owner": BOB, "subject": "x"}, 404, "phone_not_found", "number"),
            ("POST", "/groups", {"owner": ADA, "subject": ""}, 422, "invalid_request", "subject"),
            ("POST", "/groups", {"owner": ADA, "subject": "x", "members": [BOB]}, 404, "phone_not_found", "members"),
            ("POST", "/faults", {"fault": "explode"}, 422, "unknown_fault", "fault"),
            ("POST", "/faults", {"fault": "drop", "number": ADA}, 409, "fault_not_applicable", None),
            ("POST", "/faults", {"fault": "ban", "number": BOB}, 404, "phone_not_found", "number"),
        ):
            answer = await program.call(method, path, body)
            assert (answer[0], answer[1]["code"], answer[1].get("field")) == (status, code, field), (method, path, body)
        assert program._http is not None
        async with program._http.post("/phones", data=b"{not json") as malformed:
            assert malformed.status == 400
            assert (await malformed.json(content_type=None))["code"] == "malformed_body"
            assert malformed.content_type == "application/problem+json"
        assert [phone["number"] for phone in (await program.get("/phones"))["phones"]] == [ADA]
        assert (await program.get("/faults"))["faults"] == []


def _stale_qr() -> str:
    key = base64.b64encode(bytes(32)).decode()
    return f"https://wa.me/settings/linked_devices#{'A' * 32},{key},{key},{key},1"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_everything_survives_the_end_of_the_sandbox(short_folder: Path, how: signal.Signals) -> None:
    """Nothing that anybody was told is lost: a session logs in again unpaired-for, reads what was kept, and ratchets go on."""
    async with Program(short_folder) as program:
        session = await program.paired("ada", ADA)
        await program.post("/phones", {"number": BOB, "name": "Bob"}, expect=201)
        group = await program.post("/groups", {"owner": BOB, "subject": "Lab", "members": [ADA]}, expect=201)
        await session.event("joined-group")
        await session.event(
            "message", id=(await program.post(f"/phones/{BOB}/messages", {"to": ADA, "text": "1"}))["id"]
        )
        await session.call("send", to=BOB, text="before")
        await session.call("send", to=group["id"], text="before, to all")
        # A message for a session that is away must wait on disk.
        await session.stop()
        await program.until_disconnected()
        kept = await program.post(f"/phones/{BOB}/messages", {"to": ADA, "text": "kept"})
        kept_group = await program.post(f"/phones/{BOB}/messages", {"to": group["id"], "text": "kept, to all"})
        await program.post("/faults", {"fault": "ban", "number": BOB, "seconds": 600})
        before = (await program.get(f"/phones/{BOB}/messages"))["messages"]
        assert [message["text"] for message in before] == ["before", "before, to all"]

        code = await program.end(how)
        assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
        await program.start()

        assert (await program.get(f"/phones/{BOB}/messages"))["messages"] == before
        assert [fault["fault"] for fault in (await program.get("/faults"))["faults"]] == ["ban"]
        again = await program.session("ada")
        await again.call("connect")
        await again.event("connected")
        assert (await again.event("message", id=kept["id"]))["text"] == "kept"
        assert (await again.wait(lambda e: e.get("id") == kept_group["id"] and e["text"]))["text"] == "kept, to all"
        await again.call("send", to=BOB, text="after")
        await again.call("send", to=group["id"], text="after, to all")
        after = (await program.get(f"/phones/{BOB}/messages", after=before[-1]["seq"], wait=10))["messages"]
        assert [message["text"] for message in after][:1] == ["after"]
        ident = (await program.post(f"/phones/{BOB}/messages", {"to": ADA, "text": "and back"}))["id"]
        assert (await again.event("message", id=ident))["text"] == "and back"
        assert not again.seen("undecryptable")
        assert (await program.get("/health"))["errors"] == []


async def test_a_connected_session_comes_back_by_itself_after_a_kill(short_folder: Path) -> None:
    async with Program(short_folder) as program:
        session = await program.paired("ada", ADA)
        await program.post("/phones", {"number": BOB}, expect=201)
        await session.call("send", to=BOB, text="one")
        mark = session.mark
        await program.end(signal.SIGKILL)
        await program.start()
        await session.event("connected", since=mark, timeout=30)
        ident = (await program.post(f"/phones/{BOB}/messages", {"to": ADA, "text": "two"}))["id"]
        assert (await session.event("message", id=ident))["text"] == "two"


async def test_when_its_state_cannot_be_written_it_says_so_and_ends(short_folder: Path) -> None:
    """Going on would tell people things that a restart forgets. Whoever supervises it starts it again."""

    def break_state() -> None:
        with contextlib.closing(sqlite3.connect(short_folder / "box" / "state.db", isolation_level=None)) as database:
            database.execute("DROP TABLE entry")

    async with Program(short_folder) as program:
        await program.post("/phones", {"number": ADA}, expect=201)
        await asyncio.to_thread(break_state)
        status, answer = await program.call("POST", "/phones", {"number": BOB})
        assert (status, answer["code"]) == (500, "sandbox_state_unusable")
        assert await program.ended() == SandboxStateUnusable().exit_code
        await program.start()
        assert (await program.get("/phones"))["phones"] == []


async def test_two_sandboxes_on_one_folder_are_refused(short_folder: Path) -> None:
    async with Program(short_folder) as program:
        second = await program.spawn()
        async with asyncio.timeout(20):
            assert await second.wait() == AlreadyRunning().exit_code
        assert "already_running" in (short_folder / "box.log").read_text()
        assert (await program.get("/health"))["status"] == "ok"


def test_it_dies_with_whoever_started_it(short_folder: Path) -> None:
    arguments = f"--folder {short_folder}/box --socket {short_folder}/c.sock --proxy-port 0"
    script = (
        f"exec 2>{short_folder}/log; {sys.executable} -m ecosystem.sandbox {arguments} & echo $!; read _; kill -9 $$"
    )
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        _until(lambda: (short_folder / "c.sock").exists())
        parent.stdin.write("\n")
        parent.stdin.flush()
        parent.wait(10)
    _until(lambda: not (short_folder / "c.sock").exists())
    _until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _until(condition: Callable[[], bool], timeout: float = 15.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_wrong_arguments_are_named(short_folder: Path) -> None:
    for arguments, named in (
        (["--folder", "x", "--socket", "y", "--proxy-port", "99999"], "--proxy-port"),
        (["--folder", "x", "--socket", "/" + "y" * 200, "--proxy-port", "0"], "--socket"),
        (["--folder", "x"], "--socket"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ecosystem.sandbox", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2
        assert named in done.stderr

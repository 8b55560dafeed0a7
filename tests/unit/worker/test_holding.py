"""What may be acknowledged when; the lines are those of the library's log."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pytest

from worker.engine import golib
from worker.engine.holding import Acknowledgements, Plaintexts, engine_database
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from pathlib import Path

LONG_S = 30.0


def line(text: str, name: str = "Client", level: str = "DEBUG") -> bytes:
    data: bytes = neonize.LogEntry(Message=text, Level=level, Name=name).SerializeToString()
    return data


def read(ident: str, parts: int = 1) -> bytes:
    enc = '<enc type="msg" v="2"><!-- 200 bytes --></enc>' * parts
    return line(f'<message from="1@lid" id="{ident}" notify="An id=&quot;X" t="1">{enc}</message>', "Client/Recv")


def receipt(ident: str, kind: str = ' type="inactive"') -> bytes:
    return line(f'<receipt id="{ident}" to="1@lid"{kind}/>', "Client/Send")


class Sending:
    """A thread of the library that is about to send."""

    def __init__(self, held: Acknowledgements, entry: bytes) -> None:
        self._thread = threading.Thread(target=held.logged, args=(entry,))
        self._thread.start()

    def is_held(self) -> bool:
        self._thread.join(0.2)
        return self._thread.is_alive()

    def goes_out(self) -> bool:
        self._thread.join(LONG_S)
        return not self._thread.is_alive()


@pytest.mark.parametrize("kind", ["", ' type="inactive"', ' type="sender"', ' type="peer_msg"'])
def test_a_receipt_waits_for_the_disk(kind: str) -> None:
    held = Acknowledgements(hold_s=LONG_S)
    held.logged(read("3A01"))
    sending = Sending(held, receipt("3A01", kind))
    assert sending.is_held()
    held.kept(b"something else")
    assert sending.is_held()
    held.kept(b"\x0a\x043A01 and more")
    assert sending.goes_out()


def test_every_part_of_a_message_counts() -> None:
    held = Acknowledgements(hold_s=LONG_S)
    held.logged(read("3A01", parts=2))
    sending = Sending(held, receipt("3A01"))
    held.kept(b"3A01: the key of the group")
    assert sending.is_held()
    held.kept(b"3A01: the text")
    assert sending.goes_out()


def test_what_has_no_event_is_not_waited_for() -> None:
    held = Acknowledgements(hold_s=LONG_S)
    held.logged(read("3A01"))
    held.logged(line("Ignoring message 3A01 from 1@lid: received message with old counter", level="WARN"))
    held.logged(receipt("3A01"))
    held.logged(receipt("never read"))
    held.logged(read("3A02", parts=3))
    held.logged(line("Error decrypting message 3A02 from 1@lid: no session", level="WARN"))
    held.logged(receipt("3A02", ' type="retry"'))
    sending = Sending(held, line('<ack class="message" id="3A02" to="1@lid"/>', "Client/Send"))
    assert sending.is_held()
    held.kept(b"3A02 cannot be read")
    assert sending.goes_out()
    held.logged(read("3A03"))
    held.logged(line('<ack class="message" error="487" id="3A03" to="1@lid"/>', "Client/Send"))


def test_no_more_is_read_than_a_few() -> None:
    held = Acknowledgements(at_once=2, hold_s=LONG_S)
    held.logged(read("3A01"))
    held.logged(read("3A02"))
    reading = Sending(held, read("3A03"))
    assert reading.is_held()
    held.logged(line('<iq id="7" type="result"/>', "Client/Recv"))
    held.kept(b"3A01")
    assert reading.goes_out()


def test_nothing_is_held_for_ever() -> None:
    held = Acknowledgements(at_once=1, hold_s=0.05)
    held.logged(read("3A01"))
    held.logged(read("3A02"))
    held.logged(receipt("3A01"))
    held.logged(receipt("3A02"))
    assert repr(held) == "<Acknowledgements, 0 messages under way>"


def test_the_installed_library_keeps_what_it_decrypted() -> None:
    data = bytearray(golib.library_path().read_bytes())
    before = bytes(data)
    assert golib.keep_decrypted(data)
    changed = [at for at, (one, other) in enumerate(zip(data, before, strict=True)) if one != other]
    assert len(changed) == 2
    assert not golib.keep_decrypted(data), "there was one such place"
    assert not golib.keep_decrypted(bytearray(b"\x7fELF of another kind"))


def test_what_was_decrypted_is_forgotten_later(tmp_path: Path) -> None:
    path = tmp_path / "whatsapp.db"
    now = int(time.time() * 1000)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE whatsmeow_event_buffer (insert_timestamp BIGINT)")
        db.executemany("INSERT INTO whatsmeow_event_buffer VALUES (?)", [(now - 120_000,), (now,)])

    def left() -> int:
        with sqlite3.connect(path) as db:
            return int(db.execute("SELECT count(*) FROM whatsmeow_event_buffer").fetchone()[0])

    fresh = Plaintexts(path, keep_s=60.0)
    fresh.forget_old()
    assert left() == 2, "nothing before it is known what comes again"
    due = Plaintexts(path, keep_s=60.0)
    due._since -= 61
    due.forget_old()
    assert left() == 1
    gone = Plaintexts(tmp_path / "none.db", keep_s=0.0)
    gone.forget_old()


def test_the_query_the_library_appends_does_no_harm(tmp_path: Path) -> None:
    """neonize opens `file:<this>?_foreign_keys=on`; the driver takes the query from the first question mark on."""
    told = f"file:{engine_database(tmp_path / 'whatsapp.db')}?_foreign_keys=on"
    path, _, query = told.removeprefix("file:").partition("?")
    assert path == str(tmp_path / "whatsapp.db")
    assert query.split("&")[:2] == ["_txlock=immediate", "_foreign_keys=on"]
    with sqlite3.connect(told, uri=True) as db:
        db.execute("CREATE TABLE t (x)")
    assert (tmp_path / "whatsapp.db").is_file()

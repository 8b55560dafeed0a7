"""What is mended in the installed library: the names settings leave under, and the test of a picture's length."""

from __future__ import annotations

import struct

import pytest

from ecosystem.contract.errors import AppStateNotReady, NotSupportedByEngine, WhatsAppRejected
from worker.engine import golib, mending
from worker.engine.natives import neonize
from worker.engine.operations import settings


@pytest.fixture(scope="module")
def library() -> bytes:
    return golib.library_path().read_bytes()


def test_the_place_is_found_once_and_the_names_are_the_right_ones(library: bytes) -> None:
    changed = bytearray(library)
    made = mending.settings(library)
    for at, code in made:
        changed[at : at + len(code)] = code
    assert len(made) == 7
    assert len(changed) == len(library)
    names = []
    for at, code in made:
        if len(code) == 4 and library[at - 3 : at] == b"\x48\x8d\x0d":  # lea
            start = at + 4 + struct.unpack("<i", code)[0]
            length = struct.unpack_from("<I", changed, at + 5)[0]
            names.append(library[start : start + length])
    assert names == [b"regular_low", b"regular_high"]
    assert mending.settings(changed) == [], "there was one such place"
    assert mending.settings(b"\x7fELF of another kind") == []


def test_the_test_of_a_picture_is_found_once(library: bytes) -> None:
    ((at, code),) = mending.pictures(library)
    changed = library[:at] + code + library[at + len(code) :]
    assert (library[at - 2 : at + 1], changed[at - 2 : at + 1]) == (b"\x48\x85\xff", b"\x48\x85\xf6")
    assert mending.pictures(changed) == []


class Sending:
    """A client whose SendAppState answers these errors, one after the other."""

    def __init__(self, *errors: str) -> None:
        self._errors = list(errors)
        self.patches: list[neonize.PatchInfo] = []

    def call(self, name: str, *arguments: bytes | str | int) -> bytes:
        assert name == "SendAppState"
        assert isinstance(arguments[0], bytes)
        self.patches.append(neonize.PatchInfo.FromString(arguments[0]))
        return self._errors.pop(0).encode()


MARK = settings.Mark("1@s.whatsapp.net", "3EB0", from_me=False, at_s=7, author=None)
CONFLICT = 'server returned error updating app state: <error code="409" text="conflict"/>'


def test_without_the_change_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golib, "is_mended", lambda _: False)
    client = Sending()
    with pytest.raises(NotSupportedByEngine):
        settings.star(client, MARK, True)  # type: ignore[arg-type]
    assert not client.patches


def test_a_conflict_is_tried_again_and_refusals_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golib, "is_mended", lambda _: True)
    monkeypatch.setattr(settings, "_PAUSE_S", 0.0)
    client = Sending(CONFLICT, "")
    settings.pin(client, "1@s.whatsapp.net", True)  # type: ignore[arg-type]
    assert [list(patch.Mutations[0].Index) for patch in client.patches] == [["pin_v1", "1@s.whatsapp.net"]] * 2
    with pytest.raises(WhatsAppRejected):
        settings.pin(Sending(CONFLICT, CONFLICT, CONFLICT), "1@s.whatsapp.net", True)  # type: ignore[arg-type]
    with pytest.raises(AppStateNotReady):
        settings.delete(Sending("no app state keys found, can't send app state patch"), MARK)  # type: ignore[arg-type]

"""Mends two mistakes in the library's machine code. What is changed, and whether it is there at all, is found by its shape.

Settings (pinned, archived, starred, deleted here) are sent under the name of their collection. neonize's SendAppState finds
that name by comparing pointers (`switch patchInfo.Type { case X.Enum(): …`), which are never the same: each change leaves
under an empty name and is refused. The three comparisons are turned into comparisons of the values they point at. Of the five
collections it only has branches for three, and none for the two that hold what we set: the first two branches become theirs.

Pictures of groups can be taken away. whatsmeow's SetGroupPhoto does that for nil, and neonize hands it an empty slice: the
test of the slice's address becomes one of its length.

Source: neonize `goneonize/utils/decoder.go` (DecodePatchInfo), `goneonize/main.go`; whatsmeow `appstate/keys.go`, `group.go`;
the machine code of 0.5.2 for x86-64.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    Code: TypeAlias = bytes | bytearray | mmap.mmap

Change: TypeAlias = tuple[int, bytes]
"""Where in the file, and what stands there from now on."""

REGULAR_LOW: Final = 3
REGULAR_HIGH: Final = 4
REGULAR: Final = 5
"""Numbers of a PatchInfo's Type that are understood afterwards."""


def _branch(number: int, length: int) -> bytes:
    """`if type == &number { name, length = …; goto done }`, with the name's place and the slot on the stack left open."""
    compared = rb"\xc7\x44\x24(.)" + re.escape(struct.pack("<I", number)) + rb"\x4c\x8d\x44\x24.\x4c\x39\xc2\x75\x0e"
    return compared + rb"\x48\x8d\x0d....\xba" + re.escape(struct.pack("<I", length)) + rb"\xeb."


_CODE: Final = re.compile(
    _branch(1, len("critical_block")) + _branch(2, len("critical_unblock_low")) + _branch(5, len("regular")), re.DOTALL
)
_BRANCH_BYTES: Final = 32
_COMPARISON_AT, _NAME_AT, _LENGTH_AT = 8, 18, 25
_NAME_END: Final = 25
"""`lea` counts from the end of its instruction."""
_BRANCHES: Final = ((REGULAR_LOW, b"regular_low"), (REGULAR_HIGH, b"regular_high"), (REGULAR, None))
"""What each branch is for afterwards; None: it keeps its name."""


_PICTURE: Final = re.compile(rb"\x48\x89\xbc\x24....\x48\x85(?P<test>\xff)\x75.\x31\xd2\x31\xf6\x66\x90\xe9", re.DOTALL)
"""`test %rdi, %rdi`, the address of the picture; its length is in %rsi."""
_TEST_LENGTH: Final = b"\xf6"


def settings(library: Code) -> list[Change]:
    """What is to be written into the library's file; nothing for one of another shape.

    Code and texts lie in the file as far from each other as in memory: `lea` needs no more than that.
    """
    found = list(_CODE.finditer(library))
    if len(found) != 1:
        return []
    made: list[Change] = []
    for place, (number, name) in enumerate(_BRANCHES):
        start = found[0].start() + place * _BRANCH_BYTES
        # cmpl $number, (%rdx); then nothing for five bytes
        made.append((start + _COMPARISON_AT, bytes((0x83, 0x3A, number, 0x0F, 0x1F, 0x44, 0x00, 0x00))))
        if name is not None:
            at = library.find(name)
            if at < 0:
                return []
            made.append((start + _NAME_AT + 3, struct.pack("<i", at - (start + _NAME_END))))
            made.append((start + _LENGTH_AT + 1, struct.pack("<I", len(name))))
    return made


def pictures(library: Code) -> list[Change]:
    """The same for pictures of groups."""
    found = list(_PICTURE.finditer(library))
    return [(found[0].start("test"), _TEST_LENGTH)] if len(found) == 1 else []


MENDS: Final[dict[str, Callable[[Code], list[Change]]]] = {"settings": settings, "pictures": pictures}
"""What is mended → how."""

"""Loads neonize's Go library, in the parent of many workers as far as that is possible without starting Go.

A Go runtime does not survive a fork, but the mapping of its library does. Two ways:

`mapped` (x86-64 ELF)   The parent maps and relocates a copy of the library whose last constructor, the start of the Go runtime,
                        is left out; each child calls that constructor itself. The relocated pages stay shared (2 MB a worker),
                        and the child hands Go an environment of its own.
`deferred` (anywhere)   The child loads the library as it is. Go then reads the environment the parent was executed with.

ELF constants: System V gABI, chapters 4 and 5; the constructor's arguments: Go's `_rt0_amd64_lib` (argc, argv as in C, followed
by the environment block).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import logging
import mmap
import os
import platform
import struct
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.engine import mending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

SUPPORTED: Final = "0.5.2"
"""The library's own version number that the binding was written for."""

GO_DEFAULTS: Final[dict[str, str]] = {
    "GOGC": "25",
    "GOMEMLIMIT": "16MiB",
    "GOMAXPROCS": "1",
    "NEONIZE_BOT_TAG": "off",
}
"""Go's collector and scheduler set for many small processes (one processor: 0.4 MB and two threads less); and no bot mark on
every private message, which the library adds by default."""

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_RELA, _DT_RELASZ, _DT_INIT_ARRAY, _DT_INIT_ARRAYSZ = 7, 8, 25, 27
_R_X86_64_RELATIVE: Final = 8
_JMP_REL32: Final = 0xE9
_JUMP_PAST_BUFFER: Final = bytes.fromhex("80b9a90000000074649090")
"""`cmpb $0, 0xa9(%rcx)`, `je +0x64`, and the padding after it."""
_JUMP_AT: Final = 7
_NOTHING: Final = bytes.fromhex("9090")


class Mode(StrEnum):
    """How far the parent got."""

    MAPPED = "mapped"
    DEFERRED = "deferred"


class GoLibraryError(RuntimeError):
    """The library cannot be loaded, or is not the one this program was written for."""


class _State:
    """What this process has loaded; there is one Go library in a process."""

    mode: Mode | None = None
    library: ctypes.CDLL | None = None
    constructor: int = 0
    after_load: Callable[[], None] | None = None
    started: bool = False
    kept: object = None
    mended: frozenset[str] = frozenset()


def library_path() -> Path:
    """The installed library of this machine's kind. Raises GoLibraryError."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or spec.origin is None:
        raise GoLibraryError("neonize is not installed")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    path = Path(spec.origin).parent / f"neonize-{platform.system().lower()}-{machine}.so"
    if not path.is_file():
        raise GoLibraryError(f"there is no {path}")
    return path


def prepare(cache: Path, after_load: Callable[[], None] | None = None, *, wanted: Mode = Mode.MAPPED) -> Mode:
    """In the parent, once: maps the library if that can be done without starting Go; what was done.

    `cache` is a folder of ours for the changed copy. `after_load` runs when the library is mapped: now, or in each child.
    """
    if _State.mode is not None:
        raise GoLibraryError("the Go library was prepared already")
    _State.after_load = after_load
    if wanted is Mode.MAPPED:
        try:
            _map(cache)
        except (GoLibraryError, OSError, struct.error) as error:
            log.warning("golib_deferred", extra={"reason": str(error)})
        else:
            _State.mode = Mode.MAPPED
            if after_load is not None:
                after_load()
            return Mode.MAPPED
    _State.mode = Mode.DEFERRED
    return Mode.DEFERRED


def start(environ: Mapping[str, str]) -> ctypes.CDLL:
    """In the process that uses it, once: the running library. `environ` is what Go sees, as far as the way of loading allows.

    Raises GoLibraryError.
    """
    if _State.started:
        raise GoLibraryError("the Go runtime runs already")
    _State.started = True
    if _State.mode is Mode.MAPPED and _State.library is not None:
        _construct({**GO_DEFAULTS, **environ})
    else:
        _State.library = _load(library_path())
        _State.mended = _mend_loaded(library_path())
        if _State.after_load is not None:
            _State.after_load()
    library = _State.library
    library.GetVersion.restype = ctypes.c_char_p
    version = (library.GetVersion() or b"").decode("ascii", "replace")
    if version != SUPPORTED:
        raise GoLibraryError(f"the Go library is version {version}, this program needs {SUPPORTED}")
    return library


def mode() -> Mode | None:
    """What `prepare` did; None before it."""
    return _State.mode


def is_mended(what: str) -> bool:
    """Whether one of the mistakes in mending.MENDS is mended in the library of this process."""
    return what in _State.mended


def _mend_loaded(path: Path) -> frozenset[str]:
    """Mends the loaded library, writing over pages that are protected; what was mended."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return frozenset()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            made = _mends(data)
            loads, _ = _segments(data)
        base = _base(path)
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            for at, code in (change for changes in made.values() for change in changes):
                os.pwrite(memory.fileno(), code, base + _address(loads, at))
    except (GoLibraryError, OSError) as error:
        log.warning("golib_not_mended", extra={"reason": str(error)})
        return frozenset()
    return frozenset(made)


def _mends(data: bytes | bytearray | mmap.mmap) -> dict[str, list[mending.Change]]:
    """What can be mended → the changes for it."""
    found = {what: find(data) for what, find in mending.MENDS.items()}
    for what in (what for what, changes in found.items() if not changes):
        log.warning("golib_not_mended", extra={"reason": f"the place for {what} was not found"})
    return {what: changes for what, changes in found.items() if changes}


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise GoLibraryError(f"{path} cannot be loaded: {error}") from error


def _map(cache: Path) -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise GoLibraryError(f"no known way to load it without starting Go on {platform.system()} {platform.machine()}")
    source = library_path()
    data = source.read_bytes()
    offset, patched = without_go_start(data)
    if not keep_decrypted(patched):
        log.warning("golib_unprotected", extra={"reason": "the place where decrypted messages are kept was not found"})
    made = _mends(patched)
    for at, code in (change for changes in made.values() for change in changes):
        patched[at : at + len(code)] = code
    _State.mended = frozenset(made)
    # Named by content, so that a newer library never meets the copy of an older one; "neonize-" first, for whoever looks it
    # up among the mappings.
    target = cache / f"neonize-{hashlib.sha256(patched).hexdigest()[:20]}.so"
    if not target.is_file() or target.stat().st_size != len(patched):
        _write(target, patched)
    _State.library = _load(target)
    _State.constructor = _base(target) + offset


def _write(target: Path, data: bytes | bytearray) -> None:
    """Whole or not at all, under a name of its own meanwhile: several parents may do this at the same moment."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=target.name, suffix=".new", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o700)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def without_go_start(data: bytes) -> tuple[int, bytearray]:
    """The library with its last constructor dropped, and that constructor's address relative to the load address.

    Raises GoLibraryError unless the file is laid out exactly as known: two constructors, the second a jump stub.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise GoLibraryError("the library is no 64-bit little-endian ELF file")
    loads, dynamic = _segments(data)
    tags = _dynamic(data, dynamic)
    if missing := {_DT_RELA, _DT_RELASZ, _DT_INIT_ARRAY, _DT_INIT_ARRAYSZ} - tags.keys():
        raise GoLibraryError(f"the library's dynamic section lacks {sorted(missing)}")
    array, (size, size_at) = tags[_DT_INIT_ARRAY][0], tags[_DT_INIT_ARRAYSZ]
    if size != 16:
        raise GoLibraryError(f"the library has {size // 8} constructors, expected 2")
    rela = _file_offset(loads, tags[_DT_RELA][0])
    entry = _relative_addend(data, rela, tags[_DT_RELASZ][0], array + 8)
    if data[_file_offset(loads, entry)] != _JMP_REL32:
        raise GoLibraryError("the library's last constructor is not the start of Go")
    patched = bytearray(data)
    struct.pack_into("<Q", patched, size_at, 8)
    return entry, patched


def keep_decrypted(data: bytearray) -> bool:
    """Turns on that what was decrypted is kept, in the transaction that uses up its key; False in a library of another shape.

    whatsmeow has it as EnableDecryptedEventBuffer, a field of its client to which neonize gives no access. The one jump past it,
    in bufferedDecrypt, becomes nothing. The other place that asks for the field, where it would be deleted as soon as it lies
    in memory, stays as it is.
    """
    at = data.find(_JUMP_PAST_BUFFER)
    if at < 0 or data.find(_JUMP_PAST_BUFFER, at + 1) >= 0:
        return False
    data[at + _JUMP_AT : at + _JUMP_AT + len(_NOTHING)] = _NOTHING
    return True


def _segments(data: bytes | mmap.mmap) -> tuple[list[tuple[int, int, int]], tuple[int, int]]:
    """(address, file offset, size in the file) of what is loaded, and (file offset, size) of the dynamic section."""
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for number in range(count):
        kind, _, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + number * entry_size)
        if kind == _PT_LOAD:
            loads.append((address, offset, size))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, size)
    if dynamic is None:
        raise GoLibraryError("the library has no dynamic section")
    return loads, dynamic


def _dynamic(data: bytes, section: tuple[int, int]) -> dict[int, tuple[int, int]]:
    """Tag → (value, file offset of the value)."""
    tags: dict[int, tuple[int, int]] = {}
    for offset in range(section[0], sum(section), 16):
        tag, value = struct.unpack_from("<qQ", data, offset)
        if tag == 0:
            break
        tags[tag] = (value, offset + 8)
    return tags


def _file_offset(loads: list[tuple[int, int, int]], address: int) -> int:
    for start, offset, size in loads:
        if start <= address < start + size:
            return offset + address - start
    raise GoLibraryError(f"address {address:#x} is not in the library's file")


def _address(loads: list[tuple[int, int, int]], offset: int) -> int:
    for start, at, size in loads:
        if at <= offset < at + size:
            return start + offset - at
    raise GoLibraryError(f"nothing of the library's file at {offset:#x} is loaded")


def _relative_addend(data: bytes, table: int, size: int, place: int) -> int:
    """What the loader would write at `place`: the constructor's address."""
    for offset in range(table, table + size, 24):
        where, info, addend = struct.unpack_from("<QQq", data, offset)
        if where == place and info & 0xFFFFFFFF == _R_X86_64_RELATIVE:
            return int(addend)
    raise GoLibraryError("the library's last constructor has no relocation")


def _base(path: Path) -> int:
    """Where the loader put the file's first page."""
    real = str(path.resolve())
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == real and fields[2] == "00000000":
            return int(fields[0].partition("-")[0], 16)
    raise GoLibraryError(f"{path} is not among this process's mappings")


def _construct(environ: Mapping[str, str]) -> None:
    """Calls the left-out constructor with an argument block as the kernel builds it: argv, NULL, envp, NULL, AT_NULL.

    The empty auxiliary vector makes Go read /proc/self/auxv. Go keeps pointers into the block, so it must live for ever.
    """
    words: list[bytes | None] = [b"worker", None, *(f"{k}={v}".encode() for k, v in environ.items()), None]
    block = (ctypes.c_void_p * (len(words) + 2))()
    texts: list[ctypes.Array[ctypes.c_char]] = []
    for position, word in enumerate(words):
        if word is not None:
            text = ctypes.create_string_buffer(word)
            texts.append(text)
            block[position] = ctypes.addressof(text)
    _State.kept = (block, texts)
    constructor = ctypes.CFUNCTYPE(None, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)(_State.constructor)
    constructor(1, ctypes.addressof(block), 0)

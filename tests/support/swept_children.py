"""A program: seals a heap of known content, forks children that use it hard while they sweep, and tells what each found.

`python -m tests.support.swept_children CHILDREN CHANGES`; JSON on stdout. A child's main thread sweeps, changes the heap by a
plan it can check, and collects garbage; its other threads allocate, read from sockets and files, wait in epoll, hash, and ask
SQLite, all of which let the GIL go.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import select
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import weakref
from typing import Any, Final

from ecosystem import pages

SIZE: Final = 4000
IMMORTAL: Final = 1 << 40 if sys.version_info < (3, 12) else 0


class Node:
    """An object of a class, with neighbours in a circle."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"node {number}"
        self.next: Node | None = None


class Slotted:
    """One without a dict."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


def heap() -> dict[str, Any]:
    """Objects of every kind and of small and large sizes."""
    nodes = [Node(number) for number in range(SIZE)]
    for one, other in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        one.next = other
    slotted = [Slotted(number) for number in range(SIZE)]
    return {
        "nodes": nodes,
        "slotted": slotted,
        "refs": [weakref.ref(each) for each in slotted],
        "texts": [f"text {number} " * (number % 40) for number in range(SIZE)],
        "numbers": [10**9 + number for number in range(SIZE)],
        "tuples": [(number, str(number), float(number)) for number in range(SIZE)],
        "dicts": [{f"k{key}": number * key for key in range(number % 30)} for number in range(SIZE)],
        "sets": [set(range(number, number + number % 50)) for number in range(SIZE // 4)],
        "functions": [_function(number) for number in range(SIZE // 4)],
        "buffers": [bytearray(b"%d" % number * (number % 90)) for number in range(SIZE // 4)],
    }


def _function(number: int) -> Any:
    return lambda more, number=number: (number, more, SIZE)


def digest(found: dict[str, Any]) -> str:
    """Of everything that can be reached; reads all of it, so counts all of it."""
    told = hashlib.sha256()
    for node in found["nodes"]:
        told.update(f"{node.number}{node.name}{node.next.number}".encode())
    for ref in found["refs"]:
        told.update(str(ref().number if ref() is not None else None).encode())
    for kind in ("texts", "numbers", "tuples", "dicts"):
        told.update(repr(found[kind]).encode())
    told.update(repr([sorted(each) for each in found["sets"]]).encode())
    told.update(repr([each(1) for each in found["functions"]]).encode())
    told.update(repr(found["buffers"]).encode())
    return told.hexdigest()


def change(found: dict[str, Any], plan: random.Random) -> None:
    """One change; what is replaced would be freed, were it not of the sealed heap."""
    at = plan.randrange(SIZE)
    match plan.randrange(9):
        case 0:
            found["nodes"][at].name = f"renamed {at}"
        case 1:
            found["texts"][at] = f"{at}" * (at % 500)
        case 2:
            found["dicts"][at][f"new{plan.randrange(20)}"] = at
        case 3:
            found["dicts"][at].pop("k1", None)
        case 4:
            found["tuples"][at] = (at,)
        case 5:
            found["sets"][at // 4].add(plan.randrange(10**6))
        case 6:
            found["slotted"][at] = found["slotted"][at - 1]
        case 7:
            found["buffers"][at // 4].extend(b"x" * (at % 700))
        case 8:
            found["nodes"][at] = node = Node(at)
            node.next = found["nodes"][at - 1]


def plain(number: int, steps: int, *, swept: bool) -> tuple[str, int]:
    """The digest after so many changes of a child's plan, and bytes given back meanwhile."""
    plan, given = random.Random(number), 0  # noqa: S311 -- a plan, not a secret
    for step in range(steps):
        change(HEAP, plan)
        if swept and step % 10 == 0:
            given += pages.sweep()
        if step % 200 == 0:
            gc.collect()
            digest(HEAP)
    return digest(HEAP), given


class Hammer:
    """Threads that fill buffers without the GIL, and check what came."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.faults: list[str] = []
        self.rounds = 0
        works = (self._talk, self._read, self._ask, self._hash, self._make)
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works * 2]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Waits for them."""
        self.over.set()
        for thread in self._threads:
            thread.join(30)

    def _guarded(self, work: Any) -> None:
        try:
            while not self.over.is_set():
                work()
                self.rounds += 1
        except BaseException as error:
            self.faults.append(repr(error))

    def _expect(self, got: object, wanted: object) -> None:
        if got != wanted:
            self.faults.append(f"{got!r} instead of {wanted!r}"[:200])

    def _talk(self) -> None:
        one, other = socket.socketpair()
        with one, other, select.epoll() as poll:
            poll.register(other, select.EPOLLIN)
            late = threading.Timer(0.002, one.sendall, (b"0123456789" * 20,))
            late.start()
            self._expect(poll.poll(10, 1 + len(self.faults)), [(other.fileno(), select.EPOLLIN)])
            # Small: the bytes lie among Python's objects, and the kernel fills them while nobody holds the GIL.
            self._expect(other.recv(100, socket.MSG_WAITALL), b"0123456789" * 10)
            room = bytearray(100)
            other.recv_into(room, 100, socket.MSG_WAITALL)
            self._expect(bytes(room), b"0123456789" * 10)
            late.join()

    def _read(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(b"abc" * 50)
            for size in (7, 30, 150):
                self._expect(os.pread(file.fileno(), size, 0), (b"abc" * 50)[:size])

    def _ask(self) -> None:
        with sqlite3.connect(":memory:") as db:
            db.execute("CREATE TABLE t (a, b)")
            db.executemany("INSERT INTO t VALUES (?, ?)", ((number, str(number)) for number in range(300)))
            self._expect(db.execute("SELECT sum(a), max(length(b)) FROM t").fetchone(), (44850, 3))
        db.close()

    def _hash(self) -> None:
        state = hashlib.blake2b(digest_size=8)
        for _ in range(20):
            state.update(b"z" * 4096)
        self._expect(state.hexdigest(), _HASHED)

    def _make(self) -> None:
        kept = [{"a": [number, str(number)], "b": (number,)} for number in range(2000)]
        self._expect(sum(each["a"][0] for each in kept), 1999000)  # type: ignore[misc]


def child(number: int, steps: int, write: int) -> None:
    """Changes, sweeps and checks; then the same changes once more without threads would lead to the same: the parent compares."""
    hammer = Hammer()
    known = HEAP["texts"][17], HEAP["tuples"][18], Node
    before = [sys.getrefcount(each) for each in known]
    found, given = plain(number, steps, swept=True)
    hammer.end()
    pages.sweep()
    after = [sys.getrefcount(each) for each in known]
    # Counts differ by what refers to an object at most; nobody is near the end of its life.
    drift = max(abs(one - other) for one, other in zip(before, after, strict=True))
    told = {
        "digest": found, "again": digest(HEAP), "given": given, "faults": hammer.faults, "rounds": hammer.rounds,
        "drift": drift, "least": min(after), "garbage": len(gc.garbage),
    }  # fmt: skip
    os.write(write, json.dumps(told).encode())


def forked(work: Any, *arguments: Any) -> Any:
    """What `work(*arguments, descriptor)` wrote, in a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            work(*arguments, write)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(text) if status == 0 else {"status": status}


def expected(number: int, steps: int, write: int) -> None:
    """The digest of a child that never swept and had no threads."""
    os.write(write, json.dumps(plain(number, steps, swept=False)[0]).encode())


_HASHED: Final = hashlib.blake2b(b"z" * 4096 * 20, digest_size=8).hexdigest()
HEAP: Final[dict[str, Any]] = {}


def main(children: int, steps: int) -> None:
    """Children one after another: memory is what is tried, not the processors."""
    HEAP.update(heap())
    gc.collect()
    gc.disable()
    sealed = pages.seal()
    gc.enable()
    began = time.monotonic()
    found = [
        {"wanted": forked(expected, number, steps)} | forked(child, number, steps)
        for number in range(children)
    ]  # fmt: skip
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"sealed": sealed, "untouched": pages.sweep() >= 0, "seconds": seconds, "children": found}))  # noqa: T201


if __name__ == "__main__":
    pages.start_over()
    main(int(sys.argv[1]), int(sys.argv[2]))

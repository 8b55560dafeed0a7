"""The holes of a heap, filled: what is allocated afterwards lies on pages that were not in use."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import ctypes, json, random
from ecosystem.supervisord import heap
made = [bytes(random.randrange(1, 480)) for _ in range(200_000)]
random.shuffle(made)
del made[::2]
large = [bytearray(random.randrange(600, 20_000)) for _ in range(4000)]
random.shuffle(large)
del large[::2]
before = sum(size * count for size, count in heap.free_blocks().items())
info = ctypes.CDLL(None).mallinfo2
info.restype = heap._Info
def holes():
    found = info()
    return found.fordblks - found.keepcost
large_before = holes()
heap.fill_holes()
after = sum(size * count for size, count in heap.free_blocks().items())
print(json.dumps([before, after, large_before, holes(), sum(map(len, made)), sum(map(len, large))]))
"""


def test_holes_of_both_allocators_are_filled() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    before, after, large_before, large_after, *_ = json.loads(done.stdout)
    assert before > 5_000_000
    assert after < before / 20
    assert large_before > 5_000_000
    assert large_after < large_before / 5

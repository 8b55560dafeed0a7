"""The machine: processor, memory and disks, and how much of the disk the instance takes. Everything here blocks."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from ecosystem.contract.operations import DiskUse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WALK_EVERY_S: Final = 300.0
"""Walking the sessions' folders takes time: not at every look."""


class MachineUse(msgspec.Struct, frozen=True):
    """The machine at one moment. `cpu_percent` is of all processors together, since the look before."""

    cpu_percent: float
    load: tuple[float, float, float]
    memory_total_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    uptime_s: float
    disks: list[DiskUse]
    logs_bytes: int
    storage_bytes: int


class Machine:
    """`folders`: where the instance writes. Use in one thread at a time."""

    def __init__(self, *, home: Path, logs: Path, storage: Path) -> None:
        self._home = home
        self._logs = logs
        self._storage = storage
        self._walked_at = float("-inf")
        self._sizes = (0, 0)
        psutil.cpu_percent(interval=None)  # the first look has nothing to compare with

    def look(self) -> MachineUse:
        """Measures."""
        memory = psutil.virtual_memory()
        if time.monotonic() - self._walked_at >= WALK_EVERY_S:
            self._sizes = size_of(self._logs), size_of(self._storage)
            self._walked_at = time.monotonic()
        return MachineUse(
            cpu_percent=psutil.cpu_percent(interval=None),
            load=os.getloadavg(),
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            swap_used_bytes=psutil.swap_memory().used,
            uptime_s=round(time.time() - psutil.boot_time(), 1),
            disks=list(_disks((self._home, self._logs, self._storage))),
            logs_bytes=self._sizes[0],
            storage_bytes=self._sizes[1],
        )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; what goes away meanwhile does not count."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 -- thousands of files
            except OSError:
                continue
    return total


def _disks(folders: Iterable[Path]) -> Iterable[DiskUse]:
    """The file systems the folders lie on, each once."""
    seen = set()
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            use = psutil.disk_usage(str(there))
            yield DiskUse(str(there), use.total, use.free, use.percent)

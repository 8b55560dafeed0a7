"""What the fault table does to a machine rather than to WhatsApp: a full disk, a clock that jumps, a leak, a proxy.

Each needs something of its machine (root, gcc, gdb); what is missing is said when it is asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Final

from tests.e2e.instance import COMMAND, REPOSITORY, Instance

if TYPE_CHECKING:
    from pathlib import Path

SMALL_DISK: Final = "48m"
HELD_MB: Final = 64
"""What a leak takes at most."""


def need(program: str) -> str:
    """Where a program is. Raises AssertionError where it is not installed."""
    found = shutil.which(program)
    assert found is not None, f"this row needs {program}"
    return found


class SmallDisk:
    """A small file system of its own over a folder that nobody uses meanwhile; what lay there is there still."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name(f"{folder.name}.aside")
        self._filler = folder / "filler"

    def mount(self) -> None:
        """Raises AssertionError for anybody but root."""
        assert os.geteuid() == 0, "this row mounts a file system: it needs root"
        shutil.copytree(self._folder, self._aside)
        options = f"size={SMALL_DISK},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "zv-small", self._folder], check=True)
        shutil.copytree(self._aside, self._folder, dirs_exist_ok=True)
        self._folder.chmod(0o700)

    def fill(self) -> None:
        """To the last byte."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """The folder as it is now, on the disk it was on."""
        self.make_room()
        shutil.rmtree(self._aside)
        shutil.copytree(self._folder, self._aside)
        subprocess.run(["umount", self._folder], check=True)
        shutil.copytree(self._aside, self._folder, dirs_exist_ok=True)
        shutil.rmtree(self._aside)

    def end(self) -> None:
        """Whatever happened: nothing stays mounted."""
        if self._folder.is_mount():
            subprocess.run(["umount", "--lazy", self._folder], check=True)


_CLOCK: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
    static volatile long *found;
    if (!found) {
        int file = open(OFFSET_FILE, O_RDONLY | O_CLOEXEC);
        if (file < 0) return 0;
        void *page = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (page == MAP_FAILED) return 0;
        found = page;
    }
    return *found;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
    return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class ShiftedInstance(Instance):
    """An instance whose clock on the wall can jump; the machine's own stays as it is, and so do monotonic clocks.

    Its programs run in a mount namespace of their own, in which every program loads a clock of ours. The Go library inside
    the workers asks the kernel itself and notices nothing of a jump.
    """

    def __init__(self, *, sandbox: bool = True, **settings: str) -> None:
        assert os.geteuid() == 0, "a clock of its own needs root"
        super().__init__(sandbox=sandbox, **settings)
        self._offset = self.root / "clock.offset"
        self._offset.write_bytes(bytes(4096))
        self._offset.chmod(0o644)
        source, self._library = self.root / "clock.c", self.root / "clock.so"
        source.write_text(_CLOCK)
        where = f'-DOFFSET_FILE="{self._offset}"'
        subprocess.run([need("gcc"), "-shared", "-fPIC", "-O1", where, "-o", self._library, source, "-ldl"], check=True)
        self._library.chmod(0o755)

    def up(self) -> None:
        upper, work = self.root / "etc", self.root / "etc.work"
        for folder in (upper, work):
            folder.mkdir(exist_ok=True, mode=0o755)
        (upper / "ld.so.preload").write_text(f"{self._library}\n")
        (upper / "ld.so.preload").chmod(0o644)
        script = f'mount -t overlay overlay -o lowerdir=/etc,upperdir={upper},workdir={work} /etc && exec "$@"'
        command = [str(COMMAND), "up", "--detach", *(["--sandbox"] if self.sandbox else [])]
        subprocess.run(
            [need("unshare"), "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *command],
            env=self.environ,
            cwd=self.root,
            check=True,
            capture_output=True,
            timeout=180,
        )

    def jump(self, seconds: int) -> None:
        """From now on the instance's clock is that far from the machine's."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=l" if ctypes.sizeof(ctypes.c_long) == 4 else "=q", seconds))


_LEAK: Final = (
    "import threading,time\\n"
    "def leak():\\n"
    " held=[]\\n"
    f" while len(held)<{HELD_MB}: held.append(b'x'*(1<<20)); time.sleep(0.2)\\n"
    " time.sleep(600)\\n"
    "threading.Thread(target=leak,daemon=True).start()"
)


def leak(pid: int) -> None:
    """A worker that takes 5 MiB more every second, up to a bound."""
    calls = (
        "set $gil = ((int(*)())PyGILState_Ensure)()",
        f'call ((int(*)(char*))PyRun_SimpleString)("{_LEAK}")',
        "call ((void(*)(int))PyGILState_Release)($gil)",
    )
    words = [word for call in calls for word in ("-ex", call)]
    done = subprocess.run(
        [need("gdb"), "-nx", "-batch", "-p", str(pid), *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        check=False,
    )
    assert "= 0" in done.stdout, (done.stdout + done.stderr)[-500:]

"""The engine's own database, asked while the engine runs: always in another process.

The library brings an SQLite of its own. Two copies of SQLite in one process cannot see each other's locks, and a file closed by
one loses the locks of the other: what the engine wrote would be gone at the next death of the process, ratchets among it.
Source: https://sqlite.org/howtocorrupt.html, sections 2.2 and 2.2.1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMEOUT_S: Final = 20.0
_SCRIPT: Final = """
import json, sqlite3, sys
path, busy_s, statement, values = json.load(sys.stdin)
db = sqlite3.connect(path, timeout=busy_s)
with db:
    row = db.execute(statement, [bytes.fromhex(value[1:]) if isinstance(value, str) else value for value in values]).fetchone()
json.dump(row, sys.stdout)
db.close()
"""


class EngineFileError(OSError):
    """The engine's database could not be asked."""


def first_row(
    database: Path, statement: str, values: Sequence[bytes | int] = (), *, busy_s: float = 5.0
) -> list[str | int | None] | None:
    """The first row of one statement, committed; None without one. Blocks some 30 ms, or as long as the engine writes, at most
    `busy_s`. Raises EngineFileError.
    """
    asked = [str(database), busy_s, statement, [f"x{v.hex()}" if isinstance(v, bytes) else v for v in values]]
    try:
        done = subprocess.run(
            # Over standard input: arguments can be read by everybody on the machine.
            [sys.executable, "-I", "-S", "-c", _SCRIPT],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineFileError(f"the engine's database could not be asked: {type(error).__name__}") from None
    if done.returncode:
        raise EngineFileError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "no answer")
    row: list[str | int | None] | None = json.loads(done.stdout)
    return row

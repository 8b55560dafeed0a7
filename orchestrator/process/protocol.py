"""The seam to whatever runs the workers. Only `orchestrator.main` knows which backend it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from ecosystem.contract.worker import WorkerProcess, WorkerSpec


class Capabilities(msgspec.Struct, frozen=True):
    """What a backend does by itself, so that nobody has to ask for its class."""

    assigns_address: bool = False
    """It decides where a worker listens: no port is leased."""
    restarts_crashed: bool = True
    """A death is repaired at once, without being asked."""
    shares_memory: bool = True


class Program(msgspec.Struct, frozen=True):
    """One supervised process; `state` is the backend's own word. `session_id`: the session whose worker it is, if any."""

    name: str
    state: str
    pid: int | None
    uptime_s: float
    description: str = ""
    session_id: str | None = None


class ProcessManager(Protocol):
    """Runs workers. Every method is idempotent, bounded in time, and raises BackendDown when the backend cannot be reached."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def can_start(self) -> bool:
        """Whether `start` would find all it needs now. Where nobody knows: yes, `start` will tell."""
        ...

    async def start(self, spec: WorkerSpec) -> WorkerProcess | None:
        """Starts a worker, and returns it where the backend knows it already.

        Legal at any time. Nothing happens when that generation runs already. When the session has a process that is not running,
        its specification is replaced. Raises IllegalAction while another generation of it runs.
        """
        ...

    async def stop(self, session_id: str, *, grace: float) -> None:
        """Asks a worker to end and returns at once; after `grace` seconds it is killed. Unknown or ended: nothing happens."""
        ...

    async def remove(self, session_id: str) -> None:
        """Forgets a session without a running process. Running: nothing happens. Unknown: nothing happens."""
        ...

    async def signal(self, session_id: str, name: str) -> None:
        """Sends a running worker a signal by its short name (`HUP`). Raises IllegalAction where none runs."""
        ...

    async def clear_log(self, session_id: str) -> None:
        """Empties a worker's log, rotated parts included."""
        ...

    async def renew_code(self) -> None:
        """Workers started from now on have the code that is installed now; running ones keep theirs."""
        ...

    async def programs(self) -> list[Program]:
        """The other processes of the instance."""
        ...

    async def everything(self) -> Sequence[Program]:
        """`programs` and the workers, as the backend itself calls their states, in one round trip."""
        ...

    async def list(self) -> Mapping[str, WorkerProcess]:
        """Every worker the backend knows, those we did not start included, in one round trip."""
        ...

    def logs(self, session_id: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        """The last `tail` lines of a worker's log and, with `follow`, each new one. Ends of lines included."""
        ...

    def program_logs(self, name: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        """The same for one of `programs`; an unknown name has an empty log."""
        ...

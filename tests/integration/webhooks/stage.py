"""A running orchestrator beside a rig on the same database and Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.webhooks.rig import Rig
    from tests.support.orchestrated import Orchestrated


class Stage:
    """An orchestrator, and a rig on the same database and Redis for the workers and the events."""

    def __init__(self, zap: Orchestrated, rig: Rig) -> None:
        self.zap = zap
        self.rig = rig

    async def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """The body of the answer, which must have this status."""
        answer = await self.zap.http(method, path, body)
        assert answer.status == status, answer
        return answer.body

    async def refusal(self, method: str, path: str, body: object = None, status: int = 422) -> tuple[str, str | None]:
        """Code and field of the refusal."""
        answer = await self.ask(method, path, body, status)
        return answer["code"], answer.get("field")

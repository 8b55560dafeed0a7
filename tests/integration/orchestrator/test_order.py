"""In which order a request is looked at: recovery, CORS, log, key, limits, session. Each stage is seen by what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import pytest

    from tests.support.orchestrated import Orchestrated

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]

SITE = "https://crm.example"


def answers(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the access log says, in order."""
    return [vars(record) for record in caplog.records if record.getMessage() == "http_answer"]


async def test_the_order(
    orchestrated: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")

    async def broken(*_: object) -> None:
        raise RuntimeError("the text of a bug")

    async with orchestrated(cors_origins=SITE, rate_limit_key_requests=2) as zap:
        await zap.create("alpha")
        await zap.create("beta")
        made = await zap.http("POST", "/keys", {"name": "k", "session_id": "beta", "scopes": ["read"]})
        key = made.body["api_key"]
        caplog.clear()

        asking = {"Origin": SITE, "Access-Control-Request-Method": "GET"}
        preflight = await zap.http("OPTIONS", "/sessions/alpha", key=None, headers=asking)
        assert preflight.status == 204, "CORS comes before keys"
        assert preflight.headers["Access-Control-Allow-Origin"] == SITE

        for _ in range(5):
            unknown = await zap.http("GET", "/sessions/alpha", key="no-such-key-anywhere", headers={"Origin": SITE})
            assert unknown.status == 401, "keys come before limits: whoever has none uses up nobody's"
            assert unknown.headers["Access-Control-Allow-Origin"] == SITE

        seen = [(await zap.http("GET", "/sessions/alpha", key=key)).status for _ in range(3)]
        assert seen == [403, 403, 429], "limits come before the session: even refused questions are counted"

        monkeypatch.setattr(zap.zap.sessions, "page", broken)
        failed = await zap.http("GET", "/sessions", headers={"Origin": SITE})
        assert (failed.status, failed.body["code"]) == (500, "internal"), "recovery is around everything"
        assert "the text of a bug" not in str(failed.body)
        assert failed.headers["Access-Control-Allow-Origin"] == SITE

        logged = [(line["status"], line["key"]) for line in answers(caplog)]
        assert logged == [
            (204, None), *[(401, None)] * 5, (403, "session"), (403, "session"), (429, "session"), (500, "admin"),
        ]  # fmt: skip
        for line in answers(caplog):
            assert line["request_id"]
            assert line["ms"] >= 0

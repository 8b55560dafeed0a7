"""`zapvisor key …` and `zapvisor audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.api_stand_in import ApiStandIn, Reply

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Zap

ID = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"


def key(**changes: Any) -> dict[str, Any]:
    """A key as the API shows it."""
    return {
        "id": ID, "session_id": "alpha", "name": "crm", "scopes": ["read", "send"], "status": "active",
        "prefix": "zpv_0123", "created_at": "2026-01-02T03:04:05Z", "created_by": "admin", "expires_at": None,
        "last_used_at": None, "revoked_at": None, **changes,
    }  # fmt: skip


def test_a_key_is_created_and_shown_once(api: ApiStandIn, zap: Zap) -> None:
    api.on("POST /keys", Reply(201, key(api_key="zpv_secret-of-the-test")))
    told = zap("key", "create", "crm", "--session", "alpha", "--scope", "read", "--scope", "send", "--days", "2")
    assert told.code == 0
    assert told.out == "zpv_secret-of-the-test\n"
    assert "not shown again" in told.err
    assert api.asked[-1].body == {
        "name": "crm", "session_id": "alpha", "scopes": ["read", "send"], "expires_at": None, "expires_in_s": 172800.0,
    }  # fmt: skip
    assert zap("key", "create", "crm", "-q").out == "zpv_secret-of-the-test\n"
    assert api.asked[-1].body["scopes"] is None
    assert zap("key", "create", "crm", "--scope", "everything").code == 2


def test_keys_are_listed_without_the_keys(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /keys", Reply(200, {"keys": [key()]}))
    api.on("GET /sessions/alpha/keys", Reply(200, {"keys": []}))
    told = zap("key", "list")
    assert told.code == 0
    assert "crm" in told.out
    assert zap("key", "list", "-q").out == f"{ID}\n"
    assert zap("key", "list", "--session", "alpha").code == 0
    assert api.asked[-1].path == "/sessions/alpha/keys"


def test_rotate_and_revoke(api: ApiStandIn, zap: Zap) -> None:
    api.on(f"POST /keys/{ID}/rotate", Reply(201, key(api_key="zpv_new")))
    api.on(f"DELETE /keys/{ID}", Reply(200, key(status="revoked")))
    assert zap("key", "rotate", ID, "--overlap", "60").out == "zpv_new\n"
    assert api.asked[-1].body == {"overlap_s": 60.0}
    assert zap("key", "revoke", ID, "--yes").out == f"{ID} revoked\n"


def test_rotating_the_secret_key(api: ApiStandIn, zap: Zap) -> None:
    api.on("POST /secret-key/rotate", Reply(200, {"source": "file", "resealed": 3}))
    told = zap("key", "rotate-secret")
    assert (told.code, "3 secrets" in told.out + told.err, "ZAPVISOR_SECRET_KEY" in told.err) == (0, True, False)
    api.on("POST /secret-key/rotate", Reply(200, {"source": "setting", "resealed": 0}))
    assert "ZAPVISOR_SECRET_KEY" in zap("key", "rotate-secret").err
    assert zap("key", "rotate-secret", "--json").out.strip().startswith("{")


def test_whoami(api: ApiStandIn, zap: Zap) -> None:
    identity = {
        "kind": "session",
        "key_id": ID,
        "name": "crm",
        "session_id": "alpha",
        "scopes": ["read"],
        "expires_at": None,
    }
    api.on("GET /whoami", Reply(200, identity))
    assert zap("key", "whoami").out == "session (crm): alpha: read\n"


def test_audit(api: ApiStandIn, zap: Zap) -> None:
    line = {
        "id": 7, "at": "2026-01-02T03:04:05Z", "actor": "session", "actor_id": ID, "action": "POST /send/message",
        "session_id": "alpha", "remote": "192.0.2.7", "status": 403, "result": "scope_missing", "request_id": "r-1",
        "count": 3,
    }  # fmt: skip
    api.on("GET /audit", Reply(200, {"entries": [line], "next_before": 7}))
    told = zap("audit", "--session", "alpha", "--failed", "--actor", ID)
    assert told.code == 0
    assert "scope_missing" in told.out
    assert "--before 7" in told.err
    assert api.asked[-1].query == {"session_id": "alpha", "failed": "true", "key_id": ID, "limit": "50"}

"""Values the tests of webhooks are about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from ecosystem.contract.events import Event
from ecosystem.contract.webhook import IgnoreRules, WebhookFormat
from orchestrator.registry.webhooks import TargetRow

AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANA: Final = "5511900000001@s.whatsapp.net"
GROUP: Final = "120363024512399999@g.us"


def event(kind: str = "message", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": "01KDZ7B7BWD2DRJRVKCXGP6Q7C",
        "type": kind,
        "session_id": "alpha",
        "seq": 9,
        "timestamp": AT,
        "jid": "5511988887777@s.whatsapp.net",
        "data": {"chat": ANA, "sender": {"jid": ANA, "lid": "123@lid", "name": "Ana"}, "text": "hi"},
        "metadata": {"customer": 7},
        **changes,
    }
    return Event(**values)


def target(**changes: Any) -> TargetRow:
    values: dict[str, Any] = {
        "id": "T1",
        "session_id": None,
        "is_primary": False,
        "name": "",
        "url": "https://crm.example/hook",
        "enabled": True,
        "events": ("*",),
        "format": WebhookFormat.ZAPVISOR,
        "secret_encrypted": b"",
        "headers_encrypted": b"",
        "header_names": (),
        "timeout_s": None,
        "retry_count": None,
        "ignore": IgnoreRules(),
        "allow_private": True,
        "retired_at": None,
        "deleted_at": None,
        "created_at": AT,
        "updated_at": AT,
        "probe_at": None,
        "probe_due": False,
        "trips": 0,
        "failures": 0,
        "last_success_at": None,
        "last_failure_at": None,
        "last_error": None,
        "gone_reason": None,
        **changes,
    }
    return TargetRow(**values)

"""Names in Redis. `prefix` keeps several instances on one server apart."""

from __future__ import annotations


def heartbeat(prefix: str, session_id: str) -> str:
    """String: the JSON of a Heartbeat, expiring."""
    return f"{prefix}:heartbeat:{session_id}"


def qr(prefix: str, session_id: str) -> str:
    """String: the JSON of the QrCode being shown, expiring with it."""
    return f"{prefix}:qr:{session_id}"


def events(prefix: str) -> str:
    """Stream: every event of every worker; one field `event` with the JSON of an Event."""
    return f"{prefix}:events"


def connects(prefix: str) -> str:
    """Counters, expiring: how many workers asked to connect to WhatsApp, one key for each stretch of time."""
    return f"{prefix}:connects"


def transfers(prefix: str) -> str:
    """Sorted set: who has a place for a large file or the past, by the end of the lease in milliseconds."""
    return f"{prefix}:transfers"


def webhook_queue(prefix: str) -> str:
    """RQ's name of the queue webhooks are delivered from."""
    return f"{prefix}:webhooks"


def webhook_woken(prefix: str, target_id: str) -> str:
    """String, expiring: a job for this target is on its way."""
    return f"{prefix}:webhooks:woken:{target_id}"


def rate_bucket(prefix: str, bucket: str) -> str:
    """String, expiring: when a bucket of a rate limit will be empty, in milliseconds by Redis' clock."""
    return f"{prefix}:rate:{bucket}"

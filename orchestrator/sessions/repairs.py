"""What Zapvisor does next about a session, by the cause it is in; None: nothing, it is the operator's turn, or all is well."""

from __future__ import annotations

from typing import Final

from ecosystem.contract.session import Reason

_AGAIN: Final = "connects again after a pause that grows to 20 s and stays, without end"
_FRESH: Final = "starts a fresh worker after a pause"

REPAIRS: Final[dict[Reason, str | None]] = {
    Reason.CREATED: None,
    Reason.STARTING: "starts the worker, in its turn",
    Reason.STOPPED: None,
    Reason.STOPPED_BY_OPERATOR: None,
    Reason.CONNECTING: "connects, in its turn",
    Reason.PAIRING: "shows new codes until the time for pairing is over",
    Reason.PAIRED: "logs in",
    Reason.ONLINE: None,
    Reason.NETWORK: _AGAIN,
    Reason.PAIRING_EXPIRED: None,
    Reason.LOGGED_OUT: None,
    Reason.REPLACED: None,
    Reason.BANNED: "waits for the end of the ban, then logs in again",
    Reason.OUTDATED: "nothing, until another version of the client is installed",
    Reason.REFUSED: "tries again after 5 minutes, then less often, at least every hour",
    Reason.PAIRING_FAILED: None,
    Reason.ENGINE_ENDED: _FRESH,
    Reason.WORKER_LOST: "replaces the worker",
    Reason.BACKING_OFF: _FRESH,
    Reason.CRASH_LOOP: None,
    Reason.BAD_SPEC: None,
    Reason.STORE_UNUSABLE: None,
    Reason.FOLDER_LOCKED: "tries again until the folder is free",
    Reason.SUPERSEDED: None,
    Reason.PORTS_EXHAUSTED: "tries again until a port is free",
    Reason.DEAF: "connects anew, then replaces the worker, then goes on connecting and reports it",
    Reason.RESTRICTED: "goes on; messages to people who wrote first still go out",
    Reason.CRASHED: _FRESH,
    Reason.HUNG: "replaces the worker once it has been silent for `lost_after_s`",
    Reason.RENEWING: "a fresh worker takes over",
    Reason.MEMORY_LIMIT: "replaces the worker",
    Reason.DISK_FULL: "tries again until there is room",
    Reason.PROXY_FAILED: _AGAIN,
    Reason.UNLOADED: "starts the worker with the next request for the session",
    Reason.DELETING: "deletes the session once its worker has ended",
    Reason.UNKNOWN: None,
}

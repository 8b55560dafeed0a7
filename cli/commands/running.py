"""`zapvisor doctor`'s look at what runs: the programs of the instance here, the server, and what it says needs a look."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from cli.commands.findings import FAIL, OK, WARN, Finding
from cli.texts import tr
from ecosystem.contract.errors import BackendDown, DomainError, NotRunning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.client import Client
    from cli.context import Call
    from ecosystem.settings import Settings
    from ecosystem.supervisord.client import ProcessInfo

SESSIONS: Final = "session"
"""The group of the sessions' workers: why one is down, its own view says."""
SHOWN: Final = 10
"""Alerts at most."""
TIMEOUT_S: Final = 5.0
SKEW_MOST_S: Final = 5.0
"""Difference between two clocks from which on it is worth a word; TLS and WhatsApp bear minutes."""


def check_programs(settings: Settings) -> Iterator[Finding]:
    """Every program of the running instance runs."""
    from ecosystem.supervisord.client import ProgramState, SupervisordClient

    try:
        infos = SupervisordClient.of(settings.paths, timeout=TIMEOUT_S).all_processes()
    except BackendDown as error:
        yield Finding("programs", FAIL, error.message, tr("zapvisor down, then zapvisor up"))
        return
    down = [info for info in infos if info.group != SESSIONS and info.state is not ProgramState.RUNNING]
    for info in down:
        detail = info.spawn_error or info.description
        hint = tr("its log says why: {log}", log=info.log)
        if info.state is ProgramState.STOPPED:
            hint = _start_it(info, settings)
        yield Finding("program", FAIL, f"{info.name}: {info.state.value}{f', {detail}' if detail else ''}", hint)
    if not down:
        yield Finding("programs", OK, tr("all run"))


def _start_it(info: ProcessInfo, settings: Settings) -> str:
    conf = settings.paths.supervisord_conf
    return tr("somebody stopped it: supervisorctl -c {conf} start {name}", conf=conf, name=info.name)


def check_alerts(client: Client) -> Iterator[Finding]:
    """What the server says somebody should look at, the latest first."""
    from ecosystem.contract.alerts import AlertList, Severity

    try:
        found = client.get("/alerts", {"standing": "true", "limit": str(SHOWN)}).decode(AlertList)
    except DomainError as error:
        yield Finding("alerts", WARN, error.message, error.hint)
        return
    for alert in found.alerts:
        about = f"{alert.session_id}: " if alert.session_id else ""
        detail = f" ({alert.detail})" if alert.detail else ""
        hint = f"zapvisor describe {alert.session_id}" if alert.session_id else "zapvisor alerts"
        result = FAIL if alert.severity is Severity.CRITICAL else WARN
        yield Finding("alert", result, f"{about}{alert.title}{detail}", hint)
    if not found.alerts:
        yield Finding("alerts", OK, tr("none stands"))


def check_server(call: Call) -> Iterator[Finding]:
    """The gateway answers, what it depends on is there, and our key opens it."""
    from cli.client import Client

    try:
        address = call.address
    except NotRunning as error:
        yield Finding("gateway", WARN, error.message, error.hint)
        return
    except DomainError as error:
        yield Finding("gateway", FAIL, error.message, error.hint)
        return
    open_client = Client(address, None)
    try:
        answer = open_client.get("/health")
    except DomainError as error:
        # An unhealthy server answers too: its problem or its parts tell more than ours.
        yield Finding("gateway", FAIL, f"{address}: {error.message}", error.hint)
        if isinstance(error, NotRunning):
            return
    else:
        yield Finding("gateway", OK, tr("{address} answers", address=address))
        yield from check_skew(answer.headers.get("date"))
    yield _asked(open_client, "/ready", "ready", tr("services and sessions can be used"))
    try:
        client = call.client
    except DomainError as error:
        yield Finding("key", FAIL, error.message, error.hint)
        return
    accepted = _asked(client, "/status", "key", tr("it is accepted"))
    yield accepted
    if accepted.result == OK:
        yield from check_alerts(client)


def _asked(client: Any, path: str, check: str, sentence: str) -> Finding:
    try:
        client.get(path)
    except DomainError as error:
        return Finding(check, FAIL, error.message, error.hint or tr("see `zapvisor logs`"))
    return Finding(check, OK, sentence)


def check_skew(date: str | None) -> Iterator[Finding]:
    """The server's clock and ours agree."""
    if date is None:
        return
    try:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    if abs(skew) > SKEW_MOST_S:
        yield Finding(
            "clock skew", WARN, tr("{skew:+.0f} s against the server's", skew=skew), tr("run an NTP service on both")
        )

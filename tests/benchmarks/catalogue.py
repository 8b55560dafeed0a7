"""Every figure by name: what it says, in which unit, and for which keys. What is not here is not written down."""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """`keys`: what the values of a figure belong to (a number of sessions, a percentile); none: it is one value.

    `quick`: those keys of it that the quick set takes too.
    """

    unit: str
    says: str
    keys: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None


MB: Final = "MB"
MS: Final = "ms"
S: Final = "s"
PER_S: Final = "1/s"
RATIO: Final = "ratio"
P50_95: Final = ("p50", "p95")
P50_99: Final = ("p50", "p99")
P50_95_99: Final = ("p50", "p95", "p99")

CATALOGUE: Final[dict[str, Entry]] = {
    # --- memory
    "memory.total_pss_mb": Entry(
        MB, "all processes of the product with so many sessions, idle for 60 s", ("0", "10", "50", "100"), ("0", "10")
    ),
    "memory.per_session_pss_mb": Entry(
        MB, "what a session adds: (total(N) - total(0)) / N", ("10", "50", "100"), ("10",)
    ),
    "memory.fixed_pss_mb": Entry(MB, "the product without a session"),
    "memory.per_session_traffic_pss_mb": Entry(MB, "right after 50 texts in and 50 out in each session", ("50",), ()),
    "memory.per_session_settled_pss_mb": Entry(MB, "two minutes after that", ("50",), ()),
    "memory.media_peak_pss_mb": Entry(MB, "one worker's largest PSS while 5 MB come in and 5 MB go out"),
    "memory.media_settled_pss_mb": Entry(MB, "that session's worker two minutes later"),
    "memory.soak_growth_mb": Entry(MB, "growth of a worker over 5,000 messages"),
    # --- starts
    "start.answering_ms": Entry(MS, "from the API's request to the worker's first HTTP answer", P50_95),
    "start.authenticated_ms": Entry(MS, "from the API's request to `authenticated` in the API", P50_95),
    "restart.after_kill_ms": Entry(MS, "from kill -9 of a worker to its successor's first HTTP answer", P50_95),
    "restart.authenticated_ms": Entry(MS, "from kill -9 of a worker to `authenticated` again", P50_95),
    "fleet.cold_start_s": Entry(S, "from `zapvisor up` to every session authenticated", ("50", "100"), ()),
    "fleet.recover_after_kill_all_s": Entry(
        S, "from kill -9 of every worker to every session authenticated", ("50", "100"), ()
    ),
    # --- the gateway and the API
    "gateway.added_ms": Entry(MS, "through the gateway less the worker's own port, 500 requests/s", P50_99),
    "gateway.direct_ms": Entry(MS, "the worker's own port, 500 requests/s", P50_99),
    "gateway.through_ms": Entry(MS, "through the gateway, 500 requests/s", P50_99),
    "gateway.late_ms": Entry(MS, "how late the generator itself sent a request", ("p99",)),
    "gateway.rps": Entry(PER_S, "requests one gateway process carries, keys and limits on"),
    "gateway.direct_rps": Entry(PER_S, "the same worker without anything in front"),
    "gateway.rps_ratio_nginx": Entry(RATIO, "gateway.rps / peer.nginx_rps, the same worker behind both"),
    "gateway.bare_rps": Entry(PER_S, "the gateway in front of nginx' own answer instead of a worker's"),
    "gateway.bare_rps_ratio_nginx": Entry(RATIO, "gateway.bare_rps / peer.nginx_bare_rps: the proxies alone"),
    "gateway.cpu_us": Entry("µs", "processor time of the gateway a request"),
    "api.p50_ms": Entry(MS, "100 sessions, 200 requests/s, session operations included"),
    "api.p95_ms": Entry(MS, "100 sessions, 200 requests/s, session operations included"),
    "api.operations_p95_ms": Entry(MS, "of these, start, stop, restart and change alone"),
    # --- messages and events
    "messages.send_per_s": Entry(PER_S, "texts sent through the API, decrypted by the phone", ("1", "50"), ("1",)),
    "messages.receive_per_s": Entry(PER_S, "texts received, until they are events in Redis", ("1", "50"), ("1",)),
    "event.to_webhook_ms": Entry(MS, "from an event in the stream to its request at the endpoint, 20/s", P50_95_99),
    "webhooks.deliveries_per_s": Entry(PER_S, "requests at one endpoint while 5,000 events wait"),
    # --- inner works
    "reconcile.tick_ms": Entry(MS, "one look, plan and write; 1,000 with scripted processes", ("100", "1000"), ("1000",)),
    "supervisor.list_ms": Entry(MS, "supervisord's list of 100 workers"),
    "cli.start_ms": Entry(MS, "`zapvisor --help`"),
    "cli.list_ms": Entry(MS, "`zapvisor list`"),
    # --- 300 sessions
    "fleet300.total_pss_mb": Entry(MB, "all processes with 300 sessions authenticated, idle"),
    "fleet300.per_session_pss_mb": Entry(MB, "what a session of 300 adds"),
    "fleet300.authenticated": Entry("sessions", "logged in at the same moment"),
    "fleet300.answering": Entry("sessions", "answered a request through the gateway with 200"),
    "fleet300.answer_ms": Entry(MS, "how long those answers took", P50_95_99),
    "fleet300.cold_start_s": Entry(S, "from `zapvisor up` to 300 authenticated"),
    "fleet300.idle_cpu_percent": Entry("% of a core", "processor time of the whole product, 300 sessions idle"),
    # --- peers
    "peer.nginx_rps": Entry(PER_S, "nginx as the proxy of the same worker"),
    "peer.nginx_bare_rps": Entry(PER_S, "nginx as the proxy of its own answer"),
    "peer.nginx_cpu_us": Entry("µs", "processor time of nginx a request"),
    "peer.nginx_added_ms": Entry(MS, "through nginx less the worker's own port, 500 requests/s", P50_99),
    "peer.pm2_daemon_pss_mb": Entry(MB, "the PM2 daemon with 20 processes"),
    "peer.pm2_node_pss_mb": Entry(MB, "each of 20 node processes that answer one HTTP route"),
    "peer.pm2_start_ms": Entry(MS, "`pm2 start` of one node process to its first answer"),
    "peer.pm2_restart_after_kill_ms": Entry(MS, "kill -9 of a node process to its first answer", P50_95),
    "peer.pm2_list_ms": Entry(MS, "`pm2 jlist`"),
    "peer.baileys_pss_mb": Entry(MB, "each of 10 PM2 processes with Baileys on an open socket, not logged in"),
    "peer.baileys_restart_after_kill_ms": Entry(MS, "kill -9 of a Baileys process to its first answer", P50_95),
    "peer.chromium_pss_mb": Entry(MB, "one headless Chromium with an empty page"),
}  # fmt: skip


def names() -> frozenset[str]:
    """Every figure's name."""
    return frozenset(CATALOGUE)

"""The fleet for Prometheus. Sessions beyond a limit have no series of their own: sums still hold them."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ecosystem.contract.session import DesiredState, SessionState
from ecosystem.contract.worker import WorkerProcess
from ecosystem.web import route_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiohttp.typedefs import Handler, Middleware
    from prometheus_client import Metric

    from ecosystem.contract.errors import DomainError
    from ecosystem.contract.heartbeat import Heartbeat
    from ecosystem.web import Renderer
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.targethealth import TargetHealth
    from orchestrator.resources.machine import MachineUse

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_GAUGES: Final[tuple[tuple[str, str, str], ...]] = (
    ("memory_bytes", "Proportional memory of the session's process", "memory"),
    ("cpu_percent", "Processor use, percent of one core", "cpu"),
    ("authenticated", "1 while the session may send", "authenticated"),
    ("outbox_waiting", "Events that have not left the worker", "outbox"),
    ("sends_waiting", "Messages that wait for their turn", "sends"),
    ("uptime_seconds", "Age of the session's process", "uptime"),
    ("last_inbound_timestamp_seconds", "When the last message came in", "inbound"),
)
_COUNTERS: Final[tuple[tuple[str, str, str], ...]] = (
    ("messages_received", "Messages that came in, since the process started", "in"),
    ("messages_sent", "Messages that went out", "out"),
    ("api_requests", "Requests the worker answered", "requests"),
    ("api_errors", "Of them, answered with 500 or above", "errors"),
    ("api_seconds", "Seconds the answers took, added up", "seconds"),
    ("reconnects", "Connections to WhatsApp beyond the first", "reconnects"),
)


class Requests:
    """What the gateway is asked: counted by whom the route belongs to, never by path or session."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "zapvisor_http_requests",
            "Requests by kind, method and status",
            ["kind", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "zapvisor_http_request_seconds", "Time to the answer's end", ["kind"], buckets=BUCKETS_S, registry=registry
        )
        self._errors = Counter("zapvisor_errors", "Error answers by code", ["code"], registry=registry)

    def middleware(self) -> Middleware:
        """Around everything else."""
        seconds = {kind: self._seconds.labels(kind) for kind in ("session", "control")}

        @functools.cache
        def counted(kind: str, method: str, status: int) -> Counter:
            return self._answers.labels(kind, method, str(status))

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.monotonic()
            answer = await handler(request)
            kind = "session" if "tail" in route_of(request) else "control"
            method = request.method if request.method in _METHODS else "other"
            counted(kind, method, answer.status).inc()
            if answer.status != 101:
                seconds[kind].observe(time.monotonic() - began)
            return answer

        return measure

    def counting(self, render: Renderer) -> Renderer:
        """`render`, with each error counted by its code."""

        def counted(request: web.Request, error: DomainError) -> web.StreamResponse:
            self._errors.labels(error.code).inc()
            return render(request, error)

        return counted


class FleetMetrics:
    """Everything that is told at a scrape. `sessions_max`: how many sessions, and how many webhooks, get series of their own."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        version: str,
        sessions_max: int,
        targets: Callable[[], Sequence[TargetHealth]] = tuple,
    ) -> None:
        self._fleet = fleet
        self._targets = targets
        self._version = version
        self._sessions_max = sessions_max
        self._machine: MachineUse | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Requests(self.registry)
        self.registry.register(self)

    def text(self, machine: MachineUse) -> bytes:
        """The exposition, in Prometheus' own format."""
        self._machine = machine
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        fleet = self._fleet
        yield _labelled("zapvisor_info", "What runs here", "version", {self._version: 1.0})
        up = {
            "registry": fleet.registry_answers,
            "redis": fleet.redis_answers,
            "process_manager": fleet.process_manager_answers,
        }
        yield _labelled(
            "zapvisor_dependency_up", "1 where it answers", "name", {name: int(on) for name, on in up.items()}
        )
        yield GaugeMetricFamily("zapvisor_leading", "1 where this orchestrator acts", value=int(fleet.leading))
        yield from self._of_machine()
        yield from self._of_fleet()
        yield from self._of_sessions()
        yield from self._of_webhooks()

    def _of_machine(self) -> Iterator[Metric]:
        use = self._machine
        if use is None:
            return
        yield GaugeMetricFamily("zapvisor_server_cpu_percent", "Of all processors", value=use.cpu_percent)
        yield GaugeMetricFamily("zapvisor_server_memory_bytes", "Of the machine", value=use.memory_total_bytes)
        yield GaugeMetricFamily(
            "zapvisor_server_memory_available_bytes", "Of the machine", value=use.memory_available_bytes
        )
        free = {disk.path: float(disk.free_bytes) for disk in use.disks}
        yield _labelled("zapvisor_disk_free_bytes", "Of each file system in use", "path", free)
        yield GaugeMetricFamily("zapvisor_logs_bytes", "All logs together", value=use.logs_bytes)
        yield GaugeMetricFamily("zapvisor_storage_bytes", "All sessions' folders", value=use.storage_bytes)

    def _of_fleet(self) -> Iterator[Metric]:
        fleet = self._fleet
        statuses = dict.fromkeys((str(state) for state in SessionState), 0.0)
        reasons: dict[str, float] = {}
        for row in fleet.rows.values():
            shown = fleet.show(row, fleet.assess(row.session_id, fleet.look.beat(row.session_id)))
            statuses[str(shown.status)] += 1
            reasons[str(shown.reason)] = reasons.get(str(shown.reason), 0.0) + 1
        yield _labelled("zapvisor_sessions", "Sessions by status", "status", statuses)
        yield _labelled("zapvisor_sessions_by_reason", "Sessions by reason", "reason", reasons)
        wanted = sum(row.desired is DesiredState.RUNNING for row in fleet.rows.values())
        yield GaugeMetricFamily("zapvisor_sessions_wanted", "Sessions that are wanted running", value=wanted)
        workers = list(self._workers())
        yield GaugeMetricFamily("zapvisor_workers", "Workers that give signs of life", value=len(workers))
        memory = sum(worker.memory_bytes or 0 for worker in workers)
        yield GaugeMetricFamily("zapvisor_sessions_memory_bytes", "Of all workers", value=memory)
        waiting = sum(worker.counters.outbox_waiting for worker in workers)
        yield GaugeMetricFamily("zapvisor_outbox_waiting", "Events that have not left their workers", value=waiting)

    def _of_sessions(self) -> Iterator[Metric]:
        workers = list(self._workers())
        told = workers[: self._sessions_max]
        yield GaugeMetricFamily("zapvisor_sessions_without_metrics", "Beyond the limit", value=len(workers) - len(told))
        restarts = CounterMetricFamily(
            "zapvisor_session_restarts", "Deaths of the session's process", labels=["session"]
        )
        renewals = CounterMetricFamily(
            "zapvisor_session_renewals", "Planned exchanges of the session's process", labels=["session"]
        )
        for worker in told:
            process = self._fleet.look.process(worker.session_id)
            if isinstance(process, WorkerProcess):
                restarts.add_metric([worker.session_id], process.restarts)
                renewals.add_metric([worker.session_id], process.renewals)
        yield restarts
        yield renewals
        for name, about, key in _GAUGES:
            gauge = GaugeMetricFamily(f"zapvisor_session_{name}", about, labels=["session"])
            for worker in told:
                value = _values(worker)[key]
                if value is not None:
                    gauge.add_metric([worker.session_id], value)
            yield gauge
        for name, about, key in _COUNTERS:
            counter = CounterMetricFamily(f"zapvisor_session_{name}", about, labels=["session"])
            for worker in told:
                counter.add_metric([worker.session_id], _values(worker)[key] or 0)
            yield counter

    def _of_webhooks(self) -> Iterator[Metric]:
        """As of the leader's last look, a few seconds ago."""
        targets = self._targets()
        told = targets[: self._sessions_max]
        yield GaugeMetricFamily("zapvisor_webhooks", "Webhooks that are enabled", value=len(targets))
        pending = GaugeMetricFamily("zapvisor_webhook_pending", "Events that wait for it", labels=["webhook"])
        well = GaugeMetricFamily("zapvisor_webhook_well", "1 while it takes events, 0 while paused", labels=["webhook"])
        tries = CounterMetricFamily(
            "zapvisor_webhook_deliveries", "Tries that came to this, and events given up", labels=["webhook", "result"]
        )
        for one in told:
            pending.add_metric([one.id], one.pending)
            well.add_metric([one.id], float(not (one.tripped or one.gone)))
            for result in ("delivered", "failed", "dead"):
                tries.add_metric([one.id, result], getattr(one, result))
        yield from (pending, well, tries)

    def _workers(self) -> Iterator[Heartbeat]:
        fleet = self._fleet
        for session_id in sorted(fleet.rows):
            beat = fleet.assess(session_id, fleet.look.beat(session_id)).beat
            if beat is not None:
                yield beat.heartbeat


def _labelled(name: str, about: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def _values(worker: Heartbeat) -> dict[str, float | None]:
    return {
        "memory": worker.memory_bytes,
        "cpu": worker.cpu_percent,
        "authenticated": float(worker.state is SessionState.AUTHENTICATED),
        "outbox": worker.counters.outbox_waiting,
        "sends": worker.counters.sends_waiting,
        "uptime": max(0.0, time.time() - worker.started_at.timestamp()),
        "inbound": worker.last_inbound_at.timestamp() if worker.last_inbound_at is not None else None,
        "in": worker.counters.messages_in,
        "out": worker.counters.messages_out,
        "requests": worker.api.requests,
        "errors": worker.api.errors,
        "seconds": worker.api.busy_s,
        "reconnects": worker.counters.reconnects,
    }

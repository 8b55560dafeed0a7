"""The Grafana dashboard asks for metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ecosystem.contract.operations import DiskUse
from ecosystem.contract.worker import ProcessState
from orchestrator.observed import Beats
from orchestrator.reconcile.fleet import Fleet, Look
from orchestrator.resources.machine import MachineUse
from orchestrator.resources.metrics import FleetMetrics
from tests.unit.orchestrator.build import NOW, POLICY, beat, process, row

ROOT = Path(__file__).resolve().parents[3]


def told() -> set[str]:
    fleet = Fleet(POLICY, heartbeat_ttl_s=9, worker_host="127.0.0.1")
    fleet.replace_rows([row()])
    beats = Beats({"alpha": beat(memory_bytes=1, cpu_percent=0.5)}, settled=True)
    fleet.replace_look(Look({"alpha": process(state=ProcessState.RUNNING)}, beats, 1.0, NOW))
    metrics = FleetMetrics(fleet, version="1", sessions_max=10)
    use = MachineUse(1.0, (0.0, 0.0, 0.0), 2, 1, 0, 1.0, [DiskUse("/", 2, 1, 50.0)], 0, 0)
    render = metrics.requests.counting(lambda _, error: cast("Any", error))
    render(cast("Any", None), cast("Any", SimpleNamespace(code="internal")))
    metrics.requests._answers.labels("control", "GET", "200").inc()
    metrics.requests._seconds.labels("control").observe(0.1)
    text = metrics.text(use).decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def test_every_panel_asks_for_what_is_told() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/zapvisor.json").read_text(encoding="utf-8"))
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"zapvisor_\w+", target["expr"])
    }
    assert asked
    assert asked <= told(), asked - told()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

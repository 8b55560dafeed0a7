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
from orchestrator.registry.targethealth import TargetHealth
from orchestrator.resources.machine import MachineUse
from orchestrator.resources.metrics import FleetMetrics
from tests.unit.orchestrator.build import NOW, POLICY, beat, process, row

ROOT = Path(__file__).resolve().parents[3]


def told() -> dict[str, set[str]]:
    """Every metric with its labels, as a small fleet tells them."""
    fleet = Fleet(POLICY, heartbeat_ttl_s=9, worker_host="127.0.0.1")
    fleet.replace_rows([row()])
    beats = Beats({"alpha": beat(memory_bytes=1, cpu_percent=0.5)}, settled=True)
    fleet.replace_look(Look({"alpha": process(state=ProcessState.RUNNING)}, beats, 1.0, NOW))
    target = TargetHealth(
        id="T1", name="", session_id=None, pending=1, delivered=1, failed=1, dead=0, tripped=False, unheard_s=0.0,
        gone=False, dead_lately=False, last_error=None,
    )  # fmt: skip
    metrics = FleetMetrics(fleet, version="1", sessions_max=10, targets=lambda: [target])
    use = MachineUse(1.0, (0.0, 0.0, 0.0), 2, 1, 0, 1.0, [DiskUse("/", 2, 1, 50.0)], 0, 0)
    render = metrics.requests.counting(lambda _, error: cast("Any", error))
    render(cast("Any", None), cast("Any", SimpleNamespace(code="internal")))
    metrics.requests._answers.labels("control", "GET", "200").inc()
    metrics.requests._seconds.labels("control").observe(0.1)
    text = metrics.text(use).decode()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def labels_of(expression: str, legend: str) -> set[str]:
    """Labels an expression chooses or groups by, and those its legend shows."""
    chosen = re.findall(r"(\w+)=~?\"", expression)
    grouped = [name for names in re.findall(r"by \(([^)]*)\)", expression) for name in names.split(", ")]
    return {*chosen, *grouped, *re.findall(r"{{(\w+)}}", legend)}


def test_every_panel_asks_for_what_is_told() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/zapvisor.json").read_text(encoding="utf-8"))
    known = told()
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert targets
    for target in targets:
        names = set(re.findall(r"zapvisor_\w+", target["expr"]))
        assert names
        assert names <= known.keys(), target
        labels = set.intersection(*(known[name] for name in names))
        assert labels_of(target["expr"], target.get("legendFormat") or "") <= labels, target
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_s_choices_come_from_what_is_told() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/zapvisor.json").read_text(encoding="utf-8"))
    asked = re.findall(r"label_values\((\w+), (\w+)\)", json.dumps(dashboard["templating"]))
    assert asked
    known = told()
    assert all(label in known[name] for name, label in asked)


def test_the_guide_names_metrics_that_are_told() -> None:
    text = (ROOT / "docs/guides/metrics.md").read_text(encoding="utf-8")
    known = told()
    for name, labels in re.findall(r"`(zapvisor_\w+)(?:{([\w,]+)})?`", text):
        if name.endswith("_"):  # followed by a star: all of a kind
            continue
        found = known.get(name) or known.get(f"{name}_count")
        assert found is not None or name in known, name
        assert set(filter(None, labels.split(","))) <= (found or set()), name

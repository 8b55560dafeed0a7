"""`python -m tests.support.scripted_worker --spec PATH`: a worker whose engine plays what its `metadata` says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecosystem import logs
from tests.support.scripted_engine import Flood
from worker import boot, main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecosystem.contract.worker import WorkerSpec
    from worker.engine.protocol import Engine
    from worker.store.session_store import SessionStore


def make_engine(spec: WorkerSpec, store: SessionStore, database: Path, known: Mapping[str, str]) -> Engine:
    script = spec.metadata
    engine = Flood(
        store.journal,
        first=script.get("first", 0),
        count=script.get("count", 0),
        pause_s=script.get("pause_s", 0.0),
        read_delay_s=script.get("read_delay_s", 0.0),
    )
    engine.identify_delay_s = script.get("identify_delay_s", 0.0)
    return engine


if __name__ == "__main__":
    specification = boot.read_spec(Path(sys.argv[2]).read_bytes())
    logs.setup(level="info", pretty=True, program="scripted")
    os._exit(main.run(specification, make_engine))

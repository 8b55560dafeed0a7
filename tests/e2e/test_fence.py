"""Never two workers on one session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.home import session_folder
from tests.e2e.conftest import ALPHA, PHONE
from tests.e2e.instance import REPOSITORY, until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance


def logins(instance: Instance, number: str) -> int:
    """How often the companion of a number has logged in at the sandbox."""
    answer = instance.http("GET", f"/sandbox/phones/{number}")
    return sum(device["logins"] for device in answer.body["devices"] if device["id"])


def test_a_worker_started_by_hand_on_the_same_folder_never_connects(paired: Instance) -> None:
    count, pid = logins(paired, ALPHA), paired.worker_pid("alpha")
    folder = session_folder(paired.home.root / "storages", "alpha")
    spec = paired.root / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "session_id": "alpha",
                "generation": 99,
                "folder": str(folder),
                "host": "127.0.0.1",
                "port": paired.port + 12,
                "redis_url": f"unix://{paired.home.redis_socket}",
                "redis_prefix": "zapvisor",
                "access_key_hashes": [],
            }
        )
    )
    spec.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--spec", str(spec)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == WorkerExit.FOLDER_LOCKED, done.stderr
    assert str(pid) in done.stderr + done.stdout
    assert logins(paired, ALPHA) == count
    assert paired.worker_pid("alpha") == pid
    assert paired.session("alpha")["status"] == "authenticated"


def test_a_second_orchestrator_stands_by(paired: Instance) -> None:
    count, pid = logins(paired, ALPHA), paired.worker_pid("alpha")
    saved = json.loads(paired.home.settings.read_text())
    other = paired.root / "other"
    (other / "run").mkdir(parents=True)
    (other / "run" / "gateway.key").write_text(paired.home.gateway_key.read_text())
    # Same database, Redis and process manager; only its own port differs.
    for name in ("supervisord.sock", "zygote.sock", "redis", "postgres"):
        (other / "run" / name).symlink_to(paired.home.run / name)
    saved |= {"home": str(other), "port": paired.port + 12, "session_storage_path": str(paired.home.root / "storages")}
    (other / "run" / "settings.json").write_text(json.dumps(saved))
    second = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "serve", "--home", str(other)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def answers() -> bool:
            try:
                return paired.http("GET", "/health", key=None, port=paired.port + 12).status == 200
            except OSError:
                return False

        until("the second one answers", answers)
        time.sleep(4)
        assert paired.worker_pid("alpha") == pid
        assert logins(paired, ALPHA) == count
    finally:
        second.terminate()
        second.wait(30)
    paired.zap("sandbox", "say", PHONE, "alpha", "one worker only")
    until("decrypted", lambda: "one worker only" in paired.texts("alpha", PHONE))

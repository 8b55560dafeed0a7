"""The evidence run: two sessions on the sandbox WhatsApp from nothing to recovery, one line a step.

    make demo

Ends with 1 at the first step that fails.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

import psutil

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Callable

ALPHA: Final = "5511900000001"
BETA: Final = "5521900000002"
GAMMA: Final = "5531900000003"


class Show:
    """Runs steps and prints each with the time it took."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def step(self, title: str, act: Callable[[], object]) -> None:
        start = time.monotonic()
        try:
            detail = act()
        except Exception as error:
            self._line("FAILED", title, start, "")
            raise SystemExit(f"{title}: {type(error).__name__}: {error}") from error
        self._line("ok", title, start, detail)

    def _line(self, mark: str, title: str, start: float, detail: object) -> None:
        now = time.monotonic()
        text = "" if detail is None else f"  {detail}"
        sys.stdout.write(f"[{now - self.begun:7.2f} s] {mark:6} {title:62} {(now - start) * 1000:8.0f} ms{text}\n")
        sys.stdout.flush()


class Demo:
    """The steps, in order, on one instance."""

    def __init__(self, instance: Instance) -> None:
        self.zap = instance

    def create(self) -> str:
        views = [self.zap.zap_json("create", name) for name in ("alpha", "beta")]
        ports = {self.zap.wait_status(view["session_id"], "connected")["port"] for view in views}
        assert len(ports) == 2, "two sessions on one port"
        return f"ports {sorted(ports)}"

    def phones(self) -> None:
        for number, name in ((ALPHA, "Ana"), (BETA, "Bruno"), (GAMMA, "Gabi")):
            self.zap.zap("sandbox", "phone", "add", number, "--name", name)

    def pair_by_qr(self) -> str:
        self.zap.zap("sandbox", "scan", ALPHA, "alpha")
        return str(self.zap.wait_status("alpha", "authenticated")["jid"])

    def pair_by_code(self) -> str:
        answer = self.zap.http("POST", "/sessions/beta/pairphone", {"phone": BETA})
        assert answer.status == 200, answer
        self.zap.zap("sandbox", "code", BETA, answer.body["code"])
        return f"code {answer.body['code']}, {self.zap.wait_status('beta', 'authenticated')['jid']}"

    def talk(self, sender: str, receiver: str, from_number: str, to_number: str) -> str:
        text = f"ola {receiver}, {time.time_ns()}"
        message_id = self.zap.send(sender, to_number, text)
        until("the decrypted text", lambda: text in self.zap.texts(receiver, from_number))

        def receipts() -> list[str]:
            events = self.zap.events(sender, "message.receipt")
            return [event["data"]["kind"] for event in events if message_id in event["data"]["message_ids"]]

        return f"{message_id}, receipts {until('a receipt', receipts)}"

    def killed_worker(self) -> str:
        old = self.zap.worker_pid("alpha")
        self.zap.kill(old)
        text = f"while you were away {time.time_ns()}"
        self.zap.zap("sandbox", "say", GAMMA, ALPHA, text)

        def back() -> bool:
            view = self.zap.session("alpha")
            return view["status"] == "authenticated" and view["pid"] not in (None, old)

        until("alpha back by itself, logged in", back)
        until("the message sent meanwhile", lambda: text in self.zap.texts("alpha", GAMMA))
        return f"pid {old} -> {self.zap.worker_pid('alpha')}, message arrived"

    def restart_programs(self) -> str:
        pids = {name: self.zap.worker_pid(name) for name in ("alpha", "beta")}
        for program in ("orchestrator", "zygote"):
            before = self.zap.program_pid(program)
            self.zap.supervisorctl("restart", program)
            until(f"{program} restarted", lambda p=program, b=before: self.zap.program_pid(p) not in (0, b))  # type: ignore[misc]
        until("the gateway answers again", self._ready)
        time.sleep(3)  # several reconcile ticks in which a wrong plan would show
        assert pids == {name: self.zap.worker_pid(name) for name in pids}, "a worker was replaced"
        return f"pids kept {pids}"

    def _ready(self) -> bool:
        try:
            return self.zap.http("GET", "/ready", key=None).status == 200
        except OSError:
            return False

    def killed_supervisord(self) -> str:
        running = [process.pid for process in self.zap.processes()]
        self.zap.kill(self.zap.supervisord().pid)
        until("everything died with it", lambda: not self.zap.processes())
        self.zap.up()
        for name in ("alpha", "beta"):
            self.zap.wait_status(name, "authenticated")
        return f"{len(running)} processes gone, both back without pairing"

    def stop_stays_stopped(self) -> str:
        self.zap.zap("stop", "beta")
        self.zap.down()
        left = self.zap.processes()
        assert not left, f"left behind: {left}"
        self.zap.up()
        self.zap.wait_status("alpha", "authenticated")
        beta = self.zap.session("beta")
        assert (beta["status"], beta["desired"], beta["pid"]) == ("disconnected", "stopped", None), beta
        return "alpha runs, beta stays stopped"

    def supervisorctl(self) -> str:
        self.zap.zap("start", "beta")
        self.zap.wait_status("beta", "authenticated")

        def seen() -> list[str]:
            lines = self.zap.supervisorctl("status").splitlines()
            both = [line for line in lines if line.startswith("session:") and "RUNNING" in line]
            return lines if len(both) == 2 else []

        lines = until("both sessions RUNNING", seen)
        return f"{len(lines)} processes seen"

    def memory(self) -> str:
        total = sum(_pss(process) for process in self.zap.processes() if _pss(process))
        return f"{len(self.zap.processes())} processes, {total / 2**20:.0f} MiB PSS, sandbox included"

    def down(self) -> None:
        self.zap.down()
        left = self.zap.processes()
        assert not left, f"left behind: {left}"


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def main() -> None:
    show = Show()
    with Instance() as instance:
        demo = Demo(instance)
        show.step("zapvisor up --sandbox, from nothing", instance.up)
        show.step("two sessions created, a QR code each", demo.create)
        show.step("three virtual phones", demo.phones)
        show.step("alpha paired by QR", demo.pair_by_qr)
        show.step("beta paired by code", demo.pair_by_code)
        show.step("alpha -> beta, decrypted", lambda: demo.talk("alpha", "beta", ALPHA, BETA))
        show.step("beta -> alpha, decrypted", lambda: demo.talk("beta", "alpha", BETA, ALPHA))
        show.step("kill -9 of alpha's worker", demo.killed_worker)
        show.step("orchestrator and zygote restarted", demo.restart_programs)
        show.step("kill -9 of supervisord, then up", demo.killed_supervisord)
        show.step("alpha -> beta again", lambda: demo.talk("alpha", "beta", ALPHA, BETA))
        show.step("beta stopped, down, up", demo.stop_stays_stopped)
        show.step("supervisorctl on the same instance", demo.supervisorctl)
        show.step("memory", demo.memory)
        show.step("down leaves no process", demo.down)
    sys.stdout.write("all steps passed\n")


if __name__ == "__main__":
    os.environ.setdefault("LANG", "C.UTF-8")
    main()

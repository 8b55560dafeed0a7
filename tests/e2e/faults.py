"""`python -m tests.e2e.faults [ROW...] [--json] [--quick]`: each fault on the sandbox, when it was seen and when it was repaired.

Every row has one victim; the other sessions must keep their process, and their state unless the whole server was hit. What is
reported is what the API said, looked at five times a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.e2e.hardships import ShiftedInstance, SmallDisk, leak
from tests.e2e.instance import Answer, Instance, until
from tests.support.proxy_thread import ProxyThread
from tests.support.spin import spin

VICTIM, OTHERS = "alpha", ("beta", "gamma")
NUMBERS: Final = {"alpha": "5511900000001", "beta": "5521900000002", "gamma": "5531900000003"}
PHONE: Final = "5541900000004"
LOOK_S: Final = 0.2
LOGIN: Final = ("ana", "s3cret@:/")
HOUR_S: Final = 3600
View = dict[str, Any]
Seen = Callable[[View], bool]


class Scene:
    """An instance with its three sessions paired, and what a row does to it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.disk = SmallDisk(instance.home.root / "storages" / f"session_{VICTIM}")
        self.proxy: ProxyThread

    def prepare(self) -> None:
        for name, number in NUMBERS.items():
            self.instance.create(name)
            self.instance.pair(name, number)
        self.instance.zap("sandbox", "phone", "add", PHONE)

    def views(self) -> dict[str, View] | None:
        """Every session as the API shows it; None while it does not answer."""
        try:
            answer = self.instance.http("GET", "/sessions", timeout=10)
        except (OSError, ValueError):
            return None
        if answer.status != 200:
            return None
        return {view["session_id"]: view for view in answer.body["sessions"]}

    # --- what rows do

    def signal(self, number: int) -> None:
        os.kill(self.instance.worker_pid(VICTIM), number)

    def fault(self, name: str, *more: str, mine: bool = True) -> None:
        own = ("--number", NUMBERS[VICTIM]) if mine else ()
        self.instance.zap("sandbox", "fault", name, *own, *more)

    def heal(self) -> None:
        self.instance.zap("sandbox", "fault", "clear", check=False)

    def start(self) -> None:
        self.heal()
        self.instance.zap("start", VICTIM)

    def pair_again(self) -> None:
        self.start()
        self.instance.wait_status(VICTIM, "connected", timeout=60)
        self.instance.pair(VICTIM, NUMBERS[VICTIM])

    def policy(self, **rules: object) -> Answer:
        return self.instance.http("PUT", f"/sessions/{VICTIM}/policy", rules)

    def shrink(self) -> None:
        """A limit below what the worker uses: what a leak comes to."""
        used = until("memory", lambda: self.instance.session(VICTIM).get("memory_bytes"), timeout=60)
        self.policy(max_memory_bytes=int(used) - (1 << 20))

    def drop_acknowledgements(self) -> None:
        self.fault("hold_acks")
        with contextlib.suppress(OSError):
            self.instance.http("POST", f"/api/{VICTIM}/send/message", {"phone": PHONE, "message": "x"}, timeout=3)

    def silence_at_login(self) -> None:
        self.fault("silent")
        self.fault("drop")

    def suspend(self) -> None:
        """Everything stands still, as on a machine that sleeps; clocks on the wall go on."""
        stopped = [process.pid for process in self.instance.processes()]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(40)
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)

    def small_disk(self) -> None:
        """The victim's folder lies on a small file system of its own from now on."""
        self._stopped()
        self.disk.mount()
        self._started()

    def fill_disk(self) -> None:
        self.disk.fill()
        self.instance.zap("sandbox", "say", PHONE, VICTIM, "no room for this", check=False)

    def whole_disk(self) -> None:
        self._stopped()
        self.disk.unmount()
        self._started()

    def leaking(self) -> None:
        """A limit the worker is well below, until it leaks."""
        used = until("memory", lambda: self.instance.session(VICTIM).get("memory_bytes"), timeout=60)
        self.policy(max_memory_bytes=int(used) + (24 << 20))

    def behind_proxy(self) -> None:
        self.proxy = ProxyThread("http", int(self.instance.settings["SANDBOX_PORT"]), login=LOGIN)
        self.proxy.__enter__()
        self.set_proxy(LOGIN[1])
        until("logged in through it", lambda: self.proxy.server.targets and _calm(self), timeout=90)

    def set_proxy(self, password: str) -> None:
        body = {"host": "127.0.0.1", "port": self.proxy.server.port, "username": LOGIN[0], "password": password}
        answer = self.instance.http("PUT", f"/sessions/{VICTIM}/proxy", body | {"type": "http", "required": True})
        assert answer.status == 200, answer

    def without_proxy(self) -> None:
        self.instance.zap("proxy", "remove", VICTIM, "--no-longer-required")
        until("logged in without it", lambda: _calm(self), timeout=90)
        self.proxy.__exit__()

    def jump(self, seconds: int) -> None:
        """It shows in every answer that the clock is another one."""
        assert isinstance(self.instance, ShiftedInstance)
        self.instance.jump(seconds)
        until("the jump", lambda: abs(self._ahead_s() - seconds) < HOUR_S / 2)

    def _ahead_s(self) -> float:
        return float(self.instance.http("GET", "/health").body["timestamp"]) - time.time()

    def _stopped(self) -> None:
        self.instance.zap("stop", VICTIM)
        until("stopped", lambda: self.instance.session(VICTIM)["pid"] is None)

    def _started(self) -> None:
        self.instance.zap("start", VICTIM)
        self.instance.wait_status(VICTIM, "authenticated", timeout=60)


def is_in(*reasons: str) -> Seen:
    return lambda view: str(view["reason"]) in reasons


def has_health(*words: str) -> Seen:
    return lambda view: str(view["health"]) in words


def anything(_: View) -> bool:
    return True


def not_fine(view: View) -> bool:
    return not fine(view)


def fine(view: View) -> bool:
    return (view["status"], view["health"]) == ("authenticated", "healthy")


class Row(NamedTuple):
    """`seen`: the fault shows in the victim's view. `cure`: what makes the repair possible, once it was seen.

    `by_operator`: the cure includes a command of the operator. `program`: a program is the victim. `wide`: it hits the server, so
    that the state of others may change too, though never their process. `ready` comes before, `tidy` after; `shifted`: on an
    instance whose clock can jump.
    """

    name: str
    act: Callable[[Scene], object]
    seen: Seen = not_fine
    cure: Callable[[Scene], object] = lambda _: None
    by_operator: bool = False
    wide: bool = False
    program: str | None = None
    tidy: Callable[[Scene], object] = lambda _: None
    all_die: bool = False
    ready: Callable[[Scene], object] = lambda _: None
    shifted: bool = False
    within_s: float = 150.0


def _refused(code: int) -> Row:
    """A login refused with a code; some are over by themselves once the server takes logins again, some are not."""
    lost = code in (401, 403, 406)
    tried_again = code in (500, 503)
    return Row(
        f"refused with {code}",
        lambda scene: scene.fault("refuse", "--code", str(code)),
        cure=Scene.pair_again if lost else Scene.heal if tried_again else Scene.start,
        by_operator=not tried_again,
        seen=is_in("logged_out")
        if lost
        else is_in("network")
        if tried_again
        else is_in("outdated" if code == 405 else "refused"),
    )


def _killed(program: str) -> Row:
    return Row(
        f"{program} killed",
        lambda scene: scene.instance.kill(scene.instance.program_pid(program)),
        program=program,
        wide=program in ("redis", "postgres"),
    )


ROWS: Final = (
    Row("worker killed", lambda scene: scene.signal(signal.SIGKILL)),
    Row("worker stopped (SIGSTOP)", lambda scene: scene.signal(signal.SIGSTOP)),
    Row("worker in a busy loop", lambda scene: spin(scene.instance.worker_pid(VICTIM))),
    Row(
        "worker leaking memory",
        lambda scene: leak(scene.instance.worker_pid(VICTIM)),
        ready=Scene.leaking,
        tidy=Scene.policy,
    ),
    Row("worker over its memory", Scene.shrink, cure=Scene.policy, tidy=Scene.policy),
    Row("half-open socket", lambda scene: scene.fault("silent"), seen=is_in("deaf"), cure=Scene.heal),
    Row("silent at login", Scene.silence_at_login, seen=is_in("network", "deaf"), cure=Scene.heal),
    Row(
        "acknowledgements dropped",
        Scene.drop_acknowledgements,
        seen=has_health("degraded"),
        cure=Scene.heal,
        tidy=Scene.heal,
    ),
    Row("connection dropped", lambda scene: scene.fault("drop")),
    Row("server restarts (10 s)", lambda scene: scene.fault("restart", "--seconds", "10", mine=False), wide=True),
    *(_refused(code) for code in (400, 409, 500, 501, 503, 405, 415, 418, 999)),
    Row("banned for 10 s", lambda scene: scene.fault("ban", "--seconds", "10"), seen=is_in("banned")),
    Row("replaced", lambda scene: scene.fault("replaced"), seen=is_in("replaced"), cure=Scene.start, by_operator=True),
    *(_refused(code) for code in (401, 403, 406)),
    Row(
        "unlinked",
        lambda scene: scene.fault("unlink"),
        seen=is_in("logged_out"),
        cure=Scene.pair_again,
        by_operator=True,
    ),
    Row(
        "proxy dead",
        lambda scene: scene.proxy.stop(),
        ready=Scene.behind_proxy,
        seen=is_in("proxy_failed"),
        cure=lambda scene: scene.proxy.start(),
        tidy=Scene.without_proxy,
    ),
    Row(
        "proxy refuses the password",
        lambda scene: scene.set_proxy("wrong"),
        ready=Scene.behind_proxy,
        seen=is_in("proxy_failed"),
        cure=lambda scene: scene.set_proxy(LOGIN[1]),
        by_operator=True,
        tidy=Scene.without_proxy,
    ),
    Row(
        "disk full",
        Scene.fill_disk,
        ready=Scene.small_disk,
        seen=is_in("disk_full"),
        cure=lambda scene: scene.disk.make_room(),
        tidy=Scene.whole_disk,
    ),
    # Nothing is to be seen of these three: nobody's process and nobody's state changes.
    Row("machine asleep for 40 s", Scene.suspend, seen=anything, wide=True),
    Row("clock an hour ahead", lambda scene: scene.jump(HOUR_S), seen=anything, shifted=True),
    Row("clock an hour back again", lambda scene: scene.jump(0), seen=anything, shifted=True),
    _killed("zygote"),
    _killed("orchestrator"),
    _killed("redis"),
    _killed("postgres"),
    Row(
        "supervisord killed, then up",
        lambda scene: scene.instance.kill(scene.instance.supervisord().pid),
        cure=lambda scene: scene.instance.up(),
        by_operator=True,
        all_die=True,
        wide=True,
        program="supervisord",
    ),
)


class Outcome(NamedTuple):
    """One row as it went. Times in seconds from the fault; `repaired_s` from the cure where one was needed."""

    row: str
    seen_s: float | None
    repaired_s: float | None
    by_operator: bool
    states: list[str]
    others: str
    history: list[str]

    @property
    def held(self) -> bool:
        return self.seen_s is not None and self.repaired_s is not None and self.others == "untouched"


def play(scene: Scene, row: Row) -> Outcome:
    """Makes the fault, watches until it was seen and repaired, and looks at the others."""
    until("a calm start", lambda: _calm(scene), timeout=90)
    row.ready(scene)
    before = scene.views() or {}
    old_pid = _program_pid(scene, row)
    states: list[str] = []
    began = time.monotonic()
    row.act(scene)
    if row.seen is anything:
        began = time.monotonic()
    seen_s = _watch(scene, row, began, states, _seen(scene, row, before, old_pid))
    cured = time.monotonic()
    row.cure(scene)
    repaired_at = _watch(scene, row, began, states, _repaired(scene, row, before, old_pid))
    repaired_s = (
        None
        if repaired_at is None
        else round(repaired_at - (cured - began if row.cure is not Row._field_defaults["cure"] else 0.0), 1)
    )
    others = _others(before, scene.views() or {}, row)
    answer = scene.instance.http("GET", f"/sessions/{VICTIM}/history?limit=10")
    history = [f"{entry['status']}/{entry['reason']}" for entry in reversed(answer.body["history"])]
    row.tidy(scene)
    return Outcome(row.name, seen_s, repaired_s, row.by_operator, states, others, history)


def _calm(scene: Scene) -> bool:
    views = scene.views()
    return views is not None and all(fine(view) for view in views.values())


def _program_pid(scene: Scene, row: Row) -> int | None:
    if row.program is None:
        return None
    return scene.instance.supervisord().pid if row.program == "supervisord" else scene.instance.program_pid(row.program)


def _seen(
    scene: Scene, row: Row, before: dict[str, View], old_pid: int | None
) -> Callable[[dict[str, View] | None], bool]:
    def check(views: dict[str, View] | None) -> bool:
        if row.program is not None:
            return not scene.instance.processes() if row.all_die else _new_pid(scene, row, old_pid)
        if views is None:
            return False
        view = views[VICTIM]
        # What is over before anybody looked shows in the process, or in the time of the state.
        brief = view["pid"] != before[VICTIM]["pid"] or view["since"] != before[VICTIM]["since"]
        return row.seen(view) or (row.seen is not_fine and brief)

    return check


def _new_pid(scene: Scene, row: Row, old_pid: int | None) -> bool:
    try:
        return (_program_pid(scene, row) or 0) not in (0, old_pid)
    except (ValueError, OSError):
        return False


def _repaired(
    scene: Scene, row: Row, before: dict[str, View], old_pid: int | None
) -> Callable[[dict[str, View] | None], bool]:
    dies = row.name.startswith("worker ")

    def check(views: dict[str, View] | None) -> bool:
        if views is None or not all(fine(view) for view in views.values()):
            return False
        return not dies or views[VICTIM]["pid"] != before[VICTIM]["pid"]

    return check


def _watch(
    scene: Scene, row: Row, began: float, states: list[str], check: Callable[[dict[str, View] | None], bool]
) -> float | None:
    """Seconds from `began` until the check held; every change of the victim's view goes into `states`."""
    end = time.monotonic() + row.within_s
    while time.monotonic() < end:
        views = scene.views()
        at = round(time.monotonic() - began, 1)
        shown = "no answer" if views is None else "{status}/{reason}/{health}".format(**views[VICTIM])
        if not states or states[-1].partition(" ")[2] != shown:
            states.append(f"{at} {shown}")
        if check(views):
            return at
        time.sleep(LOOK_S)
    return None


def _others(before: dict[str, View], after: dict[str, View], row: Row) -> str:
    if row.all_die:
        return "untouched" if all(fine(after[name]) for name in OTHERS) else "not back"
    for name in OTHERS:
        if before[name]["pid"] != after[name]["pid"]:
            return f"{name} has another process"
        if not row.wide and before[name]["since"] != after[name]["since"]:
            return f"{name} changed its state"
        if after[name]["restarts"] != before[name]["restarts"]:
            return f"{name} was restarted"
    return "untouched"


def run(names: list[str], *, settings: dict[str, str]) -> list[Outcome]:
    """The rows whose name holds one of `names`; all without. Those of a clock that jumps have an instance of their own."""
    chosen = [row for row in ROWS if not names or any(name in row.name for name in names)]
    outcomes: list[Outcome] = []
    for kind, rows in (
        (Instance, [row for row in chosen if not row.shifted]),
        (ShiftedInstance, [row for row in chosen if row.shifted]),
    ):
        if rows:
            with kind(sandbox=True, **settings) as instance:
                instance.up()
                scene = Scene(instance)
                scene.prepare()
                outcomes += _play_all(scene, rows)
    return outcomes


def _play_all(scene: Scene, rows: list[Row]) -> list[Outcome]:
    outcomes = []
    try:
        for row in rows:
            try:
                outcome = play(scene, row)
            except AssertionError as error:
                outcome = Outcome(row.name, None, None, row.by_operator, [], str(error)[:300], [])
            outcomes.append(outcome)
            sys.stderr.write(
                f"{outcome.row}: seen {outcome.seen_s} s, repaired {outcome.repaired_s} s, {outcome.others}\n"
            )
    finally:
        scene.disk.end()
    return outcomes


def _table(outcomes: list[Outcome]) -> str:
    lines = [
        "| fault | seen after (s) | repaired after (s) | by | what the API showed | others |",
        "|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        by = "operator" if one.by_operator else "itself"
        lines.append(f"| {one.row} | {one.seen_s} | {one.repaired_s} | {by} | {'; '.join(one.states)} | {one.others} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__)
    parser.add_argument("rows", nargs="*", help="parts of the names of rows; all without")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--path-check-s", default="15")
    arguments = parser.parse_args()
    outcomes = run(arguments.rows, settings={"PATH_CHECK_S": arguments.path_check_s})
    shown = json.dumps([one._asdict() for one in outcomes], indent=1) if arguments.json else _table(outcomes)
    sys.stdout.write(shown + "\n")
    return 0 if all(one.held for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

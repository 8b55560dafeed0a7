"""The loss test: phones send numbered messages one way while everything behind them dies, in turn and at random.

    python -m tests.e2e.chaos --messages 2000 --seed 1

Prints figures as JSON and ends with 1 when a message was lost, overtook another one of its chat, or a repeat had another event
id. The phones and WhatsApp itself (the sandbox's server) are the outside world: they die only in the second part, where every
process of the instance is killed at once and `zapvisor up` starts it again.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psutil

from ecosystem.home import session_folder
from tests.e2e.instance import Failed, Instance, until
from tests.support.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SESSION: Final = "alpha"
NUMBER: Final = "5511900000001"
PHONES: Final = ("5531900000003", "5541900000004", "5551900000005")
CHATS: Final = 4
"""One with each phone, and a group the first one writes to."""
RQ_PROCESSES: Final = 3
RQ_WORKERS: Final = 15
"""Five in each process."""
OUTAGE_S: Final = 20.0
TROUBLE_S: Final = 3.0
GAP_S: Final = (0.3, 2.0)
"""Between two blows."""
SETTLE_S: Final = 180.0
BETWEEN_S: Final = 4.0
"""Of sending, before everything dies at once, and before it does so again."""


class Plan(NamedTuple):
    """What a run does. `extra` blows at random after one of each kind; durations in seconds."""

    messages: int
    seed: int
    rate: float
    extra: int
    kinds: tuple[str, ...] = ()
    """Only these; none: all."""
    outage_s: float = OUTAGE_S
    trouble_s: float = TROUBLE_S
    machine_kills: int = 4


class Outcome(NamedTuple):
    """What came of one part."""

    messages: int
    arrived: int
    lost: list[str]
    lost_before_the_store: int
    """Those of the lost ones the session's own store never had."""
    repeats: int
    out_of_order: int
    split_events: int
    """Messages that came with more than one event id."""
    kills: dict[str, int]
    seconds: float
    settled_after_s: float

    @property
    def is_whole(self) -> bool:
        return not self.lost and not self.out_of_order and not self.split_events


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("sandbox", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class World:
    """An instance with one paired session, phones that write to it, a group, and a webhook for its messages."""

    def __init__(self, instance: Instance, sink: SinkThread) -> None:
        self.instance = instance
        self.sink = sink
        self.chats: list[tuple[str, str]] = []

    def prepare(self) -> None:
        """Brings everything up, down to one message of each chat at the endpoint."""
        zap = self.instance
        zap.up()
        zap.create(SESSION)
        zap.pair(SESSION, NUMBER)
        for number in PHONES:
            zap.zap("sandbox", "phone", "add", number)
        group = zap.http("POST", "/sandbox/groups", {"owner": PHONES[0], "subject": "all", "members": [NUMBER]})
        assert group.status == 201, group
        self.chats = [*((number, NUMBER) for number in PHONES), (PHONES[0], str(group.body["id"]))]
        zap.zap("webhook", "create", self.sink.sink.url(), "--event", "message")
        for place in range(CHATS):
            self.say(place, f"first {place}")
        until("the first of each chat", lambda: len(self.sink.texts()) == CHATS, 60)

    def say(self, place: int, text: str) -> None:
        """Has a phone send, until the server has taken it: nobody but the server may lose what it took."""
        phone, to = self.chats[place]
        body = json.dumps({"to": to, "text": text})
        while True:
            with suppress(OSError, http.client.HTTPException), closing(self._connection()) as connection:
                connection.request("POST", f"/phones/{phone}/messages", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == http.HTTPStatus.OK:
                    return
            time.sleep(0.1)

    def _connection(self) -> http.client.HTTPConnection:
        return _SocketConnection(self.instance.home.sandbox_socket)

    def in_store(self, text: str) -> bool:
        """Whether the session's own store has the message."""
        path = session_folder(self.instance.home.root / "storages", SESSION) / "chatstorage.db"
        with closing(sqlite3.connect(path, timeout=10)) as db:
            return (
                db.execute("SELECT 1 FROM outbox WHERE instr(body, ?)", (f'"{text}"'.encode(),)).fetchone() is not None
            )


class Storm:
    """Strikes one program after the other. `kills` counts the blows by kind."""

    def __init__(self, world: World, plan: Plan, dice: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self._instance = world.instance
        self._sink = world.sink
        self._plan = plan
        self._dice = dice
        self._trouble = 0.0
        kinds: dict[str, Callable[[], object]] = {
            "worker": lambda: self._kill(f"session:{SESSION}"),
            "zygote": lambda: self._kill("zygote"),
            "orchestrator and relay": lambda: self._kill("orchestrator"),
            "rq parent": lambda: self._kill("webhooks"),
            "redis": lambda: self._kill("redis"),
            "postgres away": self._stop_postgres,
            "endpoint 500": lambda: self._endpoint("500"),
            "endpoint hangs": lambda: self._endpoint("hang"),
            "endpoint resets": lambda: self._endpoint("reset"),
            "endpoint refuses": self._close_endpoint,
        }
        for slot in range(1, RQ_PROCESSES + 1):
            kinds[f"rq process {slot}"] = lambda slot=slot: self._kill_rq(slot)  # type: ignore[misc]
        self._kinds = {name: blow for name, blow in kinds.items() if not plan.kinds or name in plan.kinds}

    def rage(self) -> None:
        """Every kind once, in any order, then at random; ends with everything allowed to be well."""
        turn = list(self._kinds)
        self._dice.shuffle(turn)
        again = [name for name in self._kinds if name != "postgres away"]
        for name in (*turn, *(self._dice.choice(again) for _ in range(self._plan.extra))):
            time.sleep(self._dice.uniform(*GAP_S))
            if self._kinds[name]() is not False:
                self.kills[name] += 1

    def kill_machine(self) -> None:
        """Every process of the instance at once, then up again."""
        for process in self._instance.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until("all are gone", lambda: not self._instance.processes())
        self.kills["everything at once"] += 1
        self._instance.up()

    def _kill(self, program: str) -> None:
        self._instance.kill(until(f"{program} runs", lambda: self._pid(program), 60))

    def _pid(self, program: str) -> int | None:
        said = self._instance.supervisorctl("pid", program).strip()
        return int(said) if said.isdigit() and int(said) else None

    def _kill_rq(self, slot: int) -> bool:
        """False: it was not there, which is what another blow left."""
        pool = self._pid("webhooks")
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(pool).children() if pool else ():
                if child.name() == f"webhooks {slot}":
                    child.kill()
                    return True
        return False

    def _stop_postgres(self) -> None:
        self._instance.supervisorctl("stop", "postgres")
        time.sleep(self._plan.outage_s)
        self._instance.supervisorctl("start", "postgres")

    def _endpoint(self, how: str) -> None:
        self._sink.sink.behave("hook", how)
        time.sleep(self._plan.trouble_s)
        self._sink.sink.behave("hook", "ok")

    def _close_endpoint(self) -> None:
        self._sink.close()
        time.sleep(self._plan.trouble_s)
        self._sink.open()


class Part:
    """Numbered messages under one storm: `run` sends, strikes, waits, and judges what arrived."""

    def __init__(self, world: World, name: str, plan: Plan) -> None:
        self._world = world
        self._name = name
        self._plan = plan
        self._dice = random.Random(f"{plan.seed} {name}")  # noqa: S311
        self.storm = Storm(world, plan, self._dice)

    def run(self, strike: Callable[[], None]) -> Outcome:
        """Sends at the plan's rate, and on until `strike` has ended."""
        began = time.monotonic()
        sending = threading.Thread(target=self._send, name="phones", daemon=True)
        sending.start()
        strike()
        sending.join()
        sent = time.monotonic()
        wanted = {self._text(number) for number in range(self._plan.messages)}
        with suppress(AssertionError):
            until("all of them", lambda: wanted <= set(self._world.sink.texts()), SETTLE_S, 0.5)
        return self._judge(wanted, time.monotonic() - began, time.monotonic() - sent)

    def _text(self, number: int) -> str:
        return f"{self._name} {number % CHATS} {number:05}"

    def _send(self) -> None:
        began = time.monotonic()
        for number in range(self._plan.messages):
            self._world.say(number % CHATS, self._text(number))
            late = began + (number + 1) / self._plan.rate - time.monotonic()
            if late > 0:
                time.sleep(late)

    def _judge(self, wanted: set[str], seconds: float, settled: float) -> Outcome:
        first: dict[str, list[int]] = defaultdict(list)
        ids: dict[str, set[str]] = defaultdict(set)
        seen: set[str] = set()
        repeats = 0
        for one in self._world.sink.messages():
            payload: Any = one.payload
            text = str(payload.data["text"])
            if text not in wanted:
                continue
            repeats += payload.id in ids[payload.data["message_id"]]
            ids[payload.data["message_id"]].add(payload.id)
            if text not in seen:
                seen.add(text)
                first[payload.data["chat"]].append(int(text.rpartition(" ")[2]))
        lost = sorted(wanted - seen)
        return Outcome(
            messages=len(wanted),
            arrived=len(seen),
            lost=lost,
            lost_before_the_store=sum(not self._world.in_store(text) for text in lost),
            repeats=repeats,
            out_of_order=sum(
                later < earlier for numbers in first.values() for earlier, later in itertools.pairwise(numbers)
            ),
            split_events=sum(len(found) > 1 for found in ids.values()),
            kills=dict(sorted(self.storm.kills.items())),
            seconds=round(seconds, 1),
            settled_after_s=round(settled, 1),
        )


def in_turn(world: World, plan: Plan) -> Outcome:
    """Every part of the product dies by itself, the endpoint and PostgreSQL go away and come back."""
    part = Part(world, "turn", plan)
    return part.run(part.storm.rage)


def at_once(world: World, plan: Plan) -> Outcome:
    """All processes of the instance die at the same moment, a few times."""
    part = Part(world, "once", plan)

    def strike() -> None:
        for _ in range(plan.machine_kills):
            time.sleep(BETWEEN_S)
            part.storm.kill_machine()

    return part.run(strike)


def settings() -> dict[str, str]:
    """What the instance is told: nothing that would make it stronger, only that blows this frequent are no crash loop."""
    return {"MAX_RESTARTS": "1000", "WEBHOOK_WORKERS": str(RQ_WORKERS), "WEBHOOK_TIMEOUT": "2"}


def main(argv: list[str] | None = None) -> int:
    """Both parts; 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description="Kills everything, loses nothing.")
    parser.add_argument("--messages", type=int, default=2000, help="in each part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second")
    parser.add_argument("--extra", type=int, default=30, help="blows at random after one of each kind")
    parser.add_argument("--machine-kills", type=int, default=4, help="how often everything dies at once")
    parser.add_argument(
        "--kind", action="append", default=[], help="only this kind of blow, as in the figures; repeatable"
    )
    parser.add_argument("--only", choices=["turn", "once"])
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the instance's logs there at the end")
    given = parser.parse_args(argv)
    plan = Plan(
        given.messages, given.seed, given.rate, given.extra, tuple(given.kind), machine_kills=given.machine_kills
    )
    found: dict[str, Outcome] = {}
    with SinkThread() as sink, Instance(sandbox=True, **settings()) as instance:
        world = World(instance, sink)
        world.prepare()
        for name, part in (("turn", in_turn), ("once", at_once)):
            if given.only in (None, name):
                try:
                    found[name] = part(world, plan)
                except Failed as error:
                    sys.stderr.write(f"{error}\n")
                    return 1
        if given.keep_logs:
            import shutil

            shutil.copytree(instance.home.logs, given.keep_logs, dirs_exist_ok=True)
    figures = {"seed": plan.seed, "rate": plan.rate} | {name: one._asdict() for name, one in found.items()}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0 if all(one.is_whole for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

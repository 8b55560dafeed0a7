"""Keys on the whole product: a session's key at the gateway and at the worker's own port; and where no secret may turn up."""

from __future__ import annotations

import base64
import contextlib
import json
import stat
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest

from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ADMIN_KEY: Final = "canary-admin-key-3f9a1c7b5e"
GIVEN_KEY: Final = "canary-given-key-8d2e4b6f0a"
PASSWORD: Final = "canary-dashboard-password-51c3"
WEBHOOK_SECRET: Final = "canary-webhook-secret-77ad19"
WEBHOOK_HEADER: Final = "canary-webhook-header-5e2b90"
PROXY_PASSWORD: Final = "canary-proxy-password-c81f4d"
WRONG_KEY: Final = "canary-wrong-key-0b9d8c7e6f"


@pytest.fixture(scope="module")
def planted() -> Iterator[Instance]:
    """An instance whose secrets are known words, with `alpha` and `beta` paired."""
    with Instance(ADMIN_API_KEY=ADMIN_KEY, DASHBOARD_BASIC_AUTH=f"ana:{PASSWORD}") as running:
        running.up()
        for name, number in (("alpha", ALPHA), ("beta", BETA)):
            body = {"session_id": name, **({"api_key": GIVEN_KEY} if name == "alpha" else {})}
            answer = running.http("POST", "/sessions?wait=20", body)
            assert answer.status == 201, answer
            running.pair(name, number)
        yield running


def issue(instance: Instance, *scopes: str) -> dict[str, Any]:
    return dict(json.loads(instance.zap(
        "key", "create", "e2e", "--session", "alpha", "--json", *(word for scope in scopes for word in ("--scope", scope))
    ).stdout))  # fmt: skip


def at_port(instance: Instance, key: str | None, path: str = "/chats", method: str = "GET") -> tuple[int, str]:
    """What the worker of `alpha` answers on its own port."""
    port = instance.session("alpha")["port"]
    answer = instance.http(method, path, key=key, port=port)
    return answer.status, answer.body["code"]


def test_a_session_s_key_sends_from_its_session_alone(planted: Instance) -> None:
    sent = planted.http("POST", "/api/alpha/send/message", {"phone": BETA, "message": "with my key"}, key=GIVEN_KEY)
    assert sent.status == 200, sent
    until("it arrived", lambda: "with my key" in planted.texts("beta", ALPHA))
    other = planted.http("POST", "/api/beta/send/message", {"phone": ALPHA, "message": "x"}, key=GIVEN_KEY)
    assert (other.status, other.body["code"]) == (403, "session_forbidden")
    legacy = planted.http("GET", "/app/status", key=GIVEN_KEY)
    assert (legacy.status, legacy.body["results"]["device_id"]) == (200, "alpha")


def test_only_the_admin_has_addresses_inside_fetched(planted: Instance) -> None:
    inside = f"http://127.0.0.1:{planted.port}/health"
    body = {"phone": BETA, "file_url": inside}
    for path, port in (("/api/alpha/send/file", None), ("/send/file", planted.session("alpha")["port"])):
        forged = {"X-Key-Kind": "admin"}
        refused = planted.http("POST", path, body, key=GIVEN_KEY, port=port, headers=forged)
        assert (refused.status, refused.body["code"]) == (400, "media_url_unreachable"), refused
    sent = planted.http("POST", "/api/alpha/send/file", body)
    assert sent.status == 200, sent


def test_a_worker_s_own_port_knows_the_keys_without_a_restart(planted: Instance) -> None:
    pid = planted.worker_pid("alpha")
    assert at_port(planted, None) == (401, "api_key_missing")
    assert at_port(planted, GIVEN_KEY) == (200, "SUCCESS")
    reader = issue(planted, "read")
    until("the worker knows it", lambda: at_port(planted, reader["api_key"]) == (200, "SUCCESS"))
    assert at_port(planted, reader["api_key"], "/app/logout", "POST") == (403, "scope_missing")
    planted.zap("key", "revoke", reader["id"], "--yes")
    until("it forgot it", lambda: at_port(planted, reader["api_key"]) == (401, "api_key_unknown"))
    assert planted.worker_pid("alpha") == pid


def test_a_killed_worker_comes_back_with_the_keys_of_now(planted: Instance) -> None:
    reader = issue(planted, "read")
    until("the worker knows it", lambda: at_port(planted, reader["api_key"]) == (200, "SUCCESS"))
    pid = planted.worker_pid("alpha")
    planted.kill(pid)

    def back() -> bool:
        view = planted.session("alpha")
        if view["pid"] in (None, pid) or view["status"] != "authenticated":
            return False
        return at_port(planted, reader["api_key"]) == (200, "SUCCESS")

    until("another process knows it", back)


def test_the_audit_log_tells_what_happened(planted: Instance) -> None:
    planted.http("GET", "/sessions", key=WRONG_KEY)
    planted.send("alpha", BETA, "written down")

    def told(member: str, *options: str) -> set[str]:
        return {entry[member] for entry in planted.zap_json("audit", *options)["entries"]}

    until(
        "the message is there", lambda: "POST /send/message" in told("action", "--session", "alpha", "--limit", "200")
    )
    until("the refusal is there", lambda: "api_key_unknown" in told("result", "--failed"))


def go_through_a_proxy(instance: Instance) -> None:
    """A third session that connects through a proxy with a password, where nobody answers."""
    assert instance.http("POST", "/sessions?wait=20", {"session_id": "gamma"}).status == 201
    proxy = {"host": "127.0.0.1", "port": 9, "type": "socks5", "username": "ana", "password": PROXY_PASSWORD}
    assert instance.http("PUT", "/sessions/gamma/proxy", proxy).status == 200
    instance.http("POST", "/sessions/gamma/proxy/test", {})
    instance.http("POST", "/sessions/gamma/proxy/test", {**proxy, "port": 1})
    instance.http("PUT", "/sessions/gamma/proxy", {**proxy, "surprise": 1})

    def it_failed() -> bool:
        return "gamma" in instance.zap("list").stdout and instance.session("gamma")["pid"] is not None

    until("its worker is there", it_failed)


def log_lines(instance: Instance) -> list[dict[str, Any]]:
    """Every line of every program's log that is JSON."""
    found = []
    for path in instance.home.logs.rglob("*"):
        if path.is_file():
            whole = path.read_text(errors="replace").rpartition("\n")[0]  # the last line may still be being written
            found += [json.loads(line) for line in whole.splitlines() if line[:1] == "{"]
    return found


def test_a_request_s_id_goes_all_the_way(planted: Instance) -> None:
    number = "e2e-request-4711"
    body = {"phone": BETA, "message": "with an id"}
    sent = planted.http("POST", "/api/alpha/send/message", body, key=GIVEN_KEY, headers={"X-Request-Id": number})
    assert (sent.status, {name.lower(): value for name, value in sent.headers.items()}["x-request-id"]) == (200, number)

    def lines() -> dict[str, dict[str, Any]] | None:
        found = {line["program"]: line for line in log_lines(planted)
                 if line.get("request_id") == number and line["event"] == "http_answer"}  # fmt: skip
        return found if len(found) == 2 else None

    by_program = until("gateway and worker wrote it down", lines)
    assert set(by_program) == {"orchestrator", "worker:alpha"}
    for line in by_program.values():
        assert (line["key"], line["status"], line["method"]) == ("session", 200, "POST")
        assert line["ms"] > 0
        assert line["route"].endswith(("/send/message", "/{tail}"))
    until("an event carries it", lambda: number in {event["request_id"] for event in planted.events("alpha")})
    until("so does the audit log", lambda: number in {
        entry["request_id"] for entry in planted.zap_json("audit", "--session", "alpha", "--limit", "200")["entries"]
    })  # fmt: skip


def test_no_secret_turns_up_where_it_does_not_belong(planted: Instance) -> None:
    made = issue(planted, "read")
    hook = {"url": f"http://127.0.0.1:{planted.port}/nowhere", "events": ["*"], "secret": WEBHOOK_SECRET,
            "headers": {"X-Token": WEBHOOK_HEADER}}  # fmt: skip
    assert planted.http("POST", "/webhooks", hook).status == 201
    go_through_a_proxy(planted)
    planted.http("POST", "/login", {"user": "ana", "password": PASSWORD}, key=None)
    planted.http("POST", "/login", {"key": WRONG_KEY}, key=None)
    planted.http("GET", f"/sessions/{WRONG_KEY}", key=WRONG_KEY)
    planted.http("POST", "/sessions", b'{"session_id": "x", "api_key": "' + WRONG_KEY.encode() + b'", "surprise": 1}')
    planted.http("GET", f"/ws?token={ADMIN_KEY}", key=None)
    passing = passing_secrets(planted)
    done = planted.zap("key", "rotate-secret")
    rotated = done.stdout + done.stderr
    # A message that could only be said with those in hand.
    planted.send("alpha", BETA, "done")
    gateway_key = planted.home.gateway_key.read_text().strip()
    secret_keys = (planted.home.root / "secret.key").read_text().split()
    canaries = [ADMIN_KEY, GIVEN_KEY, PASSWORD, WEBHOOK_SECRET, WEBHOOK_HEADER, PROXY_PASSWORD, made["api_key"], gateway_key,
                *secret_keys, *passing]  # fmt: skip
    places: dict[str, str] = {}
    for path in planted.home.logs.rglob("*"):
        if path.is_file():
            places[f"the log {path.name}"] = path.read_text(errors="replace")
    for process in planted.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's own come and go
            name = f"{process.pid} {' '.join(process.cmdline())[:80]}"
            places[f"the arguments of {name}"] = "\0".join(process.cmdline())
            places[f"the environment of {name}"] = str(process.environ())
    for path in (planted.home.supervisord_conf, planted.home.run / "session-template.json"):
        places[path.name] = path.read_text()
    for route in ("/sessions", "/sessions/alpha", "/keys", "/sessions/alpha/keys", "/audit?limit=1000", "/status",
                 "/webhooks", "/openapi.json", "/api/alpha/state", "/api/alpha/app/status", "/health", "/ready", "/whoami",
                 "/programs/orchestrator/logs", "/sessions/alpha/logs", "/sessions/alpha/history",
                 "/sessions/gamma", "/sessions/gamma/proxy", "/sessions/gamma/logs", "/devices", "/alerts", "/metrics", "/series",
                 "/server", "/events/schema", "/sessions/alpha/policy", "/sessions/alpha/series",
                 "/webhooks/dead-letters"):  # fmt: skip
        answer = planted.http("GET", route)
        assert answer.status == 200, (route, answer)
        places[f"the answer to {route}"] = str(answer.body)
    places["the events"] = json.dumps(planted.events())
    places["describe"] = planted.zap("describe", "alpha").stdout
    places["describe gamma"] = planted.zap("describe", "gamma").stdout
    places["the rotation"] = rotated
    assert len(places) > 40
    # A QR code and a pairing code are told as events, to who may see those; nowhere else.
    told = {"the events": {*passing}}
    found = [(place, canary[:22]) for place, text in places.items()
             for canary in canaries if canary in text and canary not in told.get(place, ())]  # fmt: skip
    assert found == []
    assert WRONG_KEY not in "".join(text for place, text in places.items() if place.startswith("the log"))


def passing_secrets(instance: Instance) -> list[str]:
    """Secrets that are made while it runs: a QR code, a pairing code, a cookie and its token, a key in basic authentication."""
    assert instance.http("POST", "/sessions?wait=20", {"session_id": "delta"}).status == 201

    def shown() -> str | None:
        answer = instance.http("GET", "/sessions/delta/qr?format=json")
        return str(answer.body["text"]) if answer.status == 200 else None

    qr = until("a QR code is shown", shown)
    # All but its address, which every code has.
    parts = [part for part in qr.partition("#")[2].split(",") if len(part) > 20]
    assert parts
    number = "5511900000099"
    instance.zap("sandbox", "phone", "add", number)
    paired = instance.http("POST", "/sessions/delta/pairphone", {"phone": number})
    assert paired.status == 200, paired
    pair_code = next(value for name, value in paired.body.items() if "code" in name and isinstance(value, str))
    signed_in = instance.http("POST", "/login", {"key": GIVEN_KEY}, key=None)
    basic = base64.b64encode(f"x:{GIVEN_KEY}".encode()).decode()
    instance.http("GET", "/chats", key=None, headers={"Authorization": f"Basic {basic}"})
    instance.http("GET", f"/ws?authorization={basic}", key=None)
    return [*parts, pair_code, basic, signed_in.headers["Set-Cookie"].partition("=")[2].partition(";")[0]]


def test_another_user_of_the_machine_reaches_nothing_but_programs(planted: Instance) -> None:
    """By the modes of each file and of every folder above it: what is left are files that hold no secret."""
    harmless = {"redis.conf", "postgresql.conf", "pg_hba.conf", "supervisord.pid"}
    open_to_others, sockets = [], 0
    modes = {planted.home.root: planted.home.root.stat().st_mode}
    modes |= {path: status.st_mode for path, status in planted.files()}
    for path, mode in modes.items():
        reachable = all(modes[above] & 0o001 for above in path.parents if above in modes)
        if stat.S_ISSOCK(mode):
            sockets += 1
            assert not (reachable and mode & 0o006), path
        if reachable and stat.S_ISREG(mode) and mode & 0o006:
            assert not mode & 0o002, path
            if path.name not in harmless and not any(part.startswith(("bin-", "redis-server-")) for part in path.parts):
                open_to_others.append(str(path))
    assert sockets >= 4
    assert open_to_others == []


def test_files_with_secrets_are_the_owner_s_alone(planted: Instance) -> None:
    wanted = (ADMIN_KEY, GIVEN_KEY, PASSWORD, planted.home.gateway_key.read_text().strip())
    open_to_others = []
    modes = {path: status.st_mode for path, status in planted.files()}
    for path, text in planted.contents(below_bytes=1 << 20):
        if any(secret.encode() in text for secret in wanted) and modes.get(path, 0o077) & 0o077:
            open_to_others.append(str(path))
    assert open_to_others == []
    assert psutil.pid_exists(planted.worker_pid("alpha"))

"""The session's states: what each engine event makes of them, and what is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecosystem.contract.diagnosis import PathHealth
from ecosystem.contract.errors import (
    AccountRestricted,
    DomainError,
    IllegalAction,
    SessionAlreadyAuthenticated,
    WhatsAppRejected,
    WhatsAppTimeout,
    WorkerStarting,
)
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import TRANSITIONS, Reason, SessionState
from tests.support.scripted_engine import incoming, text_to
from tests.unit.worker.conftest import ScriptedRedis, Stage
from worker import session as module
from worker import watch as watching
from worker.ending import WorkerEnd
from worker.engine import protocol as say
from worker.path import PathLost
from worker.rests import Rests, Ways
from worker.store.session_store import SessionStore
from worker.timers import TimeUp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S, R = SessionState, Reason
QR = say.QrShown(text="https://wa.me/x")


async def online(stage: Stage) -> None:
    await stage.session.start(connect=True)
    await stage.play(say.Online())


ENDS: list[tuple[say.EngineEvent, SessionState, Reason, str]] = [
    (say.LoggedOut(on_connect=False, detail="logged_out"), S.ERROR, R.LOGGED_OUT, "session_logged_out"),
    (say.Replaced(), S.ERROR, R.REPLACED, "session_not_authenticated"),
    (say.Banned(code="101", seconds=60), S.ERROR, R.BANNED, "session_banned"),
    (say.Outdated(), S.ERROR, R.OUTDATED, "client_outdated"),
    (say.Refused(detail="400"), S.ERROR, R.REFUSED, "session_not_authenticated"),
]


@pytest.mark.parametrize(("event", "state", "reason", "code"), ENDS, ids=lambda value: type(value).__name__)
async def test_ends_are_kept_and_ask_for_a_fresh_process(
    stage: Stage, event: say.EngineEvent, state: SessionState, reason: Reason, code: str
) -> None:
    await online(stage)
    await stage.play(event, say.Online(), say.Offline(), QR, say.EngineEnded(error="x", connected_once=True))
    assert (stage.session.state, stage.session.reason) == (state, reason)
    with pytest.raises(DomainError) as refused:
        await stage.session.send(text_to("1@lid", "x"))
    assert refused.value.code == code
    assert stage.engine.sent == []
    with pytest.raises(WorkerStarting):
        await stage.session.current_qr(0.01)
    assert (await asyncio.wait_for(stage.ended, 30)).code is WorkerExit.REPLACE


async def test_who_it_is_is_asked_once_at_a_time_and_told_when_it_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDENTITY_PATIENCE_S", 0.01)
    stage.engine.identify_delay_s = 0.3
    changes: list[str | None] = []
    stage.session.changed = lambda: changes.append(stage.session.jid)
    await online(stage)
    assert (stage.session.state, stage.session.jid) == (S.AUTHENTICATED, None)
    await stage.play(say.Paired(jid="4915100000001:3@s.whatsapp.net"), say.Offline(), say.Online())
    assert stage.engine.calls.count("identify") == 1
    await stage.session.look_again()
    assert stage.engine.calls.count("identify") == 1
    assert (stage.session.push_name, changes[-1]) == ("Ada", "4915100000001:3@s.whatsapp.net")
    await stage.session.look_again()
    assert stage.engine.calls.count("identify") == 2


async def test_pairing_by_qr_to_online(stage: Stage) -> None:
    await stage.session.start(connect=True)
    await stage.play(QR)
    shown = await stage.session.current_qr(1)
    assert (shown.text, shown.seq) == ("https://wa.me/x", 1)
    assert 55 < shown.left_s() <= 60
    await stage.play(say.QrShown(text="two"))
    assert (await stage.session.current_qr(1)).left_s() <= 20
    await stage.play(
        say.PairingEnded(outcome="success"), say.Paired(jid="1:2@s.whatsapp.net"), say.Offline(), say.Online()
    )
    assert (stage.session.state, stage.session.reason) == (S.AUTHENTICATED, R.ONLINE)
    with pytest.raises(SessionAlreadyAuthenticated):
        await stage.session.current_qr(1)
    told = await stage.told()
    assert [event.type for event in told] == [
        "session.state", "session.state", "session.qr", "session.qr", "session.state", "session.paired", "session.state",
        "session.connected",
    ]  # fmt: skip
    assert [event.seq for event in told] == list(range(1, 9))
    assert [event.data["reason"] for event in told if event.type == "session.state"] == [
        "connecting", "pairing", "paired", "online",
    ]  # fmt: skip
    assert told[5].data == {"jid": "4915100000001@s.whatsapp.net", "lid": "777@lid"}
    assert told[-1].jid == "4915100000001@s.whatsapp.net"
    assert told[-1].metadata == {"team": "x"}


async def test_qr_codes_that_run_out(stage: Stage) -> None:
    await stage.session.start(connect=True)
    await stage.play(QR, say.PairingEnded(outcome="timeout"))
    assert (stage.session.state, stage.session.reason) == (S.DISCONNECTED, R.PAIRING_EXPIRED)
    await asyncio.sleep(0)
    assert stage.engine.calls == ["start", "stop"]


async def test_the_time_for_pairing_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.session, "_pairing_timeout_s", 0.01)
    await stage.session.start(connect=True)
    await stage.play(QR)
    await stage.next_timer()
    assert (stage.session.state, stage.session.reason) == (S.DISCONNECTED, R.PAIRING_EXPIRED)


@pytest.mark.parametrize(
    ("events", "constant"),
    [
        ([], "SILENT_START_S"),
        ([QR, say.PairingEnded(outcome="success"), say.Paired(jid="1:2@s.whatsapp.net")], "LOGIN_AFTER_PAIRING_S"),
        ([QR, say.Offline()], "LOGIN_AFTER_PAIRING_S"),
    ],
)
async def test_silences_end_the_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, events: list[say.EngineEvent], constant: str
) -> None:
    monkeypatch.setattr(module, constant, 0.01)
    monkeypatch.setattr(module, "IDENTITY_AGAIN_S", 100)
    await stage.session.start(connect=True)
    await stage.play(*events)
    with pytest.raises(WorkerEnd) as end:
        await stage.next_timer()
    assert end.value.code is WorkerExit.ENGINE_ENDED


async def test_a_timer_set_anew_has_no_old_say(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await online(stage)
    await stage.play(say.Offline(), TimeUp("login"))
    assert (stage.session.state, stage.session.reason) == (S.CONNECTING, R.NETWORK)


async def test_reconnecting_by_itself_is_counted(stage: Stage) -> None:
    await online(stage)
    await stage.play(say.Offline(), say.Online())
    assert stage.session.state is S.AUTHENTICATED
    assert stage.session.tally.reconnects == 1


async def test_the_engine_ending_ends_the_process(stage: Stage) -> None:
    await online(stage)
    with pytest.raises(WorkerEnd) as end:
        await stage.play(say.EngineEnded(error="a callback failed", connected_once=True))
    assert end.value.code is WorkerExit.ENGINE_ENDED
    assert "a callback failed" in end.value.message


async def test_a_refusal_the_engine_has_no_word_for_is_a_refusal(stage: Stage) -> None:
    await online(stage)
    await stage.play(
        say.EngineEnded(error='proto: required field "Reason" not set', connected_once=True, refused_with=415)
    )
    assert (stage.session.state, stage.session.reason) == (S.ERROR, R.REFUSED)
    assert stage.session.detail == "a refusal this client has no word for (415)"
    assert stage.session.link_view().rests_until is not None


async def test_never_reaching_whatsapp_is_tried_again_for_ever(stage: Stage) -> None:
    await stage.store.put_meta("connect_failures", "3")
    await stage.session.start(connect=True)
    assert stage.session.link.tries == 3
    await stage.play(say.EngineEnded(error="read tcp 127.0.0.1:46128->127.0.0.1:1: refused", connected_once=False))
    assert (stage.session.state, stage.session.reason) == (S.CONNECTING, R.NETWORK)
    assert stage.session.detail == "read tcp 127.0.0.1:1: refused"  # the same at every try
    await asyncio.sleep(0)
    assert stage.session.link_view().next_try_at is not None
    assert await stage.store.get_meta("connect_failures") == "4"


async def test_getting_through_forgets_the_failures(stage: Stage) -> None:
    await stage.store.put_meta("connect_failures", "5")
    await online(stage)
    assert await stage.store.get_meta("connect_failures") == "0"


@pytest.mark.parametrize("event", [QR, say.Online(), say.Offline(), say.Paired(jid="1:2@s.whatsapp.net")])
async def test_nothing_moves_a_session_whose_engine_is_gone(stage: Stage, event: say.EngineEvent) -> None:
    await stage.session.start(connect=True)
    await asyncio.sleep(0)  # connected, as its link does it
    await stage.play(say.EngineEnded(error="dial tcp: refused", connected_once=False), event)
    assert (stage.session.state, stage.session.reason) == (S.CONNECTING, R.NETWORK)


async def test_a_proxy_that_fails_is_named_only_where_there_is_one(stage: Stage) -> None:
    stage.session._ways = Ways(proxied=True)
    await stage.session.start(connect=True)
    await stage.play(say.EngineEnded(error="proxyconnect tcp: dial tcp 127.0.0.1:1: refused", connected_once=False))
    assert stage.session.reason is R.PROXY_FAILED


async def test_a_restriction_is_shown_and_stops_nothing(stage: Stage) -> None:
    await online(stage)
    stage.engine.refusal = AccountRestricted()
    with pytest.raises(AccountRestricted):
        await stage.session.send(text_to("4915100000002@s.whatsapp.net", "new"))
    assert (stage.session.state, stage.session.reason) == (S.AUTHENTICATED, R.RESTRICTED)
    stage.engine.refusal = None
    await stage.session.send(text_to("4915100000002@s.whatsapp.net", "a reply"))


# --- ends that are not fought ------------------------------------------------------------------


async def another_process(stage: Stage, generation: int = 1, version: str = "") -> Stage:
    """What the next process of the session begins with."""
    found = Stage(stage.store, stage.redis)
    found.session._rests = Rests(stage.store, generation=generation, version=version)
    await found.session.start(connect=True)
    await asyncio.sleep(0)
    return found


@pytest.mark.parametrize(
    "event", [say.Replaced(), say.Outdated(), say.Banned(code="101", seconds=600), say.Refused(detail="400")]
)
async def test_a_restart_of_the_process_fights_no_end(stage: Stage, event: say.EngineEvent) -> None:
    await online(stage)
    await stage.play(event)
    later = await another_process(stage)
    assert (later.session.state, later.session.reason) == (S.ERROR, stage.session.reason)
    assert later.engine.calls == []
    await later.session.leave()
    started = await another_process(stage, generation=2)
    assert started.engine.calls == ["start"]
    await started.play(say.Online())
    await started.session.leave()
    assert (await another_process(stage)).engine.calls == ["start"]  # forgotten with the login


async def test_an_outdated_client_tries_again_with_another_version(stage: Stage) -> None:
    await online(stage)
    await stage.play(say.Outdated())
    assert (await another_process(stage, version="newer")).engine.calls == ["start"]


async def test_a_ban_that_is_over_ends_in_a_fresh_process(stage: Stage) -> None:
    await online(stage)
    await stage.play(say.Banned(code="101", seconds=600))
    until = stage.session.link_view().rests_until
    assert until is not None
    stage.session._timers.set("rest", 0.0)
    with pytest.raises(WorkerEnd) as end:
        await stage.next_timer()
    assert end.value.code is WorkerExit.REPLACE


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0.01)


# --- deafness --------------------------------------------------------------------------------------


async def test_a_deaf_session_connects_anew_then_its_worker_ends_then_it_goes_on_trying(stage: Stage) -> None:
    await online(stage)
    await stage.play(PathLost("2 round trips unanswered"))
    assert (stage.session.state, stage.session.reason) == (S.CONNECTING, R.DEAF)
    assert stage.session.link._task is not None
    await asyncio.wait_for(asyncio.wait([stage.session.link._task]), 10)
    assert stage.engine.calls[-2:] == ["hang up", "start"]
    await stage.play(say.Online())
    with pytest.raises(WorkerEnd) as end:
        await stage.play(PathLost("again"))
    assert end.value.code is WorkerExit.DEAF
    later = await another_process(stage)
    assert later.session.reason is R.DEAF
    await later.play(say.Online(), PathLost("still"))
    assert (later.session.state, later.session.reason) == (S.CONNECTING, R.DEAF)
    await later.session.leave()


async def test_an_answer_ends_the_deafness(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PROOF_AGAIN_S", 0.01)
    await stage.store.put_meta("deaf_times", "2")
    await online(stage)
    task = asyncio.create_task(stage.session.watch.run())
    await until(lambda: stage.session._deaf_times == 0)
    task.cancel()
    view = stage.session.watch.view()
    assert view is not None
    assert view.health is PathHealth.HEALTHY


async def test_messages_are_recorded_and_counted(stage: Stage) -> None:
    await online(stage)
    await stage.arrive(incoming("one"))
    await stage.arrive(incoming("one"))
    await stage.arrive(b"null")
    told = [event for event in await stage.told() if event.type == "message"]
    assert [event.data["text"] for event in told] == ["one"]
    assert stage.session.tally.messages_in == 1
    assert await stage.store.leftovers() == []


async def test_what_cannot_be_understood_is_kept_and_stops_nobody(stage: Stage) -> None:
    await online(stage)
    await stage.arrive(b"{}")
    await stage.arrive(incoming("after"))
    assert stage.session.tally.messages_in == 1
    assert "could not be understood" in (stage.session.tally.last_error or "")
    with stage.store.database.reading() as db:
        rows = db.execute("SELECT error FROM inbox").fetchall()
    assert len(rows) == 1
    assert "ValidationError" in rows[0]["error"]


async def test_leftovers_of_a_killed_worker_come_first(stage: Stage) -> None:
    await asyncio.to_thread(stage.store.journal, 17, msgspec.json.encode(incoming("left over")))
    await stage.session.start(connect=True)
    told = await stage.told()
    assert [event.type for event in told] == ["message", "session.state"]


async def test_the_next_worker_tells_what_a_killed_one_could_not(stage: Stage) -> None:
    await online(stage)
    before = len(await stage.told())
    # The store is all that is left of the first one.
    after = Stage(stage.store, ScriptedRedis())
    await after.session.start(connect=True)
    told = (await after.told())[before:]
    assert [(event.type, event.data.get("old"), event.data["reason"]) for event in told] == [
        ("session.state", "authenticated", "worker_lost"),
        ("session.disconnected", "authenticated", "worker_lost"),
        ("session.state", "disconnected", "connecting"),
    ]
    await after.session.leave()
    assert (await after.told())[-1].type == "session.disconnected"
    third = Stage(stage.store, ScriptedRedis())
    so_far = len(await third.told())
    await third.session.start(connect=True)
    assert [event.data["reason"] for event in (await third.told())[so_far:]] == ["connecting"]
    await third.session.leave()


async def test_every_event_counts(stage: Stage) -> None:
    await online(stage)
    await stage.play(say.Banned(code="101", seconds=60))
    told = [event.type for event in await stage.told()]
    assert told == [
        "session.state", "session.state", "session.connected",
        "session.state", "session.disconnected", "session.banned", "session.error",
    ]  # fmt: skip
    assert stage.session.tally.events == len(told)


async def test_sending_records_the_message(stage: Stage) -> None:
    await online(stage)
    await stage.session.send(text_to("4915100000002@s.whatsapp.net", "out"))
    stage.engine.refusal = WhatsAppRejected("no")
    with pytest.raises(WhatsAppRejected):
        await stage.session.send(text_to("4915100000002@s.whatsapp.net", "refused"))
    told = [event.data for event in await stage.told() if event.type == "message"]
    assert [(item["text"], item["from_me"]) for item in told] == [("out", True)]
    assert stage.session.tally.messages_out == 1


async def test_a_late_send_is_recorded(stage: Stage) -> None:
    await online(stage)
    sent = await stage.engine.send(text_to("1@lid", "late"))
    await stage.play(say.SentLate(outgoing=text_to("4915100000002@s.whatsapp.net", "late"), sent=sent))
    assert (await stage.told())[-1].data["text"] == "late"


async def test_logout_asked_for(stage: Stage) -> None:
    await online(stage)
    await stage.session.log_out()
    assert (stage.session.state, stage.session.reason) == (S.DISCONNECTED, R.LOGGED_OUT)
    assert "log_out" in stage.engine.calls
    with pytest.raises(DomainError):
        await stage.session.log_out()


async def test_without_a_connection(stage: Stage) -> None:
    await stage.session.start(connect=False)
    assert (stage.session.state, stage.session.reason) == (S.DISCONNECTED, R.STOPPED)
    assert stage.engine.calls == []
    with pytest.raises(IllegalAction):
        await stage.session.current_qr(1)


async def test_a_path_that_does_not_answer_is_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PROOF_AGAIN_S", 0.01)
    await online(stage)
    stage.engine.answers_proofs = False
    task = asyncio.create_task(stage.session.watch.run())
    lost = await asyncio.wait_for(stage.session._queue.get(), 10)
    task.cancel()
    assert isinstance(lost, PathLost)
    assert stage.session.watch.path.health is PathHealth.DEAF


async def test_an_engine_that_cannot_be_asked_is_no_deaf_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PROOF_AGAIN_S", 0.001)
    await online(stage)
    stage.engine.answers_proofs = None
    await stage.play(say.KeepAliveLost(count=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stage.session.watch.run(), 0.3)
    assert stage.engine.calls.count("prove") > 2
    assert stage.session.watch.path.health is PathHealth.DEGRADED


async def test_a_send_without_acknowledgement_makes_the_path_doubtful(stage: Stage) -> None:
    await online(stage)
    stage.engine.refusal = WhatsAppTimeout()
    with pytest.raises(WhatsAppTimeout):
        await stage.session.send(text_to("1@lid", "x"))
    view = stage.session.watch.view()
    assert view is not None
    assert (view.health, view.sends_lost) == (PathHealth.DEGRADED, 1)
    stage.engine.refusal = None
    await stage.session.send(text_to("1@lid", "x"))
    assert stage.session.watch.path.health is PathHealth.HEALTHY


EVENTS: Any = st.sampled_from(
    [
        QR, say.PairingEnded(outcome="success"), say.PairingEnded(outcome="timeout"), say.PairingEnded(outcome="err-x"),
        say.Paired(jid="1:2@s.whatsapp.net"), say.PairingRefused(error="x"), say.Online(), say.Offline(),
        say.LoggedOut(on_connect=True, detail="x"), say.Replaced(), say.Banned(code="x", seconds=0), say.Outdated(),
        say.Refused(detail="x"), say.Trouble(detail="x"), say.EngineEnded(error=None, connected_once=True),
        say.EngineEnded(error="x", connected_once=False), TimeUp("qr"), TimeUp("login"), TimeUp("rest"), PathLost("x"),
        say.KeepAliveLost(count=2), say.KeepAliveBack(),
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=12))
def test_no_order_of_events_breaks_the_chart(
    tmp_path_factory: pytest.TempPathFactory, events: list[say.EngineEvent]
) -> None:
    asyncio.run(_play_any(tmp_path_factory.mktemp("s"), events))


async def _play_any(folder: Path, events: list[say.EngineEvent]) -> None:
    """Whatever comes in whatever order: the process may end, but the chart holds, and each change is told exactly once."""
    store = await asyncio.to_thread(SessionStore, folder, session_id="alpha", metadata={})
    stage = Stage(store, ScriptedRedis())
    try:
        await stage.session.start(connect=True)
        for event in events:
            if not await stage.survives(event):
                break
        told = [event.data for event in await stage.told() if event.type == "session.state"]
        state = "disconnected"
        for data in told:
            assert data["old"] == state
            assert data["new"] == state or S(data["new"]) in TRANSITIONS[S(state)]
            state = data["new"]
        assert state == stage.session.state
        assert stage.session.qr is None or stage.session.state is S.CONNECTED
    finally:
        await stage.session.leave()
        await asyncio.to_thread(store.close)

"""What the screen knows, concludes and draws, without a screen."""

from __future__ import annotations

import pytest

from cli.menu.picture import picture, sextant, sextants
from cli.menu.proxying import proxy_of
from cli.monit.board import Away, Board, Feeding, Looked, Seen, matches, server_figures
from cli.monit.columns import Column, fit
from cli.monit.fleet import alert_lines, percent, server_line, short_duration, short_memory
from cli.monit.history import History, spark
from cli.monit.live import events_of
from cli.output.loglines import written_at
from cli.output.qrcode import matrix
from ecosystem.contract.errors import InvalidRequest, NotRunning
from tests.unit.cli.menu.views import view

MIB = 1 << 20


def looked(*views: object, at: float = 0.0, instance: object = None, server: object = None) -> Looked:
    return Looked(list(views), instance, server, at)  # type: ignore[arg-type]


# --- the board


def test_a_board_takes_in_what_is_told() -> None:
    board = Board()
    board.take(Away(NotRunning("gone")))
    assert str(board.error) == "gone"
    board.take(looked(view("alpha"), view("beta", "error", "banned"), at=10.0))
    assert not board.error
    assert board.counts() == {"authenticated": 1, "error": 1}
    board.take(Seen("beta", None, 11.0))
    board.take(Seen("gamma", view("gamma", "connected", "pairing"), 11.0))
    assert [one.session_id for one in board.listed()] == ["alpha", "gamma"]
    board.take(Feeding(True))
    board.take(Away(NotRunning("gone")))
    assert board.live, "the feed tells for itself when it ends"
    assert list(board.sessions) == ["alpha", "gamma"], "what was known stays on the screen"


def test_uptime_goes_on_between_two_looks_and_stands_still_while_the_server_is_away() -> None:
    board = Board()
    running, stopped = view("alpha", uptime_s=5.0), view("beta", "disconnected", "stopped", pid=None)
    board.take(looked(running, stopped, at=100.0))
    assert board.uptime_s(running, 107.0) == 12.0
    assert board.uptime_s(stopped, 107.0) is None
    board.take(Away(NotRunning("gone")))
    assert board.uptime_s(running, 107.0) == 5.0


@pytest.mark.parametrize(
    ("search", "found"),
    [("", True), ("SHOP", True), ("shop recife", True), ("5511", True), ("online", True), ("shop banned", False)],
)
def test_search(search: str, found: bool) -> None:
    assert matches(view("shop-7", phone="551191", labels=["recife"]), search) is found


def test_alerts_name_what_to_do_and_put_the_gravest_first() -> None:
    board = Board()
    instance = {
        "registry": True, "redis": False, "process_manager": True, "limits": {"ports": 2, "ports_leased": 2},
        "programs": [{"name": "webhooks", "state": "fatal"}, {"name": "redis", "state": "running"}],
    }  # fmt: skip
    server = {"memory_total_bytes": 100, "memory_available_bytes": 2}
    board.take(
        looked(
            view("alpha"), view("beta", "error", "logged_out", next_step="zapvisor qr beta"),
            view("gamma", health="lost"), view("delta", health="late"), instance=instance, server=server,
        )
    )  # fmt: skip
    alerts = board.alerts()
    assert {alert.session_id for alert in alerts if alert.session_id} == {"beta", "gamma", "delta"}
    severities = [alert.severity for alert in alerts]
    assert severities == sorted(severities)
    assert len(alerts) == 7
    drawn = alert_lines(alerts, 60, 2).plain.split("\n")
    assert len(drawn) == 2
    assert max(map(len, drawn)) <= 60
    assert drawn[1].endswith("(+5 more)")


def test_what_the_server_warns_of_is_shown_unless_the_session_says_it_itself() -> None:
    board = Board()
    alerts = {
        "alerts": [
            {"title": "backlog", "detail": "9 wait", "severity": "warning", "session_id": "alpha", "ended_at": None},
            {"title": "banned", "detail": None, "severity": "critical", "session_id": "beta", "ended_at": None},
            {"title": "disk", "detail": None, "severity": "critical", "session_id": None, "ended_at": None},
            {"title": "over", "detail": None, "severity": "critical", "session_id": None, "ended_at": "2026-01-01"},
        ]
    }
    board.take(Looked([view("alpha"), view("beta", "error", "banned", detail="for a day")], None, None, 0.0, alerts))
    assert [alert.text for alert in board.alerts()] == ["beta: for a day", "disk", "alpha: backlog: 9 wait"]


def test_server_figures() -> None:
    figures = server_figures(
        {
            "cpu_percent": 12.5, "memory_total_bytes": 100, "memory_available_bytes": 25, "load_1m": 0.5,
            "disks": [{"total_bytes": 100, "free_bytes": 90}, {"total_bytes": 10, "free_bytes": 1}],
        }
    )  # fmt: skip
    assert (figures.cpu_percent, figures.memory_used_bytes, figures.load) == (12.5, 75, 0.5)
    assert (figures.disk_used_bytes, figures.disk_total_bytes) == (9, 10)
    assert server_figures(None).disk_total_bytes is None
    assert server_figures({"cpu_percent": "much"}).cpu_percent is None


@pytest.mark.parametrize("width", [20, 60, 78, 198])
def test_the_server_line_fits(width: int) -> None:
    board = Board()
    assert "–" in server_line(board, 200).plain
    board.take(looked(*(view(f"s{number}", memory_bytes=20 * MIB) for number in range(100))))
    line = server_line(board, width).plain
    assert len(line) <= width
    assert line.startswith("100 sessions"[:width])
    assert server_line(board, width, selected=7).plain.startswith("7 selected")


# --- history


def test_messages_are_counted_between_samples_and_a_fresh_process_begins_anew() -> None:
    history = History()
    for incarnation, received in (("a", 3), ("a", 5), ("b", 1), ("b", 1), ("b", 4)):
        history.sample([view("alpha", incarnation=incarnation, messages_in=received, messages_out=0)])
    assert list(history.of("alpha").messages) == [0, 2, 0, 0, 3]
    history.sample([])
    assert list(history.of("alpha").messages) == []


def test_sums_of_tracks_of_different_length() -> None:
    history = History()
    history.sample([view("alpha", memory_bytes=1)])
    history.sample([view("alpha", memory_bytes=2), view("beta", memory_bytes=10)])
    history.sample([view("alpha", memory_bytes=None), view("beta", memory_bytes=None)])
    assert history.memory() == [1, 12, None]


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 3, "   "),
        ([0, 7], 4, "  ▁█"),
        ([5, 5, 5], 3, "▁▁▁"),
        ([100, 101], 2, "▁▂"),
        ([1, None, 8], 3, "▁ █"),
        ([9, 9, 0, 7], 2, "▁█"),
        ([1], 0, ""),
    ],
)
def test_spark(values: list[float | None], width: int, line: str) -> None:
    assert spark(values, width) == line
    assert all(letter.isascii() for letter in spark(values, width, unicode=False))


# --- columns and figures

COLUMNS = [Column("id", "ID", 4, 20), Column("state", "STATE", 6, 6), Column("note", "NOTE", 4, 50, expendable=1)]


@pytest.mark.parametrize(
    ("room", "widths"), [(80, [7, 6, 12]), (26, [7, 6, 10]), (15, [7, 6]), (12, [4, 6]), (3, [4, 6])]
)
def test_columns_fit(room: int, widths: list[int]) -> None:
    fitted = fit(COLUMNS, [["alpha-1"], ["error"], ["twelve chars"]], room)
    assert [one.width for one in fitted] == widths
    assert fitted[0].cell("a-very-long-name") == f"{'a-very-long-name'[: widths[0] - 1]}…"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (short_memory(14.2 * MIB), "14.2M"), (short_memory(500 * MIB), "500M"), (short_memory(None), "–"),
        (percent(0.44), "0.4%"), (percent(99.6), "100%"), (short_duration(8), "8s"), (short_duration(125), "2m5s"),
        (short_duration(3 * 3600 + 60), "3h1m"), (short_duration(90000), "1d1h"), (short_duration(None), "–"),
    ],
)  # fmt: skip
def test_figures(shown: str, text: str) -> None:
    assert shown == text


# --- the QR code

CODE = "2@" + "A" * 230


def test_sextants_hold_every_module() -> None:
    modules = matrix(CODE)
    characters = {sextant(bits): bits for bits in range(64)}
    assert len(characters) == 64
    lines = sextants(modules, ink_is_dark=True)
    for row, line in enumerate(modules):
        for column, dark in enumerate(line):
            bits = characters[lines[row // 3][column // 2]]
            assert bool(bits >> (2 * (row % 3) + column % 2) & 1) is dark


def test_the_picture_takes_the_room_there_is() -> None:
    large = picture(CODE, 80, 40, colour=True, unicode=True)
    assert large is not None
    assert not large.small
    small = picture(CODE, 65, 22, colour=False, unicode=True)
    assert small is not None
    assert small.small
    assert small.columns <= 65
    assert len(small.lines) <= 22
    assert picture(CODE, 30, 10, colour=True, unicode=True) is None
    assert picture(CODE, 65, 22, colour=True, unicode=False) is None


# --- what comes over the wire


def test_server_sent_events() -> None:
    lines = [
        b"retry: 2000",
        b"",
        b": still here",
        b"",
        b"id: 5-0",
        b"event: x",
        b'data: {"a":',
        b"data: 1}",
        b"",
        b"data: y",
    ]
    assert list(events_of(lines)) == [("5-0", b'{"a":\n1}')]


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (b'{"ts":"2026-01-01T00:00:00Z"}', 1767225600.0),
        (b'{"ts":12.5}', 12.5),
        (b"no json", 0.0),
        (b'{"ts":"soon"}', 0.0),
    ],
)
def test_when_a_line_was_written(line: bytes, at: float) -> None:
    assert written_at(line) == at


def test_a_proxy_is_written_as_a_url() -> None:
    assert proxy_of("socks5://ana:p%40ss@proxy.example:1080") == {
        "host": "proxy.example", "port": 1080, "type": "socks5", "username": "ana", "password": "p@ss",
    }  # fmt: skip
    for bad in ("proxy.example:1080", "ftp://proxy.example:1", "http://proxy.example", "http://x:y:z"):
        with pytest.raises(InvalidRequest) as caught:
            proxy_of(bad)
        assert caught.value.field == "proxy"
        assert "p@ss" not in caught.value.message

"""The screens by themselves: keys, selection, forms, commands; no server and no terminal."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Checkbox, Input, OptionList, Static

from cli.menu.app import Menu
from cli.menu.commands import argv, field_of, verbs
from cli.menu.dialogs import Answer, Choice
from cli.menu.forms import Form
from cli.menu.home import Home
from cli.menu.open_screens import MENU, SCREENS
from cli.menu.wizard import make
from cli.monit.app import Banner, LiveScreen, keys_of
from cli.monit.help import Help
from cli.monit.table import ListTable
from cli.root import zapvisor
from ecosystem.contract.errors import DomainError, InvalidRequest, NotRunning, SessionExists
from tests.unit.cli.menu.views import WrittenServer, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

SHOPS = (view("alpha"), view("beta", "disconnected", "stopped", pid=None), view("shop-7"))


async def shown(pilot: Pilot[int], what: Callable[[], object]) -> None:
    """Waits until `what` holds; pytest's own limit ends it."""
    while not what():
        await pilot.pause(0.02)


def table(app: Menu) -> ListTable:
    return app.screen.query_one(ListTable)


async def home(pilot: Pilot[int], app: Menu) -> Home:
    """The home screen, with its sessions."""
    await shown(pilot, lambda: isinstance(app.screen, Home) and app.screen.prepared and app.board.looked)
    screen = app.screen
    assert isinstance(screen, Home)
    screen.draw()
    await pilot.pause()
    return screen


async def test_numbers_arrows_and_search_choose_sessions() -> None:
    app = Menu(WrittenServer(*(view(f"s-{number:02}") for number in range(1, 13)), *SHOPS))
    async with app.run_test() as pilot:
        screen = await home(pilot, app)
        assert screen.chosen == ["alpha"]
        await pilot.press("down", "down")
        assert screen.chosen == ["s-01"]
        await pilot.press("1", "2")
        assert screen.chosen == ["s-10"], "two digits are one number"
        await pilot.press("up", "1")
        assert screen.chosen == ["alpha"]
        await pilot.press("slash", *"shop")
        assert list(table(app)._drawn) == ["shop-7"]
        await pilot.press("enter")
        assert screen.chosen == ["shop-7"]
        await pilot.press("escape")
        assert len(table(app)._drawn) == 15
        await pilot.press("slash", *"nobody")
        assert "Esc clears" in str(screen.query_one("#nothing", Static).render())


async def test_several_sessions_are_stopped_at_once() -> None:
    server = WrittenServer(*SHOPS)
    for one in ("alpha", "beta"):
        server.answers[f"POST /sessions/{one}/stop"] = view(one, "disconnected", "stopped_by_operator")
    app = Menu(server)
    async with app.run_test() as pilot:
        screen = await home(pilot, app)
        await pilot.press("space", "space")
        assert screen.chosen == ["alpha", "beta"]
        await pilot.press("enter")
        await shown(pilot, lambda: isinstance(app.screen, Choice))
        keys = {key for key, _ in app.screen._options}  # type: ignore[attr-defined]
        assert {"3", "4", "5", "x"} <= keys
        assert "1" not in keys, "details are of one session"
        await pilot.press("4")
        await shown(pilot, lambda: len(server.asked) == 2)
        assert {path for _, path, _ in server.asked} == {"/sessions/alpha/stop", "/sessions/beta/stop"}


async def test_nothing_is_deleted_without_a_yes() -> None:
    server = WrittenServer(*SHOPS)
    server.answers["DELETE /sessions/alpha"] = {}
    app = Menu(server)
    async with app.run_test() as pilot:
        await home(pilot, app)
        for keys in (("enter",), ("n",), ("escape",)):
            await pilot.press("X")
            await shown(pilot, lambda: isinstance(app.screen, Answer) and app.screen.query(OptionList))
            await pilot.press(*keys)
            await shown(pilot, lambda: isinstance(app.screen, Home))
        assert server.asked == []
        await pilot.press("X")
        await shown(pilot, lambda: isinstance(app.screen, Answer) and app.screen.query(Checkbox))
        box = app.screen.query_one(Checkbox)
        assert "X" not in str(box.render()), "without colours too"
        await pilot.press("space")
        await shown(pilot, lambda: box.value)
        assert "X" in str(box.render())
        await pilot.press("y")
        await shown(pilot, lambda: server.asked)
        assert server.asked[0][:2] == ("DELETE", "/sessions/alpha")


async def test_the_banner_comes_and_goes_with_the_server() -> None:
    server = WrittenServer(*SHOPS)
    app = Menu(server)
    async with app.run_test() as pilot:
        screen = await home(pilot, app)
        server.answers["GET /sessions"] = NotRunning("nothing answers at http://server.example")
        app.poke()
        await shown(pilot, lambda: screen.query_one(Banner).has_class("away"))
        assert "nothing answers at" in str(screen.query_one(Banner).render())
        assert list(table(app)._drawn) == ["alpha", "beta", "shop-7"]
        del server.answers["GET /sessions"]
        app.poke()
        await shown(pilot, lambda: not screen.query_one(Banner).has_class("away"))


async def test_the_wizard_page_by_page() -> None:
    """A mistake is told where it is, Back keeps what was written, and the server's refusal leads to its field."""
    server = WrittenServer(*SHOPS)
    server.answers["POST /sessions"] = SessionExists("somebody was faster", field="session_id")
    app = Menu(server)
    async with app.run_test() as pilot:
        await home(pilot, app)
        await pilot.press("n")
        await shown(pilot, lambda: isinstance(app.screen, Form) and app.screen.query("#f-session_id"))
        form = app.screen

        def told() -> str:
            return str(form.query_one("#problem", Static).render())

        async def onward(field: str) -> None:
            form.query_one("#go").press()  # type: ignore[attr-defined]
            await shown(pilot, lambda: form.query(f"#f-{field}"))

        form.query_one("#go").press()  # type: ignore[attr-defined]
        await shown(pilot, lambda: "missing" in told())
        form.query_one("#f-session_id", Input).value = "alpha"
        form.query_one("#go").press()  # type: ignore[attr-defined]
        await shown(pilot, lambda: "there is a session 'alpha' already" in told())
        form.query_one("#f-session_id", Input).value = "theta"
        await onward("url")
        form.query_one("#f-url", Input).value = "no url"
        form.query_one("#go").press()  # type: ignore[attr-defined]
        await shown(pilot, lambda: "http://" in told())
        await pilot.press("escape")
        await shown(pilot, lambda: form.query("#f-session_id"))
        assert form.query_one("#f-session_id", Input).value == "theta"
        await onward("url")
        assert form.query_one("#f-url", Input).value == "no url"
        form.query_one("#f-url", Input).value = "https://crm.example/hook"
        await onward("proxy")
        form.query_one("#f-proxy", Input).value = "socks5://proxy.example:1080"
        await onward("pairing")
        await pilot.press("ctrl+s")
        await shown(pilot, lambda: "somebody was faster" in told())
        assert form.query("#f-session_id"), "the page of the field that was refused"
        assert server.asked == [("POST", "/sessions", {"session_id": "theta", "start": False})]


def test_a_session_with_webhook_and_proxy_starts_once_it_has_its_proxy() -> None:
    server = WrittenServer()
    created = {name: getattr(view("alpha"), name) for name in view("alpha").__struct_fields__}
    server.answers["POST /sessions"] = created | {"api_key": "the-key"}
    server.answers["PUT /sessions/alpha/webhook"] = InvalidRequest("that address is private", field="url")
    server.answers["PUT /sessions/alpha/proxy"] = {}
    values = {
        "session_id": "alpha", "name": "", "labels": "a b", "url": "https://crm.example/hook", "events": "message.*",
        "secret": "", "proxy": "http://proxy.example:8080", "pairing": "later", "number": "",
    }  # fmt: skip
    made = make(server, values)
    assert made.key == "the-key"
    assert [problem.field for problem in made.problems] == ["url"]
    assert [path for _, path, _ in server.asked] == ["/sessions", "/sessions/alpha/webhook", "/sessions/alpha/proxy"]


async def test_every_screen_opens_and_explains_its_keys() -> None:
    server = WrittenServer(*SHOPS)
    server.answers["GET /webhooks"] = {"webhooks": [], "total": 0}
    server.answers["GET /keys"] = {"keys": []}
    app = Menu(server)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await home(pilot, app)
        for name in SCREENS:
            screen.action_open(name)
            await shown(pilot, lambda: app.screen is not screen and getattr(app.screen, "prepared", True))
            await explain_and_leave(pilot, app, name)
            await shown(pilot, lambda: app.screen is screen)


async def explain_and_leave(pilot: Pilot[int], app: Menu, name: str) -> None:
    """The screen in front has a title and a way back, and tells its keys."""
    opened = app.screen
    assert isinstance(opened, LiveScreen), name
    assert opened.title_text, name
    assert "Back" in {text for _, text in keys_of(opened)}, name
    opened.action_help()
    await shown(pilot, lambda: isinstance(app.screen, Help))
    await pilot.press("escape")
    await shown(pilot, lambda: app.screen is opened)
    opened.dismiss()


def test_the_menu_leads_to_screens_there_are() -> None:
    assert {name for _, name, _ in MENU} <= {*SCREENS, "quit"}


# --- commands as forms

TREE = {" ".join(path): command for path, command in verbs(zapvisor)}


def test_every_command_of_the_tree_has_a_form() -> None:
    assert {"create", "delete", "webhook create", "key rotate", "sandbox fault ban"} <= set(TREE)
    assert not {"menu", "monit", "up", "down"} & set(TREE)
    for command in TREE.values():
        for param in command.params:
            field_of(param)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        (
            "create",
            {"session": "alpha", "labels": "a, b c", "no_start": True},
            "--label=a|--label=b c|--no-start|alpha",
        ),
        ("send", {"session": "alpha", "to": "551", "text": "-x"}, "--|alpha|551|-x"),
        ("stop", {"sessions": "alpha beta"}, "alpha|beta"),
        ("list", {"status": "", "limit": "50"}, "--limit=50"),
    ],
)
def test_what_was_filled_in_becomes_words(name: str, values: dict[str, object], words: str) -> None:
    assert argv(TREE[name], values) == words.split("|")


def test_help_needs_no_library_of_widgets() -> None:
    """In a fresh process: the menu's library is imported only when the menu starts."""
    code = "import sys; from cli.root import main; main(['--help']); sys.exit('textual' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_errors_of_the_menu_are_told_in_a_sentence() -> None:
    from cli.monit.app import sentence

    assert sentence(InvalidRequest("wrong\x1b[2J", hint="do this")) == "wrong\N{REPLACEMENT CHARACTER}[2J\ndo this"
    assert isinstance(NotRunning("x"), DomainError)

"""`zapvisor menu`."""

from __future__ import annotations

from cli.context import Call, verb


@verb("menu", examples=("zapvisor menu", "zapvisor menu --url https://fleet.example"))
def menu(call: Call) -> int:
    """Manage everything in an interactive menu.

    A live list of sessions, and from it all that can be done with them; also what `zapvisor` alone opens on a terminal.
    `?` shows the keys.
    """
    from cli.output.terminal import need_terminal

    need_terminal("menu", "`zapvisor list`, `zapvisor create`, `zapvisor qr`")
    call.screen.hush()  # no line of progress in what is drawn
    client = call.client
    from cli.menu.app import Menu

    return Menu(client).code()

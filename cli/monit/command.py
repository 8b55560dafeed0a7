"""`zapvisor monit`."""

from __future__ import annotations

from cli.context import Call, verb


@verb("monit", examples=("zapvisor monit",))
def monit(call: Call) -> int:
    """Watch memory and messages of every session, live.

    `?` shows the keys; Ctrl-C leaves.
    """
    from cli.output.terminal import need_terminal

    need_terminal("monit", "`zapvisor list`, `zapvisor status`")
    call.screen.hush()  # no line of progress in what is drawn
    client = call.client
    from cli.monit.monitor import MonitorApp

    return MonitorApp(client).code()

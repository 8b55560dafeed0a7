"""The machine the server runs on."""

from __future__ import annotations

from cli.context import Call, verb
from cli.texts import tr


@verb("server", examples=("zapvisor server", "zapvisor server --json | jq .memory_available_bytes"))
def server(call: Call) -> None:
    """Show the machine: processors, memory, disks, and what this instance takes of them."""
    from cli.output.figures import memory
    from cli.output.records import cell, title
    from cli.output.screen import Column
    from ecosystem.contract.operations import ServerView

    answer = call.client.get("/server")
    if call.json:
        call.screen.data(answer.body)
        return
    found = answer.decode(ServerView)
    names = [name for name in ServerView.__struct_fields__ if name != "disks"]
    call.screen.fields([(title(name).lower(), cell(name, getattr(found, name))) for name in names])
    call.screen.line()
    call.screen.table(
        [
            Column(tr("DISK")),
            Column(tr("USED"), right=True),
            Column(tr("FREE"), right=True),
            Column(tr("TOTAL"), right=True),
        ],
        [
            (one.path, memory(one.total_bytes - one.free_bytes), memory(one.free_bytes), memory(one.total_bytes))
            for one in found.disks
        ],
    )

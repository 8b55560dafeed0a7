"""Every process of the instance, as supervisord sees it."""

from __future__ import annotations

from cli.context import Call, verb
from cli.texts import tr


@verb("processes", examples=("zapvisor processes", "zapvisor processes --json", "zapvisor processes -q"))
def processes(call: Call) -> None:
    """Show every process and its state in supervisord: programs first, then the worker of each session.

    Only the admin key may see it.
    """
    from cli.output.figures import duration, memory, number
    from cli.output.screen import Column
    from ecosystem.contract.fleet import ProcessList

    answer = call.client.get("/processes")
    if call.json:
        call.screen.data(answer.body)
        return
    found = answer.decode(ProcessList).processes
    if call.quiet:
        for one in found:
            call.screen.line(one.name)
        return
    call.screen.table(
        [
            Column(tr("PROCESS")),
            Column(tr("STATE"), coloured=True),
            Column(tr("PID"), right=True),
            Column(tr("UPTIME"), right=True),
            Column(tr("MEMORY"), right=True),
            Column(tr("DESCRIPTION"), expendable=1),
        ],
        [
            (
                one.name,
                one.state,
                number(one.pid),
                duration(one.uptime_s if one.pid else None),
                memory(one.memory_bytes),
                # Of one that runs it repeats pid and uptime.
                "" if one.pid and one.description.startswith("pid ") else one.description,
            )
            for one in found
        ],
    )

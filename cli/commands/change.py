"""Changing what a session is called and found by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.commands.session import SESSIONS, Done, chosen, metadata, report
from cli.context import Call, verb
from cli.texts import tr

if TYPE_CHECKING:
    from cli.client import Client
    from ecosystem.contract.session import SessionView


@verb(
    "update",
    examples=(
        'zapvisor update alpha --name "The shop"',
        "zapvisor update alpha beta --label sales --remove-label trial",
        "zapvisor update all --metadata owner=ana --remove-metadata city",
    ),
)
@SESSIONS
@click.option("--name", help="A friendly name; any text.")
@click.option("--label", "labels", multiple=True, help="Add a label; may be repeated.")
@click.option("--remove-label", "no_labels", multiple=True, metavar="LABEL", help="Take a label away.")
@click.option("--metadata", "pairs", multiple=True, metavar="KEY=VALUE", help="Set data of yours.")
@click.option("--remove-metadata", "no_pairs", multiple=True, metavar="KEY", help="Take data of yours away.")
@click.option("--on-demand/--always", default=None, help="Whether to unload it while nobody uses it.")
def update(
    call: Call,
    sessions: tuple[str, ...],
    name: str | None,
    labels: tuple[str, ...],
    no_labels: tuple[str, ...],
    pairs: tuple[str, ...],
    no_pairs: tuple[str, ...],
    on_demand: bool | None,
) -> int:
    """Change the name, labels and metadata of sessions; what is not given stays.

    It takes effect at once and restarts nothing.
    """
    from ecosystem.contract.errors import InvalidRequest
    from ecosystem.contract.session import SessionView

    added = metadata(pairs)
    own = {key: value for key, value in (("name", name), ("on_demand", on_demand)) if value is not None}
    if not (own or labels or no_labels or pairs or no_pairs):
        raise InvalidRequest(tr("nothing to change was given"), hint=tr("see `zapvisor update --help`"))
    client = call.client

    def act(session: str) -> Done:
        body: dict[str, Any] = dict(own)
        if labels or no_labels or pairs or no_pairs:
            before = _seen(client, session)
            if labels or no_labels:
                kept = [label for label in before.labels if label not in {*labels, *no_labels}]
                body["labels"] = [*kept, *(label for label in dict.fromkeys(labels) if label not in no_labels)]
            if pairs or no_pairs:
                every = {**before.metadata, **added}
                body["metadata"] = {key: value for key, value in every.items() if key not in no_pairs}
        answer = client.request("PATCH", f"/sessions/{session}", body=body)
        view = answer.decode(SessionView)
        return Done(tr("{session} changed", session=view.session_id), answer.body)

    return report(call, chosen(client, sessions), act)


def _seen(client: Client, session: str) -> SessionView:
    from cli.commands.waiting import view_of

    return view_of(client, session)

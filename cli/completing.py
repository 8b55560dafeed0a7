"""What could come next, for a shell that asks while somebody types: quickly, and silent whatever goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from cli.client import Client
    from cli.contexts import Contexts

MOST: Final = 500
"""As many sessions as one request lists: a longer list helps nobody who types."""
TIMEOUT_S: Final = 1.0
"""How long somebody who pressed TAB is made to wait for the server."""


def sessions(client: Client, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The sessions whose ids begin so, each with its status. Raises what the request meets."""
    from ecosystem.contract.session import SessionList

    found = client.hurried(TIMEOUT_S).get("/sessions", {"limit": MOST}).decode(SessionList).sessions
    return _items(ctx, param, incomplete, ((view.session_id, f"{view.status} ({view.reason})") for view in found))


def every(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The word that means every session, as the first one."""
    return [] if ctx.params.get(param.name or "") else _items(ctx, param, incomplete, [("all", tr("every session"))])


def contexts(
    saved: Contexts, ctx: click.Context, param: click.Parameter, incomplete: str, local: str
) -> list[CompletionItem]:
    """The names of saved contexts, each with its address, and the name of the instance on this machine."""
    names = [(local, tr("the instance on this machine")), *((name, each.url) for name, each in saved.saved.items())]
    return _items(ctx, param, incomplete, names)


def _items(
    ctx: click.Context, param: click.Parameter, incomplete: str, known: Iterable[tuple[str, str]]
) -> list[CompletionItem]:
    """Those that begin so and were not given before."""
    given = ctx.params.get(param.name or "")
    before = set(given) if isinstance(given, tuple | list) else set()
    return [
        CompletionItem(word, help=help_) for word, help_ in known if word.startswith(incomplete) and word not in before
    ]

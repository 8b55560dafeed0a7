"""Proxies of sessions: set, show, test, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

from cli.context import Call, SessionParam, noun, read_text, verb
from cli.texts import tr

if TYPE_CHECKING:
    from typing import Literal

    from ecosystem.contract.ids import SessionId
    from ecosystem.contract.operations import ProxyView
    from ecosystem.contract.session import ProxySettings

EXIT_UNREACHABLE = 1
"""The proxy was tried and does not lead to WhatsApp."""
SESSION = click.argument("session", type=SessionParam())


@verb(
    "set",
    examples=(
        "zapvisor proxy set alpha socks5://proxy.example:1080",
        "zapvisor proxy set alpha http://ana@proxy.example:3128 --password-from -",
        "zapvisor proxy set alpha socks5://proxy.example:1080 --required",
    ),
)
@SESSION
@click.argument("address", metavar="PROXY")
@click.option("--password-from", metavar="FILE", help="File that holds the password; `-` is standard input.")
@click.option("--required", is_flag=True, help="The session does not connect without a proxy.")
@click.option("--disabled", is_flag=True, help="Keep it, but do not use it.")
def set_(
    call: Call, session: SessionId, address: str, password_from: str | None, required: bool, disabled: bool
) -> None:
    """Have a session connect through a proxy.

    PROXY is http://HOST:PORT or socks5://HOST:PORT, with USER@ where it asks for a login. A running session connects anew.
    """
    from ecosystem.contract.operations import ProxyView

    body = parse(address, password=_secret(password_from), required=required, enabled=not disabled)
    answer = call.client.request("PUT", f"/sessions/{session}/proxy", body=body)
    if call.json:
        call.screen.data(answer.body)
    elif not call.quiet:
        _show(call, answer.decode(ProxyView))


@verb("show", examples=("zapvisor proxy show alpha",))
@SESSION
def show(call: Call, session: SessionId) -> None:
    """Show a session's proxy and how it was when it was last tried, never its password."""
    from ecosystem.contract.operations import ProxyView

    answer = call.client.get(f"/sessions/{session}/proxy")
    if call.json:
        call.screen.data(answer.body)
        return
    _show(call, answer.decode(ProxyView))


@verb("test", examples=("zapvisor proxy test alpha", "zapvisor proxy test alpha --proxy socks5://proxy.example:1080"))
@SESSION
@click.option("--proxy", "target", metavar="PROXY", help="Try this proxy instead of the session's.")
@click.option("--password-from", metavar="FILE", help="File that holds the password; `-` is standard input.")
def test(call: Call, session: SessionId, target: str | None, password_from: str | None) -> int:
    """Reach WhatsApp through a session's proxy, and show the address the world sees.

    Ends with 1 when it does not lead there.
    """
    from ecosystem.contract.operations import ProxyTested

    body = None if target is None else parse(target, password=_secret(password_from))
    answer = call.client.post(f"/sessions/{session}/proxy/test", body, wait=60)
    found = answer.decode(ProxyTested)
    if call.json:
        call.screen.data(answer.body)
    else:
        about = {"address": f"{found.type}://{found.host}:{found.port}", "detail": found.detail or ""}
        if found.ok:
            call.screen.done(tr("{address} reaches WhatsApp in {ms:.0f} ms", ms=found.latency_ms or 0, **about))
            if found.exit_address:
                call.screen.done(tr("the world sees {address}", address=found.exit_address))
        else:
            call.screen.done(tr("{address} does not work: {detail}", **about))
    return 0 if found.ok else EXIT_UNREACHABLE


@verb("remove", examples=("zapvisor proxy remove alpha", "zapvisor proxy remove alpha --no-longer-required"))
@SESSION
@click.option("--no-longer-required", is_flag=True, help="Let the session connect without a proxy from now on.")
def remove(call: Call, session: SessionId, no_longer_required: bool) -> None:
    """Take a session's proxy away; where one is required, the session stays down."""
    from ecosystem.contract.operations import ProxyView

    query = {"required": False} if no_longer_required else None
    answer = call.client.delete(f"/sessions/{session}/proxy", query)
    if call.json:
        call.screen.data(answer.body)
    elif not call.quiet:
        _show(call, answer.decode(ProxyView))


def parse(url: str, *, password: str | None = None, required: bool = False, enabled: bool = True) -> ProxySettings:
    """A proxy's URL as settings. Raises InvalidRequest."""
    from ecosystem.contract.errors import InvalidRequest
    from ecosystem.contract.session import ProxySettings

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"URL: {error}", field="url") from None
    kinds: dict[str, Literal["http", "socks5"]] = {"http": "http", "socks5": "socks5", "socks5h": "socks5"}
    if parts.scheme not in kinds or not parts.hostname or port is None:
        raise InvalidRequest(tr("the proxy must look like http://HOST:PORT or socks5://HOST:PORT"), field="url")
    if parts.password is not None:
        raise InvalidRequest(
            tr("the URL holds a password: others can read it in the process list"),
            field="url",
            hint=tr("give it with --password-from FILE, or --password-from -"),
        )
    return ProxySettings(
        host=parts.hostname,
        port=port,
        enabled=enabled,
        type=kinds[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=password,
        required=required,
    )


def _secret(source: str | None) -> str | None:
    """The password in a file or standard input, without its line's end. Raises InvalidRequest."""
    from pathlib import Path

    from ecosystem.contract.errors import InvalidRequest

    if source is None:
        return None
    if source == "-":
        return read_text("-", field="--password-from")
    try:
        return Path(source).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise InvalidRequest(f"{source}: {error.strerror}", field="--password-from") from None


def _show(call: Call, view: ProxyView) -> None:
    health = view.health
    address = f"{view.type}://{view.host}:{view.port}" if view.host else None
    call.screen.fields(
        [
            ("proxy", address or tr("none")),
            ("user", view.username),
            ("password", tr("stored") if view.has_password else None),
            ("used", tr("yes") if view.enabled else tr("no")),
            ("required", tr("yes") if view.required else tr("no")),
            ("works", None if health is None else tr("yes") if health.ok else tr("no")),
            ("detail", health.detail if health is not None else None),
            ("exit address", health.exit_address if health is not None else None),
        ]
    )


proxy = noun("proxy", "Proxies: what a session connects through.", (set_, show, test, remove))

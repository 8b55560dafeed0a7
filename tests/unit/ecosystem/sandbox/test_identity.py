"""The identity on disk: made once, kept, renewed in time, and never readable by others."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cryptography import x509

from ecosystem.sandbox import identity

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    first = identity.prepare(folder)
    before = files(folder)
    assert identity.prepare(folder) == first
    assert files(folder) == before
    assert first.root_public_hex == identity.server_keys(folder).root.public.hex()
    assert len(bytes.fromhex(first.root_public_hex)) == 32


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    folder.mkdir(mode=0o755)
    identity.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_client_with_the_ca_accepts_every_host_the_library_dials(tmp_path: Path) -> None:
    made = identity.prepare(tmp_path)
    server = identity.server_context(tmp_path)
    for host in ("web.whatsapp.com", "mmg.whatsapp.net", "pps.whatsapp.net", identity.MEDIA_HOST):
        client = ssl.create_default_context(cafile=str(made.ca_file))
        assert handshake(client, server, host) == host


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> str:
    """A TLS handshake in memory; the name it was for. Raises ssl.SSLError when the client does not trust the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ours.getpeercert() is not None
    return host


def test_the_certificates_live_long_and_the_leaf_is_renewed_under_the_same_ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = identity.prepare(tmp_path)
    authority = x509.load_pem_x509_certificate(made.ca_file.read_bytes())
    assert authority.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=3640)
    before = files(tmp_path)
    monkeypatch.setattr(identity, "_RENEW_BEFORE", dt.timedelta(days=400))
    assert identity.prepare(tmp_path) == made
    after = files(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"server.pem"}
    monkeypatch.setattr(identity, "_RENEW_BEFORE", dt.timedelta(days=4000))
    identity.prepare(tmp_path)
    renewed = files(tmp_path)
    assert {name for name in before if after[name] != renewed[name]} == {"ca.pem", "ca.key", "server.pem"}


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    made = identity.prepare(tmp_path)
    made.ca_file.write_bytes(b"")
    identity.prepare(tmp_path)
    client = ssl.create_default_context(cafile=str(made.ca_file))
    assert handshake(client, identity.server_context(tmp_path), "web.whatsapp.com")


def test_several_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(identity.prepare, [tmp_path / "box"] * 4))
    assert len(set(made)) == 1

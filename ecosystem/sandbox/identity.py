"""The server's identity on disk: a certificate authority and certificate for TLS, and the Noise keys.

Kept in one folder of mode 0700, keys of mode 0600. Sessions that were paired with it know it by these keys: they live as long as
the folder does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ecosystem.sandbox.crypto.noise import ServerKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA_HOST: Final = "media.sandbox.whatsapp.net"
HOSTS: Final = ("web.whatsapp.com", "*.whatsapp.com", "*.whatsapp.net", MEDIA_HOST, "localhost")

_CA_NAME: Final = "WhatsApp sandbox CA"
_CA_LIFE: Final = dt.timedelta(days=3650)
_LEAF_LIFE: Final = dt.timedelta(days=397)
_RENEW_BEFORE: Final = dt.timedelta(days=60)
_BACKDATE: Final = dt.timedelta(days=1)
_PEM: Final = serialization.Encoding.PEM


class SandboxIdentity(msgspec.Struct, frozen=True):
    """What a worker must be given to reach this sandbox."""

    ca_file: Path
    """For SSL_CERT_FILE."""
    root_public_hex: str
    """For ZAPVISOR_SANDBOX_ROOT."""


def prepare(folder: Path) -> SandboxIdentity:
    """Makes what is missing in `folder`, renews what is about to expire, and says what a worker needs.

    Idempotent, and safe to call from several processes at once. Raises OSError when the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder):
        now = dt.datetime.now(dt.UTC)
        if _expires(_ca_file(folder), now):
            _make_authority(folder, now)
            _make_leaf(folder, now)
        elif _expires(_chain_file(folder), now):
            _make_leaf(folder, now)
        keys = _noise_keys(folder)
    return SandboxIdentity(_ca_file(folder), keys.root.public.hex())


def server_context(folder: Path) -> ssl.SSLContext:
    """The TLS context of the loopback host. Call `prepare()` first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(_chain_file(folder))
    return context


def server_keys(folder: Path) -> ServerKeys:
    """The server's Noise keys. Call `prepare()` first."""
    return msgspec.msgpack.decode(_noise_file(folder).read_bytes(), type=ServerKeys)


def _ca_file(folder: Path) -> Path:
    return folder / "ca.pem"


def _ca_key_file(folder: Path) -> Path:
    return folder / "ca.key"


def _chain_file(folder: Path) -> Path:
    return folder / "server.pem"


def _noise_file(folder: Path) -> Path:
    return folder / "noise.keys"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two processes that prepare the same new folder at once must end up with the same keys."""
    descriptor = os.open(folder / "identity.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    """All or nothing, and never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _noise_keys(folder: Path) -> ServerKeys:
    path = _noise_file(folder)
    if not path.exists():
        _write(path, msgspec.msgpack.encode(ServerKeys.generate()))
    return server_keys(folder)


def _expires(path: Path, now: dt.datetime) -> bool:
    """Whether the certificate in this file is missing, unreadable or near its end."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return True
    return certificate.not_valid_after_utc - now < _RENEW_BEFORE


def _builder(
    subject: str, public: ec.EllipticCurvePublicKey, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _CA_NAME)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + life)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _make_authority(folder: Path, now: dt.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(_CA_NAME, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The key first: a certificate without its key would be taken for complete by the next call.
    _write(_ca_key_file(folder), _key_pem(key))
    _write(_ca_file(folder), certificate.public_bytes(_PEM))


def _make_leaf(folder: Path, now: dt.datetime) -> None:
    authority = serialization.load_pem_private_key(_ca_key_file(folder).read_bytes(), password=None)
    if not isinstance(authority, ec.EllipticCurvePrivateKey):
        raise OSError(f"{_ca_key_file(folder)} is not an elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(HOSTS[0], key.public_key(), now, _LEAF_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    _write(_chain_file(folder), _key_pem(key) + certificate.public_bytes(_PEM))

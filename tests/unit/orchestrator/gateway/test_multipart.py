"""Names in a body that streams by, whatever the blocks it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import MalformedBody
from orchestrator.gateway.multipart import HEADERS_MAX, VALUE_MAX, MultipartNames, boundary_of

BOUNDARY = b"XyZ-1"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--XyZ-1\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--XyZ-1--\r\n"
FILE = part("image", b"\x00--XyZ\r\n--Xy" + bytes(range(256)) * 50, '; filename="a.png"\r\nContent-Type: image/png')


def names(body: bytes, size: int) -> list[str]:
    found = MultipartNames(BOUNDARY)
    for at in range(0, len(body), size):
        found.feed(body[at : at + size])
    return found.names


@given(size=st.integers(1, 20_000))
def test_a_name_is_found_wherever_the_blocks_are_cut(size: int) -> None:
    body = part("phone", b"55") + part("device_id", b"alpha") + FILE + part("device_id", b"beta") + END
    assert names(body, size) == ["alpha", "beta"]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_only_looks_like_a_name_is_none(size: int) -> None:
    text = b'\r\nContent-Disposition: form-data; name="device_id"\r\n\r\nbeta\r\n'
    body = part("message", text) + part("device_ids", b"beta") + part("x", b"beta", '; filename="device_id"')
    assert names(body + END + part("device_id", b"after the end"), size) == []


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    "head",
    [
        b"content-disposition:form-data;name=device_id",
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="device_id"',
        b'Content-Disposition: form-data;\r\n name="device_id"',
        b"Content-Disposition: form-data; name*=utf-8''device%5Fid",
    ],
)
def test_spellings_of_the_field(head: bytes, size: int) -> None:
    assert names(b"--XyZ-1\r\n" + head + b"\r\n\r\nalpha\r\n" + END, size) == ["alpha"]


@pytest.mark.parametrize("size", [1, 100_000])
def test_empty_values_and_a_preamble(size: int) -> None:
    body = b"a preamble\r\n" + part("device_id", b"") + part("device_id", b"alpha")
    assert names(body + END, size) == ["", "alpha"]


def test_nothing_of_a_file_is_kept() -> None:
    found = MultipartNames(BOUNDARY)
    found.feed(part("image", b"", '; filename="a"')[:-2])
    for _ in range(100):
        found.feed(b"x" * 65_536)
        assert len(found._buffer) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"--XyZ-1\r\nX: " + b"x" * HEADERS_MAX,
        b"--XyZ-1\r\nX: " + b"x" * HEADERS_MAX + b"\r\n\r\n",
        part("device_id", b"x" * (VALUE_MAX + 1)) + END,
        part("device_id", b"x" * (VALUE_MAX + 100))[:-2],
    ],
)
@pytest.mark.parametrize("size", [1000, 100_000])
def test_what_grows_without_bound_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(MalformedBody):
        names(body, size)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=XyZ-1", b"XyZ-1"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=x", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary

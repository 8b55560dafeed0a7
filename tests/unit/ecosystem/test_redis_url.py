"""A Redis URL means the same to every part of the product: redis-py is asked what it reads."""

from __future__ import annotations

import pytest
import redis

from ecosystem.redis_url import Address, Tls, parse_redis_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(host="h")),
        ("redis://:p%40ss@h:7000/3", Address(host="h", port=7000, password="p@ss", database=3)),
        ("rediss://u:p@h", Address(host="h", tls=Tls(), username="u", password="p")),
        ("unix:///run/redis.sock?db=2", Address(path="/run/redis.sock", database=2)),
        ("redis://h?db=4", Address(host="h", database=4)),
        ("rediss://h?ssl_ca_certs=/a%20b/ca.pem", Address(host="h", tls=Tls(ca_file="/a b/ca.pem"))),
        ("rediss://h?ssl_cert_reqs=none", Address(host="h", tls=Tls(verify=False, check_hostname=False))),
        ("rediss://h?ssl_check_hostname=false", Address(host="h", tls=Tls(check_hostname=False))),
        ("rediss://h?ssl_certfile=/c&ssl_keyfile=/k", Address(host="h", tls=Tls(cert_file="/c", key_file="/k"))),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis://h:x",
        "redis://h/x",
        "unix:///s?db=x",
        "redis://[h",
        "rediss://h?ssl_cert_reqs=maybe",
        "rediss://h?ssl_check_hostname=2",
        "rediss://h?ssl_ciphers=x",
        "rediss://h?ssl_keyfile=/k",
    ],
)
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(ValueError):
        parse_redis_url(url)


def test_an_address_hides_its_password() -> None:
    assert "secret" not in repr(parse_redis_url("redis://u:secret@h"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p%40ss@h:7000/3",
        "rediss://:p@h:1/2?ssl_ca_certs=/a%20b/ca.pem",
        "rediss://h?ssl_cert_reqs=none",
        "rediss://h?ssl_check_hostname=False&ssl_ca_path=/folder",
        "rediss://h?ssl_certfile=/c&ssl_keyfile=/k",
    ],
)
def test_redis_py_reads_it_the_same_way(url: str) -> None:
    address, theirs = parse_redis_url(url), redis.ConnectionPool.from_url(url).connection_kwargs
    assert (address.host, address.port) == (theirs["host"], theirs.get("port", 6379))
    assert (address.username, address.password) == (theirs.get("username"), theirs.get("password"))
    assert address.database == theirs.get("db", 0)
    if address.tls is not None:
        assert address.tls.ca_file == theirs.get("ssl_ca_certs")
        assert address.tls.ca_path == theirs.get("ssl_ca_path")
        assert (address.tls.cert_file, address.tls.key_file) == (theirs.get("ssl_certfile"), theirs.get("ssl_keyfile"))
        assert address.tls.verify is (theirs.get("ssl_cert_reqs") != "none")
        assert address.tls.check_hostname is (address.tls.verify and theirs.get("ssl_check_hostname", True))

from __future__ import annotations

import hashlib
import hmac
import ipaddress

import pytest
from glovebox_local.sandbox import callbacks
from glovebox_local.sandbox.http import ApiError


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:25/", "//example.com"),
        *("http://", "http:///path", "http://user@example.com/", "http://example.com:99999/"),
        *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://192.168.1.1/"),
        *("http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/"),
        *("http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "http://172.16.0.1/"),
        *("http://[2002:a9fe:a9fe::]/", "http://example.com/\r\nX: y", "http://exam ple.com/"),
        *("http://[::ffff:127.0.0.1]/", "http://100.100.100.200/", "http://é.example/", "x" * 9),
        "http://example.com:0/",
        "http://example.com/" + "x" * 3000,
    ],
)
def test_an_address_that_a_callback_may_not_go_to_is_refused(url: str) -> None:
    with pytest.raises(ApiError) as refused:
        callbacks.parse({"callback_url": url})
    assert (refused.value.status, refused.value.code) == (400, "INVALID_CALLBACK")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8/x?y=1", "https://example.com", "http://[::1]:80/", "http://1.1.1.1/"],
)
def test_loopback_and_public_addresses_are_let_through(url: str) -> None:
    assert callbacks.parse({"callback_url": url}).url == url


@pytest.mark.parametrize("url", [None, 7, "", "http://x\0y/"])
def test_a_url_that_is_none_is_refused(url: object) -> None:
    with pytest.raises(ApiError):
        callbacks.parse({"callback_url": url})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"X-HOPX-Signature": "sha256=forged"},
        {"X-A": "a\r\nX-B: b"},
        {"X A": "a"},
        {"X-A": 1},
        {f"X-{number}": "" for number in range(40)},
        {"X-A": "x" * 10_000},
        ["X-A"],
    ],
)
def test_a_header_that_would_change_the_request_is_refused(headers: object) -> None:
    with pytest.raises(ApiError):
        callbacks.parse({"callback_url": "http://127.0.0.1/", "callback_headers": headers})


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f.1", "localhost.localdomain"])
def test_an_unusual_spelling_is_judged_by_where_it_leads(name: str) -> None:
    # Not an address to Python: it is looked up, and what comes of that is looked at.
    assert callbacks.parse({"callback_url": f"http://{name}/"}).host == name
    for address in ("169.254.169.254", "10.1.2.3", "fe80::1"):
        with pytest.raises(callbacks.NotAllowedError):
            callbacks._permit(ipaddress.ip_address(address))


def test_the_signature_covers_timestamp_and_body() -> None:
    expected = hmac.new(b"secret", b'1700000000{"a": 1}', hashlib.sha256).hexdigest()
    assert callbacks.sign("secret", "1700000000", b'{"a": 1}') == f"sha256={expected}"
    assert callbacks.sign("secret", "1700000001", b'{"a": 1}') != f"sha256={expected}"

"""Where a sandbox's tests, environment and token may be sent."""

from __future__ import annotations

import pytest
from glovebox.adapters.hopx_address import (
    Address,
    agent_url_of,
    may_be_sent_to,
    sandbox_id_of,
    token_of,
)

HOSTED = "https://api.hopx.dev"
LOCAL = "http://127.0.0.1:8800"


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("https://7777-1764.eu-1001.vms.hopx.dev", HOSTED),
        ("https://7777-1764.eu-1001.vms.hopx.dev/", HOSTED),
        ("http://127.0.0.1:40001", LOCAL),
        ("http://127.9.8.7:40001", LOCAL),
        ("http://localhost:40001", LOCAL),
        ("http://sandboxes.internal:40001", "http://sandboxes.internal:8800"),
        ("https://10.0.0.5:7777", "https://10.0.0.5"),
    ],
)
def test_https_and_ones_own_host_are_good(url: str, base_url: str) -> None:
    assert agent_url_of({"public_host": url}, base_url) == url.rstrip("/")
    assert agent_url_of({"direct_url": url}, base_url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://7777-1764.eu-1001.vms.hopx.dev",
        "http://127.0.0.1:40001",  # the hosted service has no business on this machine
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://2130706433",
        "https://[::1]:7777",
        "http://169.254.169.254/latest/meta-data",
        "https://user:secret@host.example",
        "https://host.example:99999",
        "https://host.example#fragment",
        "https://ho st.example",
        "https://host.example\n",
        "https://host.example/\r\nX-Evil: 1",
        "https://",
        "file:///etc/passwd",
        "ftp://host.example",
        "host.example",
        "",
        None,
        7,
        {"url": "https://host.example"},
    ],
)
def test_everything_else_is_refused(url: object) -> None:
    assert agent_url_of({"public_host": url}, HOSTED) is None


def test_a_local_control_plane_may_not_send_us_elsewhere_in_plain_text() -> None:
    assert not may_be_sent_to("http://host.example", LOCAL)
    assert not may_be_sent_to("http://10.0.0.5:80", LOCAL)


@pytest.mark.parametrize("value", ["", "../templates/x", "a/b", "a?b", "x" * 200, "a\n", None, 7])
def test_an_id_is_a_plain_word(value: object) -> None:
    assert sandbox_id_of({"id": value}) is None
    assert sandbox_id_of({}) is None


@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Evil: 1", "é", "x" * 20_000, None, 7, []])
def test_a_token_fits_into_a_header(value: object) -> None:
    assert token_of({"auth_token": value}) is None
    assert token_of({}) is None


def test_a_token_does_not_show_in_an_address() -> None:
    assert "t0ken" not in repr(Address("https://host.example", "t0ken"))

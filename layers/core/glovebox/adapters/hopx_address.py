"""What HopX says about a new sandbox, checked before any of it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_URL = re.compile(r"[\x21-\x7e]{1,2048}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True)
class Address:
    """Where an agent is, and what lets us in."""

    url: str
    token: str = field(repr=False)


def sandbox_id_of(answer: Mapping[str, Any]) -> str | None:
    """The id in an answer, where there is a sound one."""
    sandbox_id = answer.get("id")
    return sandbox_id if isinstance(sandbox_id, str) and _ID.fullmatch(sandbox_id) else None


def token_of(answer: Mapping[str, Any]) -> str | None:
    """The token in an answer, where it can be sent as a header."""
    value = answer.get("auth_token")
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def agent_url_of(answer: Mapping[str, Any], base_url: str) -> str | None:
    """An agent's address that we may talk to, or nothing.

    What is sent there are tests, their environment and a token, so it is https; or http where the
    control plane is on the same host, or both are on this machine.
    """
    url = answer.get("public_host") or answer.get("direct_url")
    if not isinstance(url, str):
        return None
    return url.rstrip("/") if may_be_sent_to(url, base_url) else None


def may_be_sent_to(url: str, base_url: str) -> bool:
    """Whether a URL that the provider gave us is one to send anything to."""
    if not _URL.fullmatch(url):
        return False
    try:
        there, home = urlsplit(url), urlsplit(base_url)
        _ = there.port  # raises where it is none
    except ValueError:
        return False
    host = there.hostname
    if host is None or not _HOST.fullmatch(host) or "@" in there.netloc or there.fragment:
        return False
    near = host == home.hostname or (_is_loopback(host) and _is_loopback(home.hostname or ""))
    if there.scheme == "http":
        return near
    # Nobody has a certificate for a number: that would be a host of our own network.
    return there.scheme == "https" and (near or not _is_number(host))


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host.replace(".", "").isdigit()
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

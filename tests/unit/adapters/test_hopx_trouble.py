"""What is made of HopX's refusals and of no answer at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from glovebox.adapters.hopx_control import refused_or_unavailable
from glovebox.adapters.hopx_trouble import (
    LONGEST_WISH_SECONDS,
    Trouble,
    from_exception,
    from_response,
    seconds,
)
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def trouble_of(status: int, body: Any, headers: dict[str, str] | None = None) -> Trouble:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_response(httpx.Response(status, content=content, headers=headers), NOW)


@pytest.mark.parametrize(
    ("body", "headers", "wish"),
    [
        ({"error": {"message": "m", "details": {"retry_after_seconds": 7}}}, {}, 7),
        ({"error": "m", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 7}, {}, 7),
        ({"error": "m", "details": {"retry_after": "7"}}, {}, 7),
        (b"", {"Retry-After": "7"}, 7),
        (b"<html>", {"Retry-After": "Fri, 15 Jan 2027 08:00:07 GMT"}, 7),
        (b"", {"Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        (b"", {"Retry-After": "soon"}, None),
        ({"error": {"details": {"retry_after_seconds": 3}}}, {"Retry-After": "7"}, 7),
        ({"error": {"details": {"retry_after_seconds": 3600}}}, {}, LONGEST_WISH_SECONDS),
        ({"error": {"message": "m", "details": None}}, {}, None),
        ({"error": None}, {}, None),
        ([1, 2], {}, None),
        (b"[" * 100_000, {}, None),
        (b"\xff\xfe", {}, None),
    ],
)
def test_the_wish_to_wait_is_found_wherever_it_stands(
    body: Any, headers: dict[str, str], wish: float | None
) -> None:
    assert trouble_of(429, body, headers).retry_after_seconds == wish


@pytest.mark.parametrize("value", [-1, True, None, "x", "nan", float("nan"), [], {}])
def test_what_is_no_number_of_seconds_is_no_wish(value: object) -> None:
    assert seconds(value) is None


@pytest.mark.parametrize("value", [float("inf"), "inf", 10**30, "1e300"])
def test_a_wish_for_ever_is_bounded(value: object) -> None:
    assert seconds(value) == LONGEST_WISH_SECONDS


def test_reasons_are_read_from_either_envelope_and_bounded() -> None:
    nested = trouble_of(400, {"error": {"message": "no such region", "code": "BAD"}})
    flat = trouble_of(400, {"error": "no such region", "code": "BAD"})
    for trouble in (nested, flat):
        assert (trouble.words, trouble.code) == ("HTTP 400: no such region", "BAD")
    assert len(trouble_of(500, b"x" * 10_000).words) < 500
    assert trouble_of(502, b"").words == "HTTP 502: no reason given"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SandboxRefused),
        (401, SandboxRefused),
        (402, SandboxRefused),
        (403, SandboxRefused),
        (404, SandboxRefused),
        (409, SandboxUnavailable),
        (429, SandboxUnavailable),
        (500, SandboxUnavailable),
        (503, SandboxUnavailable),
        (522, SandboxUnavailable),
    ],
)
def test_refusals_stay_and_overload_passes(status: int, kind: type[Exception]) -> None:
    assert type(refused_or_unavailable(trouble_of(status, {"error": "m"}))) is kind


def test_a_full_account_is_worth_another_try() -> None:
    full = trouble_of(403, {"error": {"message": "Sandbox limit reached", "details": {}}})
    assert isinstance(refused_or_unavailable(full), SandboxUnavailable)


@pytest.mark.parametrize(
    ("status", "possible"),
    [(400, False), (429, False), (503, False), (500, True), (502, True), (504, True), (520, True)],
)
def test_what_may_have_been_done(status: int, possible: bool) -> None:
    assert trouble_of(status, b"").may_have_been_done is possible


def chained(outer: Exception, inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception as error:
            raise outer from error
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "possible"),
    [
        # As the SDK hands them on: in errors of its own, or as they are.
        (chained(RuntimeError("Network error"), httpx.ConnectError("refused")), False),
        (chained(RuntimeError("timed out"), httpx.ConnectTimeout("slow")), False),
        (chained(RuntimeError("timed out"), httpx.ReadTimeout("slow")), True),
        (httpx.RemoteProtocolError("FIN"), True),
        (httpx.ReadError("RST"), True),
        (json.JSONDecodeError("no JSON", "", 0), True),
        (AttributeError("'NoneType' object has no attribute 'get'"), True),
    ],
)
def test_only_a_request_that_never_left_was_surely_not_carried_out(
    error: Exception, possible: bool
) -> None:
    trouble = from_exception(error)
    assert trouble.is_passing
    assert trouble.may_have_been_done is possible

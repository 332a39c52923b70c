from __future__ import annotations

import json
from typing import Any

from glovebox_local.sandbox.envelopes import control_error
from glovebox_local.sandbox.http import ApiError, Reply

LATER = ApiError(429, "RATE_LIMIT_EXCEEDED", "too many", retry_after_seconds=3, limit=20)
ABSENT = ApiError(404, "SANDBOX_NOT_FOUND", "none")


def body(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


def test_the_nested_envelope_is_the_sdks() -> None:
    reply = control_error(LATER, "id-1")
    details = {"retry_after_seconds": 3, "limit": 20}
    expected = {"message": "too many", "code": LATER.code, "request_id": "id-1", "details": details}
    assert (reply.status, body(reply)) == (429, {"error": expected})


def test_details_are_never_null() -> None:
    assert body(control_error(ABSENT, "id-1"))["error"]["details"] == {}


def test_the_flat_envelope_is_the_pages() -> None:
    assert body(control_error(LATER, "id-1", flat=True)) == {
        "error": "too many",
        "code": LATER.code,
        "request_id": "id-1",
        "retry_after": 3,
    }
    assert "retry_after" not in body(control_error(ABSENT, "id-1", flat=True))


def test_a_time_to_come_back_is_a_header_too() -> None:
    assert (b"retry-after", b"3") in control_error(LATER, "id-1").headers
    assert control_error(ABSENT, "id-1").headers == []

"""The two shapes of an error: the control plane nests it, the agent does not.

As hopx-ai 0.5.0 parses them; ``details`` is never null, which would crash its error handling.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from glovebox_local.sandbox.http import ApiError, Reply, reply_json


def now() -> str:
    """This moment, as both APIs write it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def control_error(error: ApiError) -> Reply:
    """``{"error": {message, code, request_id, details}}``."""
    request_id = secrets.token_hex(8)
    envelope = {
        "message": error.message,
        "code": error.code,
        "request_id": request_id,
        "details": error.details,
    }
    return _answer({"error": envelope}, error.status, request_id)


def agent_error(error: ApiError) -> Reply:
    """``{error, code, request_id, timestamp, path?, details}``."""
    request_id = secrets.token_hex(8)
    envelope: dict[str, object] = {
        "error": error.message,
        "code": error.code,
        "request_id": request_id,
        "timestamp": now(),
        "details": error.details,
    }
    if "path" in error.details:
        envelope["path"] = error.details["path"]
    return _answer(envelope, error.status, request_id)


def _answer(envelope: dict[str, object], status: int, request_id: str) -> Reply:
    reply = reply_json(envelope, status)
    # The SDK takes an agent's request id from this header alone.
    reply.headers.append((b"x-request-id", request_id.encode()))
    return reply

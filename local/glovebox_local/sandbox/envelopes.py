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


def new_request_id() -> str:
    """What both sides' logs may name a request by."""
    return secrets.token_hex(8)


def control_error(error: ApiError, request_id: str, *, flat: bool = False) -> Reply:
    """``{"error": {message, code, request_id, details}}``.

    ``flat`` is what the vendor's pages show and its SDK cannot read: ``{error, code, request_id,
    retry_after?}``. The caller adds the request's id as a header, as to every answer.
    """
    retry = error.details.get("retry_after_seconds")
    envelope: dict[str, object] = {
        "error" if flat else "message": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if not flat:
        envelope["details"] = error.details
    elif retry is not None:
        envelope["retry_after"] = retry
    reply = reply_json(envelope if flat else {"error": envelope}, error.status)
    if retry is not None:
        reply.headers.append((b"retry-after", str(retry).encode()))
    if "allow" in error.details:
        reply.headers.append((b"allow", ", ".join(error.details["allow"]).encode()))
    return reply


def agent_error(error: ApiError) -> Reply:
    """``{error, message, code, request_id, timestamp, path?, details}``.

    The text stands there twice: the SDK's two halves, and JavaScript's, look for it by either name.
    """
    request_id = new_request_id()
    envelope: dict[str, object] = {
        "error": error.message,
        "message": error.message,
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

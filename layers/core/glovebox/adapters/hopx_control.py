"""The SDK's HTTP client for HopX's control plane, told not to retry, and its errors as ours.

Pinned: hopx-ai 0.5.0. Single modules of it, since the whole costs every launcher half a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import httpx

from glovebox.adapters import hopx_parts
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable

with hopx_parts.without_the_whole():
    from hopx_ai._agent_client import AgentHTTPClient
    from hopx_ai._client import HTTPClient
    from hopx_ai.errors import APIError, HopxError, NotFoundError, RateLimitError, ServerError

__all__ = ["SDK_ERRORS", "AgentHTTPClient", "NotFoundError", "control_call", "make_client", "words"]

# What the SDK lets through beside its own errors, on malformed answers and broken connections.
SDK_ERRORS = (HopxError, httpx.HTTPError, ValueError, AttributeError, TypeError, KeyError)


@cache
def _share_ssl_context() -> None:
    """Make one SSL context a process. Stock, every client makes its own: 83 % of the SDK's
    CPU time per sandbox."""
    transports: Any = import_module("httpx._transports.default")
    transports.create_ssl_context = cache(transports.create_ssl_context)
    for name in ("hopx_ai", "httpx", "httpcore"):
        # At DEBUG the SDK logs request bodies and tokens.
        logging.getLogger(name).setLevel(logging.WARNING)


def make_client(base_url: str, api_key: str, timeout_seconds: float) -> HTTPClient:
    """A client of the control plane that tries once."""
    _share_ssl_context()
    return HTTPClient(api_key, base_url, timeout=timeout_seconds, max_retries=0)


def control_call(call: Callable[[], Any]) -> dict[str, Any]:
    """What a request to the control plane answered.

    Raises SandboxUnavailable (another try makes sense) or SandboxRefused (it does not).
    """
    try:
        answer = call()
    except RateLimitError as error:
        raise SandboxUnavailable(
            words(error), retry_after_seconds=_seconds(error.retry_after)
        ) from error
    except ServerError as error:
        raise SandboxUnavailable(words(error)) from error
    except APIError as error:
        raise SandboxRefused(words(error)) from error
    except SDK_ERRORS as error:
        raise SandboxUnavailable(words(error)) from error
    if not isinstance(answer, dict):
        raise SandboxUnavailable("the provider's answer is malformed")
    return answer


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value >= 0 else None


def words(error: Exception) -> str:
    """What went wrong, short enough for a report."""
    return f"{type(error).__name__}: {str(error)[:300]}"

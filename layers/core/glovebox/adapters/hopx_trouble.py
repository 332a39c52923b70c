"""Whatever goes wrong between us and HopX, as one exception that says what is known of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

LONGEST_WISH_SECONDS = 300.0
"""A provider that wishes for more is taken to wish for this."""
_WORDS = 300
_PASSING = frozenset({408, 409, 425, 429})
# The request did not leave: nobody can have acted on it.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)


class Trouble(Exception):
    """A request that did not go well. Never leaves the adapters."""

    def __init__(
        self,
        words: str,
        *,
        status: int | None = None,
        code: str | None = None,
        sent: bool = True,
        empty: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(words)
        self.words = words
        self.status = status
        """What was answered; None where nothing was, or nothing whole."""
        self.code = code
        """The provider's own word for it, where it gave one."""
        self.sent = sent
        """Whether the provider may have had the request."""
        self.empty = empty
        """A success without any body."""
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_passing(self) -> bool:
        """Whether the same request may do better: no answer, a malformed one, or a busy one."""
        if self.status is None or self.status < 400 or self.status >= 500:
            return True
        return self.status in _PASSING

    @property
    def is_limit(self) -> bool:
        """Whether it is a refusal for now only: so many sandboxes live already."""
        return self.status == 403 and "limit" in self.words.lower()

    @property
    def may_have_been_done(self) -> bool:
        """Whether the provider may have done what was asked without our hearing of it.

        Refusals (4xx) and 503 say that it was not.
        """
        if not self.sent:
            return False
        return (
            self.status is None
            or self.status < 400
            or self.status > 503
            or self.status in (500, 502)
        )


def from_response(response: httpx.Response, now: float) -> Trouble:
    """The trouble that an answer of 400 and more tells of, in any of the envelopes in use.

    HopX's SDK reads `{"error": {"message", "code", "details": {"retry_after_seconds"}}}`, its
    documentation says `{"error": "text", "code", "retry_after"}`, a gateway sends HTML.
    """
    try:
        told: Any = response.json()
    except (ValueError, RecursionError):
        told = None
    outer: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    error = outer.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else outer
    details = inner.get("details")
    wishes = [_date_or_seconds(response.headers.get("Retry-After"), now)]
    for place in (outer, inner, details if isinstance(details, Mapping) else {}):
        wishes += [seconds(place.get("retry_after")), seconds(place.get("retry_after_seconds"))]
    message = error if isinstance(error, str) else inner.get("message")
    code = inner.get("code")
    return Trouble(
        _bounded(f"HTTP {response.status_code}: {message or response.text or 'no reason given'}"),
        status=response.status_code,
        code=code if isinstance(code, str) else None,
        retry_after_seconds=max((wish for wish in wishes if wish is not None), default=None),
    )


def from_exception(error: Exception) -> Trouble:
    """The trouble behind whatever the SDK raises or lets through where there is no answer."""
    if isinstance(error, Trouble):
        return error
    causes = [cause for cause in _chain(error) if isinstance(cause, _UNSENT)]
    return Trouble(_bounded(f"{type(error).__name__}: {error}"), sent=not causes)


def seconds(value: object) -> float | None:
    """A wish in seconds, if it is one; not more than LONGEST_WISH_SECONDS."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if math.isnan(value) or value < 0:
        return None
    return float(min(value, LONGEST_WISH_SECONDS))


def _date_or_seconds(header: str | None, now: float) -> float | None:
    if header is None or (wish := seconds(header)) is not None:
        return None if header is None else wish
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return seconds(max(0.0, (at - datetime.fromtimestamp(now, UTC)).total_seconds()))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _bounded(text: str) -> str:
    return text if len(text) <= _WORDS else text[:_WORDS] + "…"

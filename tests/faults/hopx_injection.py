"""Each kind of fault, carried out on one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from tests.faults.hopx_faults import Fault, Kind
from tests.faults.proxy_connection import Answer, Connection

RETRY_AFTER_SECONDS = 1
SLOW_SECONDS = 0.3
_HTML = b"<html><body><h1>Welcome to nginx</h1></body></html>"
_AFTER = {
    Kind.ANSWERED_504_AFTER,
    Kind.ANSWERED_502_AFTER,
    Kind.DROPPED_AFTER,
    Kind.EMPTY_OBJECT,
    Kind.EXIT_CODE_NULL,
    Kind.HTML_200,
    Kind.TRUNCATED,
    Kind.MISSING_ID,
    Kind.JSON_NULL,
    Kind.SLOW,
    Kind.BLACKHOLE_AFTER,
    Kind.EMPTY_204,
}


class Stage(Protocol):
    """What an injection needs of the proxy."""

    hold_seconds: float

    def forward(
        self, connection: Connection, asked: str, cut: Callable[[], None] | None = None
    ) -> Answer:
        """Ask the provider, and write down what happened; with `cut`, break off when it ends."""

    def expire(self, token: str) -> None:
        """From now on agents refuse this token."""

    def wait(self, seconds: float) -> None:
        """Sleep; the end of the proxy ends it."""


def inject(stage: Stage, connection: Connection, asked: str, fault: Fault) -> None:
    """Let one request go wrong. Raises UpstreamGone where the provider went away meanwhile."""
    kind = fault.kind
    slow = SLOW_SECONDS if fault.seconds is None else fault.seconds
    if kind is Kind.CUT_UNDER_WAY:
        stage.forward(connection, asked, lambda: stage.wait(slow))
    if kind is Kind.SLOW:
        stage.wait(slow)
    real = stage.forward(connection, asked) if kind in _AFTER else Answer(500, b"")
    if kind in (Kind.BLACKHOLE, Kind.BLACKHOLE_AFTER):
        stage.wait(stage.hold_seconds if fault.seconds is None else fault.seconds)
    if kind is Kind.EXPIRED_TOKEN:
        stage.expire(connection.bearer)
    if kind in (Kind.BLACKHOLE, Kind.BLACKHOLE_AFTER, Kind.DROPPED_BEFORE, Kind.DROPPED_AFTER):
        connection.drop()
    elif kind is Kind.TRUNCATED:
        connection.send(real.head(max(2, len(real.body))) + real.body[: len(real.body) // 2])
        connection.drop(reset=True)
    else:
        connection.answer(_answer(fault, real, agent=connection.server.sandbox_id is not None))


def _answer(fault: Fault, real: Answer, *, agent: bool) -> Answer:
    wish = RETRY_AFTER_SECONDS if fault.seconds is None else fault.seconds
    made: dict[Kind, Callable[[], Answer]] = {
        Kind.SLOW: lambda: real,
        Kind.ANSWERED_504_AFTER: lambda: _refusal(504, "UPSTREAM_TIMEOUT", agent=agent),
        Kind.ANSWERED_502_AFTER: lambda: Answer(502, b"<html>Bad Gateway</html>"),
        Kind.SERVER_500: lambda: _refusal(500, "INTERNAL", agent=agent),
        Kind.SERVER_502: lambda: Answer(502, b"<html>Bad Gateway</html>"),
        Kind.SERVER_503: lambda: _refusal(503, "UNAVAILABLE", agent=agent),
        Kind.RATE_LIMITED_NESTED: lambda: _json(
            429,
            {
                "error": {
                    "message": "too many requests",
                    "code": "RATE_LIMIT_EXCEEDED",
                    "details": {"retry_after_seconds": wish},
                }
            },
        ),
        Kind.RATE_LIMITED_FLAT: lambda: _json(
            429,
            {"error": "too many requests", "code": "RATE_LIMIT_EXCEEDED", "retry_after": wish},
        ),
        Kind.RATE_LIMITED_HEADER: lambda: Answer(429, b"", [("Retry-After", f"{wish:g}")]),
        Kind.EMPTY_OBJECT: lambda: _json(200, {}),
        Kind.JSON_NULL: lambda: _json(200, None),
        Kind.HTML_200: lambda: Answer(200, _HTML, [("Content-Type", "text/html")]),
        Kind.EXIT_CODE_NULL: lambda: _changed(real, exit_code=None),
        Kind.MISSING_ID: lambda: _changed(real, id=None),
        Kind.EMPTY_204: lambda: Answer(204, b""),
        Kind.EXPIRED_TOKEN: lambda: _refusal(401, "INVALID_TOKEN", agent=agent),
    }
    return made[fault.kind]()


def _json(status: int, value: object) -> Answer:
    return Answer(status, json.dumps(value).encode(), [("Content-Type", "application/json")])


def _refusal(status: int, code: str, *, agent: bool) -> Answer:
    if agent:
        return _json(status, {"error": "injected", "code": code, "details": {}})
    return _json(status, {"error": {"message": "injected", "code": code, "details": {}}})


def _changed(real: Answer, **changes: object) -> Answer:
    try:
        value = json.loads(real.body)
    except ValueError:
        return real
    return _json(real.status, {**value, **changes}) if isinstance(value, dict) else real

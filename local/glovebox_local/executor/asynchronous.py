"""Asynchronous invocations: at once accepted, retried when they fail, and sent on at their end."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from glovebox_local.executor.executor import FunctionExecutor
from glovebox_local.executor.model import (
    AsyncPolicy,
    FunctionSpec,
    InvocationResult,
    ThrottledError,
)
from glovebox_local.settings import LocalSettings
from glovebox_local.threads import DaemonPool

_log = logging.getLogger(__name__)

# (ARN, message, message attributes): delivers to a queue, topic, bus or function.
Forward = Callable[[str, str, dict[str, str]], None]

_FIRST_THROTTLE_PAUSE_SECONDS = 0.2
_LONGEST_THROTTLE_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Try:
    function: FunctionSpec
    payload: bytes
    request_id: str
    accepted_at: float
    number: int = 1
    throttle_pause: float = _FIRST_THROTTLE_PAUSE_SECONDS


class AsyncInvoker:
    """Runs ``Event`` invocations: two retries unless the template says otherwise, then the
    function's on-failure destination and dead-letter queue."""

    def __init__(
        self,
        executor: FunctionExecutor,
        pool: DaemonPool,
        settings: LocalSettings,
        forward: Forward,
    ) -> None:
        self._executor = executor
        self._pool = pool
        self._pauses = settings.async_retry_seconds
        self._forward = forward

    def invoke(self, name_or_arn: str, payload: bytes) -> str:
        """Accept an event and return its request id. Raises UnknownFunctionError."""
        function = self._executor.function(name_or_arn)
        attempt = _Try(function, payload, str(uuid.uuid4()), time.monotonic())
        self._pool.submit(lambda: self._run(attempt))
        return attempt.request_id

    def _run(self, attempt: _Try) -> None:
        policy = attempt.function.asynchronous
        try:
            result = self._executor.invoke(
                attempt.function.name, attempt.payload, attempt.request_id
            )
        except ThrottledError:
            self._run_later(attempt, policy)
            return
        if result.error is None:
            if policy.on_success:
                self._send(policy.on_success, _record(attempt, result, "Success"), {})
            return
        expired = time.monotonic() - attempt.accepted_at > policy.maximum_age_seconds
        if attempt.number <= policy.retries and not expired:
            pause = self._pauses[min(attempt.number, len(self._pauses)) - 1]
            following = replace(attempt, number=attempt.number + 1)
            self._pool.submit_later(pause, lambda: self._run(following))
            return
        self._give_up(attempt, policy, result, "RetriesExhausted")

    def _run_later(self, attempt: _Try, policy: AsyncPolicy) -> None:
        if time.monotonic() - attempt.accepted_at > policy.maximum_age_seconds:
            self._give_up(attempt, policy, None, "EventAgeExceeded")
            return
        longer = min(attempt.throttle_pause * 2, _LONGEST_THROTTLE_PAUSE_SECONDS)
        following = replace(attempt, throttle_pause=longer)
        self._pool.submit_later(attempt.throttle_pause, lambda: self._run(following))

    def _give_up(
        self, attempt: _Try, policy: AsyncPolicy, result: InvocationResult | None, why: str
    ) -> None:
        _log.warning("%s: asynchronous event dropped (%s)", attempt.function.logical_id, why)
        if policy.on_failure:
            self._send(policy.on_failure, _record(attempt, result, why), {})
        if policy.dead_letter:
            message = _error_message(result)
            attributes = {
                "RequestID": attempt.request_id,
                "ErrorCode": "200" if result else "429",
                "ErrorMessage": message[:1024],
            }
            self._send(policy.dead_letter, attempt.payload.decode("utf-8", "replace"), attributes)

    def _send(self, arn: str, message: str, attributes: dict[str, str]) -> None:
        try:
            self._forward(arn, message, attributes)
        except Exception:  # nobody waits for it; the log is where it can be found
            _log.exception("could not deliver to %s", arn)


def _error_message(result: InvocationResult | None) -> str:
    if result is None:
        return "Rate Exceeded."
    try:
        return str(json.loads(result.payload)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return "Unhandled"


def _json(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _record(attempt: _Try, result: InvocationResult | None, condition: str) -> str:
    """The message of a destination, as Lambda words it."""
    error = result.error if result else None
    context: dict[str, object] = {"statusCode": 200 if result else 429}
    if result:
        context["executedVersion"] = "$LATEST"
    if error:
        context["functionError"] = error
    record = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": attempt.request_id,
            "functionArn": f"{attempt.function.arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": attempt.number,
        },
        "requestPayload": _json(attempt.payload),
        "responseContext": context,
        "responsePayload": _json(result.payload) if result else None,
    }
    return json.dumps(record)

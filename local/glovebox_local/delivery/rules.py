"""EventBridge: which rules an event matches, what each target is sent, and its delivery."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from glovebox_local.threads import DaemonPool

_log = logging.getLogger(__name__)

Send = Callable[[str, str], None]
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
_DEFAULT_ATTEMPTS = 185  # EventBridge's own default; locally the pause between them is constant
_RETRY_PAUSE_SECONDS = 1.0


class RuleDelivery:
    """Delivers events to the targets of matching rules, never in the caller's thread."""

    def __init__(self, pool: DaemonPool, send: Send) -> None:
        self._pool = pool
        self._send = send

    def offer(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver an event to a rule's targets if it is enabled and its pattern matches."""
        # A rule with a schedule only has no pattern; moto takes that for "matches everything".
        if rule.state != "ENABLED" or not rule.event_pattern.get_pattern():
            return
        if rule.event_pattern.matches_event(event):
            self.deliver(rule.targets, event)

    def deliver(self, targets: list[dict[str, Any]], event: dict[str, Any]) -> None:
        """Send an event to targets (as PutTargets describes them), each on its own."""
        for target in list(targets):
            message = target_input(target, event)
            attempts = 1 + int(
                target.get("RetryPolicy", {}).get("MaximumRetryAttempts", _DEFAULT_ATTEMPTS)
            )
            self._pool.submit(_Delivery(self._pool, self._send, target, message, attempts))


class _Delivery:
    """One event on its way to one target; a call, so that a pool can run it."""

    def __init__(
        self, pool: DaemonPool, send: Send, target: dict[str, Any], message: str, attempts: int
    ) -> None:
        self._pool = pool
        self._send = send
        self._target = target
        self._message = message
        self._left = attempts

    def __call__(self) -> None:
        try:
            self._send(self._target["Arn"], self._message)
        except Exception as error:
            self._left -= 1
            _log.warning("delivery to %s failed: %s", self._target["Arn"], error)
            # A target that is gone stays gone: AWS does not retry it either.
            gone = "NotFound" in type(error).__name__ or "Unknown" in type(error).__name__
            if self._left > 0 and not gone:
                self._pool.submit_later(_RETRY_PAUSE_SECONDS, self)
            else:
                self._give_up()

    def _give_up(self) -> None:
        dead_letter = self._target.get("DeadLetterConfig", {}).get("Arn")
        if dead_letter:
            self._send(dead_letter, self._message)


def as_event(message: dict[str, Any]) -> dict[str, Any]:
    """An event as targets see it: moto keeps its time as a number and adds what is internal."""
    event = {name: value for name, value in message.items() if name != "ingestion-time"}
    moment = event.get("time")
    if isinstance(moment, int | float) or (isinstance(moment, str) and _is_number(moment)):
        event["time"] = datetime.fromtimestamp(float(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return event


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def target_input(target: dict[str, Any], event: dict[str, Any]) -> str:
    """What a target is sent: its constant, a part of the event, a filled template, or the event."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(_part(event, target["InputPath"]))
    transformer = target.get("InputTransformer")
    if transformer is None:
        return json.dumps(event)
    values = {
        name: _part(event, path) for name, path in transformer.get("InputPathsMap", {}).items()
    }
    return _fill(transformer["InputTemplate"], values)


def _part(event: dict[str, Any], path: str) -> Any:
    if path == "$":
        return event
    from jsonpath_ng.ext.parser import parse

    found = parse(path).find(event)
    return found[0].value if found else None


def _fill(template: str, values: dict[str, Any]) -> str:
    """Replace <names>: as bare text inside a JSON string, as JSON anywhere else."""

    def replace(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        value = values[match[1]]
        quoted = template[: match.start()].replace('\\"', "").count('"') % 2 == 1
        if quoted:
            text = value if isinstance(value, str) else json.dumps(value)
            return json.dumps(text)[1:-1]
        return json.dumps(value)

    return _PLACEHOLDER.sub(replace, template)

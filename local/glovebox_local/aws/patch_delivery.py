"""Turns moto's deliveries over to the running stack: invocations, notifications, rules, mappings.

The patches are applied once per process and find the stack of the moment in ``connect``'s argument.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from typing import Any, Protocol, cast
from urllib.parse import quote_plus

from glovebox_local.aws.contract import moto_module
from glovebox_local.executor.model import (
    InvocationResult,
    ThrottledError,
    UnknownFunctionError,
)


class Deliveries(Protocol):
    """What moto's services hand to the stack."""

    def invoke(self, name_or_arn: str, payload: bytes) -> InvocationResult:
        """Run a function and wait for its answer."""
        ...

    def invoke_async(self, name_or_arn: str, payload: bytes) -> str:
        """Accept an event for a function and return the request id."""
        ...

    def offer(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver an event to the targets of a rule, if it matches."""
        ...

    def object_changed(self, bucket: Any, key: Any, event_name: str, detail_type: str) -> None:
        """Put an object's event on the default event bus."""
        ...

    def map_queue(self, mapping: Any) -> None:
        """Begin to poll the queue of an event source mapping (moto's EventSourceMapping)."""
        ...


_connected: Deliveries | None = None


def connect(deliveries: Deliveries | None) -> None:
    """Name the stack that receives deliveries from now on; None when it has stopped."""
    global _connected  # noqa: PLW0603 - moto's services are one per process, and so is this
    _connected = deliveries


def _stack() -> Deliveries:
    if _connected is None:
        msg = "no stack runs in this process"
        raise RuntimeError(msg)
    return _connected


def install() -> None:
    """Apply the repairs; to be called once per process."""
    functions = moto_module("awslambda.models")
    notifications = moto_module("s3.notifications")
    topics = moto_module("sns.models")
    functions.LambdaFunction.invoke = _invoke
    functions.LambdaFunction._invoke_lambda = _invoke_lambda
    backend = functions.LambdaBackend
    backend.create_event_source_mapping = functools.partialmethod(
        _create_mapping, backend.create_event_source_mapping
    )
    moto_module("events.models").Rule.send_to_targets = _send_to_targets
    notifications._send_event_bridge_message = functools.partial(
        _send_object_event, notifications._detail_type
    )
    notifications._invoke_awslambda = _notify_function
    # S3 leaves the slashes of a key in its notifications alone; moto encodes them.
    notifications.quote_plus = functools.partial(quote_plus, safe="/")
    topics.Subscription.publish = functools.partialmethod(_publish, topics.Subscription.publish)


def _invoke(self: Any, body: Any, request_headers: Any, response_headers: Any) -> bytes | str:
    """LambdaFunction.invoke: every path to a function inside moto ends here."""
    payload = (body.encode() if isinstance(body, str) else bytes(body or b"")) or b"{}"
    kind = (request_headers or {}).get("x-amz-invocation-type", "RequestResponse")
    try:
        json.loads(payload)
        if kind == "DryRun":
            return ""
        if kind == "Event":
            _stack().invoke_async(self.function_arn, payload)
            return ""
        result = _stack().invoke(self.function_arn, payload)
    except ThrottledError as error:
        raise _refusal(429, "TooManyRequestsException", str(error)) from error
    except UnknownFunctionError as error:
        raise _refusal(404, "ResourceNotFoundException", str(error)) from error
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise _refusal(400, "InvalidRequestContentException", text) from error
    if result.error:
        response_headers["x-amz-function-error"] = result.error
    response_headers["x-amz-executed-version"] = "$LATEST"
    response_headers["x-amz-log-result"] = base64.b64encode(result.log_tail.encode()).decode()
    return result.payload


def _refusal(status: int, code: str, text: str) -> Exception:
    error = moto_module("awslambda.exceptions").LambdaClientError(code, text)
    error.code = status
    return cast(Exception, error)


def _invoke_lambda(self: Any, event: Any = None) -> tuple[str, bool, str]:
    result = _stack().invoke(self.function_arn, json.dumps(event or {}).encode())
    return result.payload.decode(), result.error is not None, result.log_tail


def _create_mapping(self: Any, stock: Callable[..., Any], spec: dict[str, Any]) -> Any:
    mapping = stock(self, spec)
    if mapping.event_source_arn.split(":")[2] == "sqs":
        _stack().map_queue(mapping)
    return mapping


def _send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
    _stack().offer(self, original_event)


def _send_object_event(
    detail_type: Callable[[str], str],
    account_id: str,
    bucket: Any,
    event_name: Any,
    key: Any,
) -> None:
    _stack().object_changed(bucket, key, str(event_name.value), detail_type(event_name))


def _notify_function(
    account_id: str,
    event_body: Any,
    fn_arn: str,
    region_name: str,
) -> None:
    _stack().invoke_async(fn_arn, json.dumps(event_body).encode())


def _publish(
    self: Any,
    stock: Callable[..., None],
    message: str,
    message_id: str,
    subject: str | None = None,
    message_attributes: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    if self.protocol != "lambda":
        stock(self, message, message_id, subject, message_attributes, **options)
        return
    from glovebox_local.delivery.topics import notification

    matcher = self._filter_policy_matcher
    if matcher is not None and not matcher.matches(message_attributes, message):
        return
    if options.get("message_structure") == "json":
        message = self._parse_message_structure(message, self.protocol)
    event = notification(self, message, message_id, subject, message_attributes)
    _stack().invoke_async(self.endpoint, event)

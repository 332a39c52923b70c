"""Sends a message to the target that an ARN names, whatever its service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from glovebox_local.errors import UnsupportedError


class TargetSender:
    """Delivers to functions (asynchronously), queues, topics, state machines and event buses."""

    def __init__(
        self, client: Callable[[str], Any], invoke_async: Callable[[str, bytes], str]
    ) -> None:
        self._client = client
        self._invoke_async = invoke_async

    def send(self, arn: str, message: str, attributes: Mapping[str, str] | None = None) -> None:
        """Deliver a message; ``attributes`` become message attributes where the target has them.

        Raises UnsupportedError for a target of another kind, botocore's errors for a target that
        does not exist.
        """
        service = arn.split(":")[2]
        typed = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (attributes or {}).items()
        }
        if service == "lambda":
            self._invoke_async(arn, message.encode())
        elif service == "sqs":
            sqs = self._client("sqs")
            url = sqs.get_queue_url(QueueName=arn.rsplit(":", maxsplit=1)[-1])["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=message, MessageAttributes=typed)
        elif service == "sns":
            self._client("sns").publish(TopicArn=arn, Message=message, MessageAttributes=typed)
        elif service == "states":
            self._client("stepfunctions").start_execution(stateMachineArn=arn, input=message)
        elif service == "events":
            self._put_event(arn, message)
        else:
            msg = f"cannot deliver to {arn} locally"
            raise UnsupportedError(msg)

    def _put_event(self, arn: str, message: str) -> None:
        event = json.loads(message)
        entry = {
            "Source": event.get("source", "lambda"),
            "DetailType": event.get("detail-type", "Lambda Function Invocation Result"),
            "Detail": json.dumps(event.get("detail", event)),
            "EventBusName": arn.rsplit("/", maxsplit=1)[-1],
        }
        self._client("events").put_events(Entries=[entry])

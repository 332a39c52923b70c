"""The launch queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsLaunchQueue:
    """Implements `ports.LaunchQueue`."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client, self._url = client, url

    def send(self, body: str, *, delay_seconds: int) -> None:
        """Put a message into the queue; nobody receives it before the delay is over."""
        self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay_seconds)

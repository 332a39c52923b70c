"""The topic of finished runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


class SnsNotices:
    """Implements `ports.Notices`, with the same words as the state machine's Notify."""

    def __init__(self, client: SNSClient, topic_arn: str) -> None:
        self._client = client
        self._topic = topic_arn

    def publish(self, message: str, attributes: Mapping[str, str]) -> None:
        """Tell them. `attributes` are what they filter by."""
        self._client.publish(
            TopicArn=self._topic,
            Message=message,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )

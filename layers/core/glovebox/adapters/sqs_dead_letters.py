"""The queue where launch messages end that could not be handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glovebox.ports import DeadLetter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AT_ONCE = 10
"""The most that SQS gives at a time."""
HIDDEN_SECONDS = 120
"""How long a letter stays out of sight while it is dealt with; afterwards it comes back."""


class SqsDeadLetters:
    """Implements `ports.DeadLetters`."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._url = queue_url

    def receive(self) -> Sequence[DeadLetter]:
        """A few letters; none where there is none now. One that is not removed comes back."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=AT_ONCE,
            VisibilityTimeout=HIDDEN_SECONDS,
            # Waits a moment, so that every server of SQS is asked and not only some.
            WaitTimeSeconds=1,
        )
        return [
            DeadLetter(message["MessageId"], message["Body"], message["ReceiptHandle"])
            for message in answer.get("Messages", [])
        ]

    def remove(self, letter: DeadLetter) -> None:
        """Take a letter out for good."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)

"""When a message that failed is delivered again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BACKOFF_SECONDS = (1, 2, 4, 8)
"""After the first failures. Short: the Map gives a batch up after two minutes without a sign of
life, and until then the sweeper should have found it among the dead."""
LAST_SECONDS = 1
"""After any later failure: it is for the queue to move the message away, and that soon."""
_log = logging.getLogger(__name__)


class SqsRedelivery:
    """Shortens the wait of a message that failed; the queue's own is for lost launchers."""

    def __init__(self, client: SQSClient, queue_url: str) -> None:
        self._client = client
        self._url = queue_url

    def soon(self, receipt: str, receives: int) -> None:
        """Have a message delivered again in a few seconds, by how often it was received.

        Raises nothing: where it does not work, the message comes back when the queue says.
        """
        after = BACKOFF_SECONDS[receives - 1 : receives]
        try:
            self._client.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=receipt,
                VisibilityTimeout=after[0] if after else LAST_SECONDS,
            )
        except (BotoCoreError, ClientError) as error:
            _log.warning("not delivered again soon", extra={"reason": type(error).__name__})

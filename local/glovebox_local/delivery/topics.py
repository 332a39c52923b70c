"""SNS to Lambda: the record that a subscribed function receives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def notification(
    subscription: Any,
    message: str,
    message_id: str,
    subject: str | None,
    attributes: dict[str, Any] | None,
) -> bytes:
    """The event for a function that is subscribed to a topic, with the topic's real ARN."""
    sns = {
        "SignatureVersion": "1",
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "Signature": "local",
        "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/local.pem",
        "MessageId": message_id,
        "Message": message,
        "MessageAttributes": {
            name: {"Type": value["Type"], "Value": value["Value"]}
            for name, value in (attributes or {}).items()
        },
        "Type": "Notification",
        "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/",
        "TopicArn": subscription.topic.arn,
        "Subject": subject,
    }
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription.arn,
        "EventSource": "aws:sns",
        "Sns": sns,
    }
    return json.dumps({"Records": [record]}, default=str).encode()

"""The events of buckets, worded as S3 words them."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

from glovebox_local.settings import ACCOUNT_ID

_REASONS = {
    "Put": "PutObject",
    "Post": "POST Object",
    "Copy": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
    "Delete": "DeleteObject",
    "DeleteMarkerCreated": "DeleteObject",
}
# Later events of one key compare greater, which is all that a sequencer promises.
_sequence = itertools.count(1)


def object_event(bucket: Any, key: Any, event_name: str, detail_type: str) -> dict[str, Any]:
    """The EventBridge event of a change to an object. The key comes as it is, not URL-encoded."""
    last = event_name.rsplit(":", maxsplit=1)[-1]
    described: dict[str, Any] = {"key": key.name, "sequencer": f"{next(_sequence):018X}"}
    if detail_type == "Object Created":
        described |= {"size": key.size, "etag": key.etag.replace('"', "")}
    if getattr(bucket, "is_versioned", False) and key.version_id:
        described["version-id"] = key.version_id
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": described,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": ACCOUNT_ID,
        "source-ip-address": "127.0.0.1",
        "reason": _REASONS.get(last, last),
    }
    if detail_type == "Object Deleted":
        marked = last == "DeleteMarkerCreated"
        detail["deletion-type"] = "Delete Marker Created" if marked else "Permanently Deleted"
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": ACCOUNT_ID,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": bucket.region_name,
        "resources": [bucket.arn],
        "detail": detail,
    }

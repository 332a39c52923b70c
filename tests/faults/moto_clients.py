"""The product's own clients on moto, in this process, with faults in between."""

from __future__ import annotations

from typing import Any

import boto3
from glovebox.adapters import aws
from moto.core.models import botocore_stubber

from tests.faults.aws_faults import AwsFaults, Send

REGION = "us-east-1"


def faulty_client(service: str, faults: AwsFaults, other: Send | None = None) -> Any:
    """A client with the product's own limits and retries. Call it under `mock_aws`.

    moto answers every request that botocore is about to send, whatever else answers it, so its
    stub is taken out and asked only where a fault lets the request through. `other` answers in
    its place.
    """
    client: Any = boto3.client(service, region_name=REGION, config=aws._CONFIG)  # type: ignore[call-overload]
    client.meta.events.unregister("before-send", botocore_stubber)

    def send(request: Any) -> Any:
        return botocore_stubber("before-send", request)

    faults.attach(client.meta.events, other or send)
    return client

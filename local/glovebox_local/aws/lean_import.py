"""moto without the part of its data that no stack of ours can ask for.

Its Step Functions imports its Batch, which imports its EC2, which reads every instance type of
every region: 67 MB of memory for as long as the stack lives, and half a second of its start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from glovebox_local.aws.contract import moto_module

_NOT_NEEDED = "ec2/resources/"


@contextlib.contextmanager
def without_instance_types() -> Iterator[None]:
    """Whatever moto imports within finds no EC2 data. Only the first import of EC2 matters."""
    utilities = moto_module("utilities.utils")
    stock = utilities.load_resource

    def lean(resource: str) -> Any:
        return {} if resource.startswith(_NOT_NEEDED) else stock(resource)

    utilities.load_resource = lean
    try:
        yield
    finally:
        utilities.load_resource = stock

"""Atomic calls, which DynamoDB has and moto in one process has not."""

from __future__ import annotations

import threading
from typing import Any


class OneAtATime:
    """A client whose calls do not overlap: moto's table is not safe from threads, DynamoDB's
    single writes are atomic."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name == "get_paginator":
            return call

        def locked(**arguments: Any) -> Any:
            with self._lock:
                return call(**arguments)

        return locked

"""Nothing here waits for real: the pauses between two tries are left out. And the S3 door, for
every test that comes through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from moto import mock_aws
from moto.moto_api._internal.models import moto_api_backend

from tests.faults.door import Door, emulated_aws


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Iterator[None]:
    """An empty AWS in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    without_pauses = SimpleNamespace(time=time.time, sleep=lambda _seconds: None)
    monkeypatch.setattr("botocore.endpoint.time", without_pauses)
    with mock_aws():
        yield


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the ledger's adapter made."""
    made: list[float] = []
    monkeypatch.setattr("glovebox.adapters.dynamodb_writes.pause", made.append)
    return made


@pytest.fixture(scope="module")
def emulated() -> Iterator[None]:
    with emulated_aws():
        yield


@pytest.fixture
def door(emulated: None, monkeypatch: pytest.MonkeyPatch) -> Door:
    moto_api_backend.reset()
    return Door(monkeypatch)

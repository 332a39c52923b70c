"""The S3 door, for every test that comes through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.moto_api._internal.models import moto_api_backend

from tests.faults.door import Door, emulated_aws


@pytest.fixture(scope="module")
def emulated() -> Iterator[None]:
    with emulated_aws():
        yield


@pytest.fixture
def door(emulated: None, monkeypatch: pytest.MonkeyPatch) -> Door:
    moto_api_backend.reset()
    return Door(monkeypatch)

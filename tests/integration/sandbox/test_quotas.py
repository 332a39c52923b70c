"""What the hosted service refuses, rehearsed: as the vendor's SDK and as any client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import Sandbox
from hopx_ai.errors import APIError, RateLimitError, ResourceLimitError

from tests.integration.sandbox.client import API_KEY, SMALL, Answer, Client, request

CREATE = {"template_name": "base", "internet_access": False}


@contextmanager
def service(*options: str) -> Iterator[Client]:
    with SandboxServerProcess(API_KEY, options=(*SMALL, *options)) as process:
        yield Client(process.url)


def create(client: Client) -> Answer:
    return client.ask("POST", "/v1/sandboxes", CREATE)


def by_sdk(client: Client) -> Any:
    return Sandbox.create(template="base", api_key=API_KEY, base_url=client.url)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDK meant to wait, each time that it did."""
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, time=time.time)
    monkeypatch.setattr("hopx_ai._client.time", clock)
    return waited


def test_creations_beyond_the_rate_are_told_when_to_come_back(waits: list[float]) -> None:
    with service("--creates-per-minute", "2") as client:
        assert [create(client).status for _ in range(2)] == [201, 201]
        answer = create(client)
        assert answer.status == 429
        assert answer.body["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        seconds = answer.body["error"]["details"]["retry_after_seconds"]
        assert answer.headers["retry-after"] == str(seconds)
        assert 1 <= seconds <= 30
        with pytest.raises(RateLimitError) as refused:
            by_sdk(client)
        assert 1 <= refused.value.retry_after <= 30
        assert len(waits) == 3
        # Only creations are counted.
        assert client.ask("GET", "/v1/sandboxes").status == 200


def test_what_is_malformed_counts_against_no_quota() -> None:
    with service("--creates-per-minute", "1", "--credits", "1") as client:
        for body in ({}, {"template_name": "none"}, CREATE | {"timeout_seconds": -1}):
            assert client.ask("POST", "/v1/sandboxes", body).status in (400, 404)
        assert create(client).status == 201


def test_without_credits_nothing_is_created_even_after_a_kill() -> None:
    with service("--credits", "1") as client:
        client.create().kill()
        answer = create(client)
        assert (answer.status, answer.body["error"]["code"]) == (402, "INSUFFICIENT_CREDITS")
        with pytest.raises(APIError) as refused:
            by_sdk(client)
        assert refused.value.status_code == 402


def test_the_plans_limit_counts_the_living() -> None:
    with service("--plan-limit", "1") as client:
        box = client.create()
        with pytest.raises(ResourceLimitError) as refused:
            by_sdk(client)
        assert (refused.value.status_code, refused.value.limit) == (403, 1)
        box.kill()
        assert create(client).status == 201


def test_no_quota_is_exceeded_by_those_who_come_at_once() -> None:
    with service("--credits", "5") as client, ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: create(client).status, range(16)))
        assert sorted(statuses) == [201] * 5 + [402] * 11


def test_errors_are_flat_if_that_was_asked_for() -> None:
    with service("--flat-errors", "--creates-per-minute", "1") as client:
        absent = client.ask("GET", "/v1/sandboxes/none")
        assert set(absent.body) == {"error", "code", "request_id"}
        assert absent.body["error"] == "there is no sandbox none"
        create(client)
        late = create(client)
        assert late.body["retry_after"] == int(late.headers["retry-after"])
        wrong = request(client.url, "GET", "/v1/sandboxes", None, {"X-API-Key": "wrong"})
        assert (wrong.status, wrong.body["code"]) == (401, "UNAUTHORIZED")

"""Powertools' circuit breaker around the provider, over the ledger's own table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base
from aws_lambda_powertools.utilities.circuit_breaker.persistence import base as store
from aws_lambda_powertools.utilities.circuit_breaker.persistence import dynamodb as table
from glovebox.adapters import provider_circuit
from glovebox.adapters.provider_circuit import OPEN_SECONDS, GuardedSandboxes
from glovebox.domain.errors import SandboxError, SandboxRefused, SandboxUnavailable
from glovebox.ports import SandboxRequest
from moto import mock_aws

from tests.contract.test_pace import make_table
from tests.fakes import FakeClock, FolderSandboxes

REQUEST = SandboxRequest("base", network=False, ttl_seconds=60)
FAILURES = 3


class Counting:
    """A client that counts its calls."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in {"get_item", "put_item", "update_item"}:
            return call

        def counted(**request: Any) -> Any:
            self.calls += 1
            return call(**request)

        return counted


class World:
    """One provider, one table, and as many launchers as are asked for."""

    def __init__(self, folder: Path, clock: FakeClock, name: str) -> None:
        self.clock = clock
        self.provider = FolderSandboxes(folder)
        self.client = Counting(boto3.client("dynamodb", region_name="us-east-1"))
        make_table(self.client._client)
        self.changes: list[tuple[str, str]] = []
        self._name = name

    def launcher(self) -> GuardedSandboxes:
        def note(before: str, after: str) -> None:
            self.changes.append((before, after))

        client: Any = self.client
        return GuardedSandboxes(self.provider, client, "runs", FAILURES, note, self._name)

    def fail(self, launcher: GuardedSandboxes, error: SandboxError, times: int = 1) -> None:
        for _ in range(times):
            self.provider.failures = [error]
            with pytest.raises(type(error)):
                launcher.create(REQUEST)

    def open(self, launcher: GuardedSandboxes) -> None:
        self.fail(launcher, SandboxUnavailable("503"), FAILURES)
        self.provider.requests.clear()

    def forget(self) -> None:
        """As in another process: what Powertools counts there."""
        for counts in (base._LOCAL_FAILURES, base._LOCAL_SUCCESSES, base._LAST_OBSERVED_STATE):
            counts.pop(self._name, None)


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    clock = FakeClock()
    now = SimpleNamespace(now=lambda: datetime.fromtimestamp(clock.time, UTC))
    for module in (base, store, table):
        monkeypatch.setattr(module, "dt", SimpleNamespace(datetime=now))
    monkeypatch.setattr(provider_circuit, "time", SimpleNamespace(time=clock.now))
    with mock_aws():
        yield World(tmp_path, clock, request.node.name)


def test_failures_in_a_row_open_the_circuit_and_the_provider_is_left_alone(world: World) -> None:
    launcher = world.launcher()
    world.open(launcher)
    with pytest.raises(SandboxUnavailable) as told:
        launcher.create(REQUEST)
    assert not told.value.asked
    assert told.value.retry_after_seconds == pytest.approx(OPEN_SECONDS, abs=1)
    assert world.provider.requests == []
    assert world.changes == [("CLOSED", "OPEN")]


def test_what_the_provider_said_is_what_is_raised(world: World) -> None:
    world.provider.failures = [SandboxUnavailable("503 of the provider")]
    with pytest.raises(SandboxUnavailable, match="503 of the provider"):
        world.launcher().create(REQUEST)


def test_a_success_between_them_starts_the_count_anew(world: World) -> None:
    launcher = world.launcher()
    world.fail(launcher, SandboxUnavailable("503"), FAILURES - 1)
    launcher.create(REQUEST)
    world.fail(launcher, SandboxUnavailable("503"), FAILURES - 1)
    launcher.create(REQUEST)
    assert world.changes == []


@pytest.mark.parametrize(
    "error",
    [SandboxRefused("no such image"), SandboxUnavailable("429", retry_after_seconds=1)],
    ids=["wrong image", "429"],
)
def test_a_refusal_and_a_wish_to_wait_are_no_failures(world: World, error: SandboxError) -> None:
    launcher = world.launcher()
    world.fail(launcher, error, 3 * FAILURES)
    launcher.create(REQUEST)
    assert world.changes == []


def test_other_launchers_hear_of_it(world: World) -> None:
    world.open(world.launcher())
    world.forget()
    with pytest.raises(SandboxUnavailable) as told:
        world.launcher().create(REQUEST)
    assert not told.value.asked


def test_then_one_asks_alone_and_closes_the_circuit_for_all(world: World) -> None:
    launcher, other = world.launcher(), world.launcher()
    world.open(launcher)
    world.clock.advance(OPEN_SECONDS + 1)
    launcher.create(REQUEST)
    other.create(REQUEST)
    assert world.changes == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")]


def test_while_one_probes_others_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = world.launcher()
    world.open(launcher)
    world.clock.advance(OPEN_SECONDS + 1)
    asked: list[SandboxUnavailable] = []
    create = world.provider.create

    def while_probing(request: SandboxRequest) -> Any:
        def other() -> None:
            try:
                world.launcher().create(REQUEST)
            except SandboxUnavailable as error:
                asked.append(error)

        if not asked:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return create(request)

    monkeypatch.setattr(world.provider, "create", while_probing)
    launcher.create(REQUEST)
    [error] = asked
    assert not error.asked
    assert error.retry_after_seconds is not None


def test_a_probe_that_fails_opens_it_again(world: World) -> None:
    launcher = world.launcher()
    world.open(launcher)
    world.clock.advance(OPEN_SECONDS + 1)
    world.fail(launcher, SandboxUnavailable("503"))
    with pytest.raises(SandboxUnavailable) as told:
        launcher.create(REQUEST)
    assert not told.value.asked
    assert world.changes[-1] == ("HALF_OPEN", "OPEN")


def test_a_prober_that_vanished_is_followed_by_another(world: World) -> None:
    launcher = world.launcher()
    world.open(launcher)
    world.clock.advance(OPEN_SECONDS + 1)
    # Refused for its image: the probe says nothing, and its thread never comes back.
    thread = threading.Thread(target=world.fail, args=(launcher, SandboxRefused("no image")))
    thread.start()
    thread.join()
    world.clock.advance(OPEN_SECONDS + 1)
    launcher.create(REQUEST)
    assert world.changes[-1] == ("HALF_OPEN", "CLOSED")


def test_killing_and_attaching_are_never_held_back(world: World) -> None:
    launcher = world.launcher()
    sandbox_id = launcher.create(REQUEST).sandbox_id
    world.open(launcher)
    assert launcher.attach(sandbox_id).sandbox_id == sandbox_id
    launcher.kill(sandbox_id)
    assert world.provider.live == {}


def test_while_all_is_well_the_table_is_read_once_in_twenty_seconds(world: World) -> None:
    launcher = world.launcher()
    for _ in range(80):
        launcher.create(REQUEST)
        world.clock.advance(0.5)
    assert world.client.calls == 2


def test_a_table_that_does_not_answer_opens_nothing(world: World) -> None:
    world.client._client.delete_table(TableName="runs")
    world.launcher().create(REQUEST)


def test_the_circuit_is_one_item_beside_the_runs_that_goes_by_itself(world: World) -> None:
    world.open(world.launcher())
    [item] = world.client._client.scan(TableName="runs")["Items"]
    assert item["pk"] == {"S": "circuit"}
    assert float(item["expires_at"]["N"]) > world.clock.time
    assert not {"state_pk", "changed_at", "created_at"} & set(item), "in no index"

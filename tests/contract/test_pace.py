"""The pace: what the fake promises, the table keeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from glovebox.adapters.dynamodb_pace import DynamoPace
from glovebox.domain.errors import StoreConflict
from glovebox.domain.pacing import (
    LEASE_SECONDS,
    LONGEST_WAIT_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    WAITING_SECONDS,
    Demand,
    PaceLimits,
    Permits,
)
from glovebox.ports import Pace, SandboxRequest
from glovebox.usecases.pacing import PacedSandboxes
from moto import mock_aws

from tests.fakes import CrowdClock, FakeClock, FolderSandboxes, MemoryPace

LIMITS = PaceLimits(per_minute=60, sandboxes=12)
Paces = Callable[[], Pace]
"""Makes one launcher's view of the pace that all share."""


def make_table(client: Any) -> None:
    client.create_table(
        TableName="runs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )


class Counting:
    """A client that counts its calls, and may be made to lose every race.

    One call at a time: DynamoDB's conditional writes are atomic, moto's in one process are not.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self.calls = 0
        self.before_write: Callable[[], None] = lambda: None

    def get_item(self, **request: Any) -> Any:
        with self._lock:
            self.calls += 1
            return self._client.get_item(**request)

    def put_item(self, **request: Any) -> Any:
        self.before_write()
        with self._lock:
            self.calls += 1
            return self._client.put_item(**request)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        yield boto3.client("dynamodb", region_name="us-east-1")


@pytest.fixture
def client(dynamodb: Any) -> Iterator[Any]:
    make_table(dynamodb)
    yield dynamodb
    dynamodb.delete_table(TableName="runs")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "dynamodb"])
def paces(request: pytest.FixtureRequest, clock: FakeClock) -> Paces:
    if request.param == "memory":
        one = MemoryPace(LIMITS, clock)
        return lambda: one
    client: Any = Counting(request.getfixturevalue("client"))
    return lambda: DynamoPace(client, "runs", LIMITS, clock)


def take(pace: Pace, permits: int = 1, owner: str = "a", **more: Any) -> Permits:
    return pace.take(Demand(owner=owner, **{"wanted": 1, "live": 0, **more}, permits=permits))


def drained(pace: Pace) -> None:
    """Takes what was saved, so that the next permit is one interval ahead."""
    take(pace, 5)


def test_saved_permits_are_few_and_spread_and_the_next_ones_an_interval_apart(paces: Paces) -> None:
    delays = take(paces(), 9).delays
    assert delays == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 2, 3], abs=1e-3)


def test_nobody_gets_a_permit_that_another_has(paces: Paces) -> None:
    drained(paces())
    first, second = take(paces(), 3), take(paces(), 3, owner="b")
    assert first.delays == pytest.approx([0, 1, 2], abs=1e-3)
    assert second.delays == pytest.approx([3, 4, 5], abs=1e-3)


def test_permits_that_are_too_far_ahead_are_not_taken(paces: Paces) -> None:
    drained(paces())
    assert len(take(paces(), 10, within_seconds=3).delays) == 4
    refused = take(paces(), 1, owner="b", within_seconds=3)
    assert refused.delays == ()
    assert refused.wait_seconds == pytest.approx(4, abs=1e-3)
    assert take(paces(), 1, owner="c").delays == pytest.approx([4], abs=1e-3)


def test_permits_of_many_launchers_at_once_are_all_different(
    paces: Paces, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever loses a race really waits for a moment, and no time passes on the clock.
    monkeypatch.setattr(clock, "sleep", lambda seconds: time.sleep(seconds / 10))
    drained(paces())
    given: list[float] = []
    lock = threading.Lock()

    def launcher(name: str) -> None:
        pace = paces()
        for _ in range(3):
            delays = take(pace, 2, owner=name).delays
            with lock:
                given.extend(delays)

    threads = [threading.Thread(target=launcher, args=(str(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == pytest.approx(range(36), abs=1e-3)


def test_unused_permits_are_free_again(paces: Paces) -> None:
    pace = paces()
    drained(pace)
    given = take(pace, 4)
    pace.leave("a", live=0, unused=3, given=given)
    assert take(paces(), owner="b").delays == pytest.approx([1], abs=1e-3)


def test_permits_that_others_queue_behind_stay_taken(paces: Paces) -> None:
    pace = paces()
    drained(pace)
    given = take(pace, 4)
    take(paces(), 2, owner="b")
    pace.leave("a", live=0, unused=3, given=given)
    assert take(paces(), owner="c").delays == pytest.approx([6], abs=1e-3)


def test_a_429_halves_the_rate_for_everybody(paces: Paces, clock: FakeClock) -> None:
    drained(paces())
    paces().slow_down(asked_at=clock.now(), retry_after_seconds=0)
    assert take(paces(), 3, owner="b").delays == pytest.approx([0, 2, 4], abs=1e-3)


def test_429s_of_creations_under_way_together_halve_it_once(paces: Paces, clock: FakeClock) -> None:
    asked_at = clock.now()
    clock.advance(1)
    for _ in range(10):
        paces().slow_down(asked_at=asked_at, retry_after_seconds=0)
    assert take(paces()).interval == pytest.approx(2)
    clock.advance(1)
    paces().slow_down(asked_at=clock.now(), retry_after_seconds=0)
    assert take(paces()).interval == pytest.approx(4)


def test_the_rate_is_never_slowed_to_nothing(paces: Paces, clock: FakeClock) -> None:
    for _ in range(10):
        clock.advance(1)
        paces().slow_down(asked_at=clock.now(), retry_after_seconds=0)
    assert take(paces()).interval == pytest.approx(16)


def test_nobody_asks_before_the_provider_wants_to_be_asked(paces: Paces, clock: FakeClock) -> None:
    paces().slow_down(asked_at=clock.now(), retry_after_seconds=30)
    assert take(paces(), owner="b").delays == pytest.approx([30], abs=1e-3)


def test_a_wish_to_wait_for_an_hour_is_followed_for_two_minutes(
    paces: Paces, clock: FakeClock
) -> None:
    paces().slow_down(asked_at=clock.now(), retry_after_seconds=3600)
    assert take(paces()).wait_seconds == pytest.approx(MAX_RETRY_AFTER_SECONDS, abs=1)


def test_sandboxes_that_are_created_restore_the_rate_slowly(paces: Paces, clock: FakeClock) -> None:
    paces().slow_down(asked_at=clock.now(), retry_after_seconds=0)
    assert take(paces(), created=25).interval == pytest.approx(60 / 45)
    assert take(paces(), created=100).interval == pytest.approx(1)


def test_places_are_given_while_there_are_any(paces: Paces) -> None:
    assert take(paces(), owner="a", wanted=10).width == 10
    assert take(paces(), owner="b", wanted=10).width == 2
    nothing = take(paces(), owner="c", wanted=10)
    assert (nothing.width, nothing.delays) == (0, ())


def test_places_come_back_from_whoever_leaves(paces: Paces) -> None:
    take(paces(), owner="a", wanted=12)
    paces().leave("a", live=0, unused=0, given=None)
    assert take(paces(), owner="b", wanted=10).width == 10


def test_sandboxes_that_outlive_their_launcher_keep_their_places(paces: Paces) -> None:
    take(paces(), owner="a", wanted=12)
    paces().leave("a", live=3, unused=0, given=None)
    assert take(paces(), owner="b", wanted=12).width == 9


def test_the_places_of_a_crashed_launcher_come_back_by_themselves(
    paces: Paces, clock: FakeClock
) -> None:
    take(paces(), owner="a", wanted=12)
    clock.advance(LEASE_SECONDS - 1)
    assert take(paces(), owner="b", wanted=10).width == 0
    clock.advance(2)
    assert take(paces(), owner="b", wanted=10).width == 10


def test_whoever_holds_many_places_shares_them_with_one_that_waits(paces: Paces) -> None:
    take(paces(), owner="a", wanted=12)
    assert take(paces(), owner="b", wanted=12).width == 0
    assert take(paces(), owner="a", wanted=12, live=8).width == 8
    assert take(paces(), owner="b", wanted=12).width == 4


def test_one_that_waits_no_more_takes_nothing_from_others(paces: Paces, clock: FakeClock) -> None:
    take(paces(), owner="a", wanted=12)
    take(paces(), owner="b", wanted=12)
    clock.advance(WAITING_SECONDS + 1)
    assert take(paces(), owner="a", wanted=12).width == 12


def test_a_clock_an_hour_ahead_makes_nobody_wait_an_hour(paces: Paces, clock: FakeClock) -> None:
    clock.time += 3600
    ahead = paces()
    take(ahead, 10, owner="a", wanted=12)
    ahead.slow_down(asked_at=clock.now(), retry_after_seconds=100)
    clock.time -= 3600
    assert take(paces(), owner="b").wait_seconds <= LONGEST_WAIT_SECONDS
    clock.advance(LEASE_SECONDS + 1)
    assert take(paces(), owner="b", wanted=12).width == 12


def test_a_clock_an_hour_behind_stops_nobody(paces: Paces, clock: FakeClock) -> None:
    take(paces(), 10, owner="a", wanted=2)
    clock.time -= 3600
    assert len(take(paces(), 2, owner="b", wanted=2).delays) == 2
    clock.time += 3600
    assert len(take(paces(), 2, owner="c", wanted=2).delays) == 2


@pytest.fixture
def counting(client: Any) -> Counting:
    return Counting(client)


def test_alone_a_launcher_makes_one_call_a_taking(counting: Counting, clock: FakeClock) -> None:
    pace = DynamoPace(counting, "runs", LIMITS, clock)  # type: ignore[arg-type]
    take(pace)
    assert counting.calls == 2, "the first one reads"
    for _ in range(10):
        take(pace)
    assert counting.calls == 12


def test_eighty_sandboxes_of_two_launchers_cost_at_most_three_calls_for_ten(
    counting: Counting, tmp_path: Path
) -> None:
    clock = CrowdClock()
    provider = FolderSandboxes(tmp_path)
    request = SandboxRequest("base", network=False, ttl_seconds=60)

    def launcher(owner: str) -> PacedSandboxes:
        pace = DynamoPace(counting, "runs", PaceLimits(60, 100), clock)  # type: ignore[arg-type]
        return PacedSandboxes(provider, pace, clock, owner, wanted=10, expected=40)

    def lane(paced: PacedSandboxes) -> None:
        for _ in range(4):
            paced.kill(paced.create(request).sandbox_id)

    launchers = [launcher("a"), launcher("b")]
    with ThreadPoolExecutor(20) as lanes:
        list(lanes.map(lane, [paced for paced in launchers for _ in range(10)]))
    assert len(provider.requests) == 80
    assert counting.calls <= 0.3 * 80
    assert clock.monotonic() > 70, "and they came no faster for it"


def test_what_another_wrote_comes_with_the_refusal(counting: Counting, clock: FakeClock) -> None:
    one = DynamoPace(counting, "runs", LIMITS, clock)  # type: ignore[arg-type]
    two = DynamoPace(counting, "runs", LIMITS, clock)  # type: ignore[arg-type]
    take(one), take(two)
    counting.calls = 0
    take(one)
    assert counting.calls == 2


def test_one_that_loses_every_race_gives_up(counting: Counting, clock: FakeClock) -> None:
    pace = DynamoPace(counting, "runs", LIMITS, clock)  # type: ignore[arg-type]
    other = DynamoPace(counting._client, "runs", LIMITS, clock)
    counting.before_write = lambda: other.leave("b", live=0, unused=0, given=None)
    with pytest.raises(StoreConflict):
        take(pace)


def test_a_pace_that_was_forgotten_starts_anew(counting: Counting, clock: FakeClock) -> None:
    pace = DynamoPace(counting, "runs", LIMITS, clock)  # type: ignore[arg-type]
    take(pace, 10)
    counting._client.delete_item(TableName="runs", Key={"pk": {"S": "pace"}, "sk": {"S": "shared"}})
    assert take(pace).delays == (0.0,)

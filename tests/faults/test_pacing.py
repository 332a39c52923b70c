"""A provider that says 429, a stack at its limits: creations wait, bounded, and nothing fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from glovebox.domain.errors import SandboxError, SandboxRefused, SandboxUnavailable
from glovebox.domain.pacing import LONGEST_WAIT_SECONDS, PaceLimits
from glovebox.ports import SandboxRequest
from glovebox.usecases.pacing import PacedSandboxes

from tests.fakes import CrowdClock, FakeClock, FolderSandboxes, MemoryPace

REQUEST = SandboxRequest("base", network=False, ttl_seconds=60)


class World:
    """A provider, a clock that moves only when somebody waits, and a pace."""

    def __init__(self, folder: Path, per_minute: int = 60, sandboxes: int = 100) -> None:
        self.clock = FakeClock()
        self.provider = FolderSandboxes(folder)
        self.pace = MemoryPace(PaceLimits(per_minute, sandboxes), self.clock)
        self.created_at: list[float] = []
        self.stop = False

    def launcher(
        self, owner: str = "a", *, wanted: int = 10, expected: int = 0, patience: float = 600
    ) -> PacedSandboxes:
        return PacedSandboxes(
            self.provider,
            self.pace,
            self.clock,
            owner,
            wanted,
            expected,
            lambda: self.stop,
            lambda: patience,
        )

    def create(self, launcher: PacedSandboxes) -> str:
        sandbox_id = launcher.create(REQUEST).sandbox_id
        self.created_at.append(self.clock.monotonic())
        return sandbox_id

    def run_one(self, launcher: PacedSandboxes) -> None:
        launcher.kill(self.create(launcher))

    def places(self) -> int:
        return sum(lease.width for lease in self.pace.state.leases.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def unavailable(seconds: float | None = None) -> SandboxUnavailable:
    return SandboxUnavailable("429", retry_after_seconds=seconds)


def test_creations_come_no_faster_than_the_stack_allows(world: World) -> None:
    launcher = world.launcher(wanted=1, expected=30)
    for _ in range(30):
        world.run_one(launcher)
    assert world.created_at[-1] > 23.9, "30 a second apart, but for the five that were saved"
    for first, sixth in zip(world.created_at, world.created_at[7:], strict=False):
        assert sixth - first > 0.9


def test_eighty_sandboxes_cost_about_a_write_for_ten(world: World) -> None:
    launcher = world.launcher(wanted=10, expected=80)
    with launcher, ThreadPoolExecutor(10) as lanes:
        list(lanes.map(lambda _: world.run_one(launcher), range(80)))
    assert len(world.created_at) == 80
    assert world.pace.calls <= 0.3 * 80


def test_where_the_rate_is_as_good_as_unlimited_a_batch_costs_two_writes(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=1000)
    launcher = world.launcher(wanted=3, expected=50)
    with launcher, ThreadPoolExecutor(3) as lanes:
        list(lanes.map(lambda _: world.run_one(launcher), range(50)))
    assert world.pace.calls == 2
    assert world.clock.monotonic() < 1


def test_after_a_429_everybody_waits_as_the_provider_asks(world: World) -> None:
    first, second = world.launcher("a"), world.launcher("b")
    world.provider.failures = [unavailable(30)]
    with pytest.raises(SandboxUnavailable):
        first.create(REQUEST)
    world.create(first)
    world.create(second)
    assert world.created_at[0] >= 30
    assert world.created_at[1] - world.created_at[0] >= 2, "and then half as fast"


def test_creations_are_counted_with_the_wait_for_their_turn(world: World) -> None:
    launcher = world.launcher(expected=3)
    world.provider.failures = [unavailable(30), unavailable()]
    for _ in range(2):
        with pytest.raises(SandboxUnavailable):
            launcher.create(REQUEST)
    world.create(launcher)
    counted = launcher.tally.take()
    assert (counted.throttled, counted.faults, len(counted.seconds)) == (1, 1, 1)
    assert sum(counted.seconds) < world.clock.monotonic()
    world.create(launcher)
    [waited] = launcher.tally.take().seconds
    assert waited >= 1, "half as fast as one a second, after the 429"


def test_permits_of_the_pace_before_a_429_are_void(world: World) -> None:
    launcher = world.launcher(expected=10)
    world.provider.failures = [unavailable(30)]
    with pytest.raises(SandboxUnavailable):
        launcher.create(REQUEST)
    world.create(launcher)
    assert world.created_at[0] >= 30


@pytest.mark.parametrize(
    "error", [unavailable(), SandboxRefused("no image"), SandboxUnavailable("", asked=False)]
)
def test_only_a_provider_that_asks_to_wait_slows_everybody(
    world: World, error: SandboxError
) -> None:
    world.provider.failures = [error]
    with pytest.raises(SandboxError):
        world.launcher().create(REQUEST)
    assert world.pace.state.factor == 1


def test_a_permit_too_far_ahead_is_told_and_not_waited_for(world: World) -> None:
    world.provider.failures = [unavailable(100)]
    launcher = world.launcher(patience=20)
    with pytest.raises(SandboxUnavailable):
        launcher.create(REQUEST)
    with pytest.raises(SandboxUnavailable) as told:
        launcher.create(REQUEST)
    assert told.value.retry_after_seconds == pytest.approx(100)
    assert not told.value.asked
    assert world.clock.monotonic() == 0
    assert len(world.provider.requests) == 1, "the provider was left alone"


def test_no_permit_is_waited_for_longer_than_two_minutes_however_patient_one_is(
    world: World,
) -> None:
    world.pace.state = world.pace.state.model_copy(
        update={"next_at": world.clock.now() + LONGEST_WAIT_SECONDS + 10}
    )
    with pytest.raises(SandboxUnavailable) as told:
        world.launcher(patience=800).create(REQUEST)
    assert told.value.retry_after_seconds == pytest.approx(LONGEST_WAIT_SECONDS + 10)


def test_a_permit_that_another_lane_took_along_may_be_too_far_ahead_for_this_one(
    world: World,
) -> None:
    launcher = world.launcher(expected=10)
    for _ in range(8):
        world.run_one(launcher)
    launcher.patience = lambda: 0.5
    before = world.clock.monotonic()
    with pytest.raises(SandboxUnavailable) as told:
        launcher.create(REQUEST)
    assert told.value.retry_after_seconds == pytest.approx(1, abs=1e-3)
    assert world.clock.monotonic() == before
    assert world.pace.calls == 1


def test_whoever_has_no_place_at_all_gives_up_after_two_minutes_however_patient(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=1)
    world.create(world.launcher("a"))
    with pytest.raises(SandboxUnavailable) as told:
        world.launcher("b", patience=800).create(REQUEST)
    assert not told.value.asked
    assert world.clock.monotonic() == pytest.approx(LONGEST_WAIT_SECONDS, abs=1)


def test_a_run_that_is_stopped_creates_nothing_any_more(world: World) -> None:
    launcher = world.launcher()
    world.stop = True
    with pytest.raises(SandboxUnavailable) as told:
        launcher.create(REQUEST)
    assert not told.value.asked
    assert world.provider.requests == []


def test_a_creation_that_waits_ends_when_its_run_is_stopped(world: World) -> None:
    launcher = world.launcher()
    world.provider.failures = [unavailable(60)]
    with pytest.raises(SandboxUnavailable):
        launcher.create(REQUEST)
    sleep = world.clock.sleep

    def stop_after_ten_seconds(seconds: float) -> None:
        sleep(seconds)
        world.stop = world.clock.monotonic() >= 10

    world.clock.sleep = stop_after_ten_seconds  # type: ignore[method-assign]
    with pytest.raises(SandboxUnavailable):
        launcher.create(REQUEST)
    assert world.clock.monotonic() == pytest.approx(10, abs=1)
    assert len(world.provider.requests) == 1


def test_permits_that_are_not_used_are_free_for_others(world: World) -> None:
    with world.launcher("a", expected=10) as launcher:
        world.run_one(launcher)
    world.clock.advance(5)
    second = world.launcher("b")
    for _ in range(5):
        world.run_one(second)
    assert world.created_at[-1] - 5 <= 1, "as if nobody had been there"


def test_a_permit_that_grew_old_is_not_made_up_for(world: World) -> None:
    launcher = world.launcher(expected=30)
    world.run_one(launcher)
    world.clock.advance(60)
    for _ in range(10):
        world.run_one(launcher)
    assert world.created_at[-1] - 60 > 3.9, "ten at once would be a burst"


def test_a_launcher_with_few_places_works_with_fewer_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=12)
    first, second = world.launcher("a", expected=10), world.launcher("b", expected=10)
    for _ in range(10):
        world.create(first)
    world.create(second), world.create(second)
    assert len(world.provider.live) == 12
    with pytest.raises(SandboxUnavailable) as told:
        world.create(world.launcher("c", patience=20))
    assert told.value.retry_after_seconds
    assert len(world.provider.live) == 12


def test_one_of_ones_own_places_is_waited_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=1)
    launcher = world.launcher(wanted=2, expected=2, patience=600)
    held = world.create(launcher)
    sleep = world.clock.sleep

    def end_it_after_five_minutes(seconds: float) -> None:
        sleep(seconds)
        if world.clock.monotonic() > 300 and held in world.provider.live:
            launcher.kill(held)

    world.clock.sleep = end_it_after_five_minutes  # type: ignore[method-assign]
    world.create(launcher)
    assert world.created_at[-1] > 300


def test_one_without_a_place_gets_it_when_another_ends(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=2)
    first, second = world.launcher("a", wanted=2, expected=2), world.launcher("b", wanted=2)
    held = [world.create(first) for _ in range(2)]
    sleep = world.clock.sleep

    def end_one(seconds: float) -> None:
        sleep(seconds)
        while held and world.clock.monotonic() > 20:
            first.kill(held.pop())

    world.clock.sleep = end_one  # type: ignore[method-assign]
    world.create(second)
    assert 20 < world.created_at[-1] < 30


def test_never_more_are_alive_than_the_stack_allows(tmp_path: Path) -> None:
    world = World(tmp_path, per_minute=100_000, sandboxes=5)
    world.clock = world.pace._clock = CrowdClock()
    most = 0
    lock = threading.Lock()

    def lane(launcher: PacedSandboxes) -> None:
        nonlocal most
        for _ in range(5):
            held = world.create(launcher)
            with lock:
                most = max(most, len(world.provider.live))
            launcher.kill(held)

    launchers = [world.launcher(name, wanted=4, expected=20) for name in "abc"]
    with ThreadPoolExecutor(12) as lanes:
        list(lanes.map(lane, [launcher for launcher in launchers for _ in range(4)]))
    assert len(world.created_at) == 60
    assert most <= 5
    assert world.places() == 0


def test_when_all_is_over_every_place_is_free_also_after_failures(world: World) -> None:
    launcher = world.launcher(expected=3)
    world.provider.failures = [SandboxRefused("no image"), unavailable()]
    for _ in range(2):
        with pytest.raises(SandboxError):
            launcher.create(REQUEST)
    world.run_one(launcher)
    assert world.places() == 0


def test_a_kill_that_fails_frees_the_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = world.launcher(expected=1)
    held = world.create(launcher)

    def fail(sandbox_id: str) -> None:
        raise SandboxUnavailable("500")

    monkeypatch.setattr(world.provider, "kill", fail)
    with pytest.raises(SandboxUnavailable):
        launcher.kill(held)
    assert world.places() == 0


def test_a_sandbox_that_is_handed_on_keeps_its_place_for_the_next_turn(world: World) -> None:
    with world.launcher("batch", expected=5) as launcher:
        held = world.create(launcher)
    assert world.places() == 1
    with world.launcher("batch") as following:
        following.attach(held)
        following.kill(held)
    assert world.places() == 0


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before

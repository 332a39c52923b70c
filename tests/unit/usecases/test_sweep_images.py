"""Which images the sweeper removes: ours, a day after the last run that used them."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.errors import SandboxUnavailable
from glovebox.domain.outcome import Conclusion, RunState
from glovebox.domain.ownership import ImageUse
from glovebox.domain.run import Run
from glovebox.usecases.sweep_images import KEEP_SECONDS, ImagesSwept, SweepImages

from tests.fakes import FakeClock, FolderSandboxes, MemoryRuns
from tests.unit.usecases.driver import Spine


class Net:
    def __init__(self, folder: Path) -> None:
        self.images, self.runs, self.clock = FolderSandboxes(folder), MemoryRuns(), FakeClock()
        self.sweep = SweepImages(self.images, self.runs, self.clock)

    def use(self, name: str, run_id: str, *, ago: float = KEEP_SECONDS + 1) -> None:
        self.images.images[name] = b""
        at = self.clock.now() - ago
        run = Run(run_id=run_id, name="n", door="api", created_at=at, parallelism_asked=1)
        self.runs.create_run(run)
        self.runs.note_image(ImageUse(name, run_id, at))

    def finish(self, *run_ids: str) -> None:
        for run_id in run_ids:
            self.runs.update_run(run_id, state=RunState.FINISHED, conclusion=Conclusion.PASSED)

    def swept(self, seconds_left: float = 300) -> ImagesSwept:
        return self.sweep(lambda: seconds_left)


@pytest.fixture
def net(tmp_path: Path) -> Net:
    return Net(tmp_path)


def test_an_image_is_removed_a_day_after_its_last_use(net: Net) -> None:
    net.use("i", "r1")
    net.use("i", "r2", ago=KEEP_SECONDS)
    net.finish("r1", "r2")
    net.images.images["somebody else's"] = b""
    assert net.swept().removed == []
    net.clock.advance(1)
    assert net.swept().removed == ["i"]
    assert set(net.images.images) == {"somebody else's"}
    assert net.swept() == ImagesSwept()


def test_an_image_stays_while_a_run_that_uses_it_is_open(net: Net) -> None:
    net.use("i", "open")
    net.use("i", "over")
    net.finish("over")
    assert net.swept().removed == []
    assert [use.run_id for use in net.runs.uses_of_image("i")] == ["open"]
    net.finish("open")
    assert net.swept().removed == ["i"]


def test_a_removal_that_fails_is_repeated_and_keeps_no_other_waiting(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        net.use(name, f"r-{name}")
        net.finish(f"r-{name}")
    remove = net.images.remove

    def stubborn(name: str) -> None:
        if name == "a":
            message = "not today"
            raise SandboxUnavailable(message)
        remove(name)

    with monkeypatch.context() as patched:
        patched.setattr(net.images, "remove", stubborn)
        swept = net.swept()
    assert (swept.removed, swept.failed) == (["b"], {"a": "not today"})
    assert net.swept().removed == ["a"]


def test_what_a_sweep_has_no_time_for_is_the_next_ones(net: Net) -> None:
    for name in ("a", "b"):
        net.use(name, f"r-{name}")
        net.finish(f"r-{name}")
    seconds = iter([300.0, 10.0])
    swept = net.sweep(lambda: next(seconds))
    assert (swept.removed, swept.complete) == (["a"], False)
    assert net.swept().removed == ["b"]


def test_an_image_is_in_the_ledger_before_it_is_made(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    known: list[list[str]] = []
    bake = spine.sandboxes.bake

    def watched(name: str, base: str, bundle: bytes) -> None:
        known.append([use.run_id for use in spine.runs.uses_of_image(name)])
        bake(name, base, bundle)

    spine.sandboxes.bake = watched  # type: ignore[method-assign]
    run_id = spine.start(
        {
            "source": {"inline": {"files": {"a.txt": "a"}}},
            "image": {"bake": "always"},
            "suites": [{"name": "unit", "framework": "command", "command": ["true"]}],
        }
    )
    spine.prepare(run_id)
    spine.plan(run_id)
    assert known == [[run_id]]

"""When a run's source becomes an image, and what happens where the image is not to be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glovebox.domain import keys
from glovebox.domain.errors import NotFound, SandboxUnavailable
from glovebox.domain.outcome import Conclusion
from glovebox.domain.report import Report
from glovebox.usecases.plan import BAKE_FROM_SANDBOXES
from glovebox.usecases.process import ROOT

from tests.unit.usecases.driver import Spine

MANY = "".join(f"def test_{n}(): pass\n" for n in range(BAKE_FROM_SANDBOXES))


def run(spine: Spine, *, code: str = MANY, **image: Any) -> Report:
    """The report of these tests and a file that is heavy to carry."""
    return spine.run({"test_a.py": code, "big.txt": "x" * 100_000}, image=image)


def images_of_tests(spine: Spine) -> set[str]:
    """What the tests' sandboxes were made of, set-up and discovery aside."""
    return {request.image for request in spine.sandboxes.requests[1:]}


@pytest.fixture
def quick(tmp_path: Path) -> Spine:
    return Spine(tmp_path, quick_images=True)


def test_where_images_are_quick_a_run_of_many_sandboxes_bakes_one_and_removes_it(
    quick: Spine,
) -> None:
    removed: list[str] = []
    remove = quick.sandboxes.remove

    def noted(name: str) -> None:
        removed.append(name)
        remove(name)

    quick.sandboxes.remove = noted  # type: ignore[method-assign]
    assert run(quick).conclusion is Conclusion.PASSED
    [image] = images_of_tests(quick)
    assert image.startswith("glovebox-")
    assert removed == [image]
    assert quick.sandboxes.images == {}


def test_a_few_sandboxes_are_not_worth_an_image(quick: Spine) -> None:
    assert run(quick, code="def test_x(): pass\n").conclusion is Conclusion.PASSED
    assert images_of_tests(quick) == {"code-interpreter"}


def test_a_manifest_may_do_without(quick: Spine) -> None:
    assert run(quick, bake="never").conclusion is Conclusion.PASSED
    assert images_of_tests(quick) == {"code-interpreter"}


def test_where_images_are_slow_only_a_manifest_that_asks_gets_one_and_it_is_kept(
    tmp_path: Path,
) -> None:
    slow = Spine(tmp_path)
    assert run(slow).conclusion is Conclusion.PASSED
    assert images_of_tests(slow) == {"code-interpreter"}
    slow.sandboxes.requests.clear()
    content = {"test_a.py": "def test_x(): pass\n"}
    again = slow.start(
        {
            "source": {"inline": {"files": content}},
            "image": {"bake": "always"},
            "suites": [{"name": "unit", "framework": "pytest"}],
        },
        "r2",
    )
    assert slow.drive(again).conclusion is Conclusion.PASSED
    assert images_of_tests(slow) == set(slow.sandboxes.images) != set()


def test_a_sandbox_of_the_image_is_sent_its_own_few_files_only(quick: Spine) -> None:
    sizes: list[int] = []
    create = quick.sandboxes.create

    def watched(request: Any) -> Any:
        sandbox = create(request)
        upload = sandbox.upload

        def measured(path: str, content: bytes) -> None:
            if path == f"{ROOT}-attempt.tar":
                sizes.append(len(content))
            upload(path, content)

        sandbox.upload = measured  # type: ignore[method-assign]
        return sandbox

    quick.sandboxes.create = watched  # type: ignore[method-assign]
    run(quick)
    assert len(sizes) == BAKE_FROM_SANDBOXES
    assert max(sizes) < 50_000


def test_without_its_image_a_sandbox_gets_the_bundle(quick: Spine) -> None:
    bake = quick.sandboxes.bake

    def baked_and_lost(name: str, base: str, bundle: bytes) -> None:
        bake(name, base, bundle)
        quick.sandboxes.images.clear()

    quick.plan.images.bake = baked_and_lost  # type: ignore[method-assign]
    report = run(quick)
    assert report.conclusion is Conclusion.PASSED
    assert all(len(test.attempts) == 1 for test in report.tests)


def test_a_provider_that_cannot_bake_costs_the_saving_only(quick: Spine) -> None:
    def unavailable(name: str, base: str, bundle: bytes) -> None:
        message = "no builds today"
        raise SandboxUnavailable(message)

    quick.plan.images.bake = unavailable  # type: ignore[method-assign]
    assert run(quick).conclusion is Conclusion.PASSED
    assert images_of_tests(quick) == {"code-interpreter"}


def test_a_bundle_that_cannot_be_had_leaves_no_sandbox_behind(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    files = {"test_a.py": "def test_x(): pass\n"}
    suites = [{"name": "unit", "framework": "pytest"}]
    run_id = spine.start({"source": {"inline": {"files": files}}, "suites": suites})
    spine.prepare(run_id)
    [message] = spine.messages(spine.plan(run_id), run_id)
    del spine.artifacts.objects[keys.bundle_key(run_id)]
    with pytest.raises(NotFound):
        spine.launcher()(message, lambda: 900.0)
    assert spine.sandboxes.live == {}

"""The tests that chaos runs. How each really ends is known by its name, and by nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from glovebox.domain.outcome import Outcome

TEST_SECONDS = 20
"""Time limit of a test; also decides how long an orphan may live."""
RETRIES = 1
SUITE = "unit"


@dataclass(frozen=True)
class Behaviour:
    """What tests of one name do."""

    code: str
    share: int
    """Of a hundred tests."""
    truth: Outcome | None
    """How such a test ends; None where that depends on which of its attempts were lost."""
    attempts: int
    """How often it has to execute where nothing goes wrong."""


BEHAVIOURS = {
    "pass": Behaviour("pass", 66, Outcome.PASSED, 1),
    "slow": Behaviour("time.sleep(2)", 10, Outcome.PASSED, 1),
    "fail": Behaviour("assert False, 'on purpose'", 10, Outcome.FAILED, 1 + RETRIES),
    # Its first attempt fails. Where that one was lost, a later one says nothing of flakiness.
    "flaky": Behaviour("assert int(os.environ['GLOVEBOX_ATTEMPT']) > 1", 8, None, 1 + RETRIES),
    "skip": Behaviour("pytest.skip('not today')", 3, Outcome.SKIPPED, 1),
    # Green for everybody who believes an exit code alone. Left without proof, it is tried anew.
    "vanish": Behaviour("os._exit(0)", 2, Outcome.ERRORED, 3),
    "hang": Behaviour("time.sleep(600)", 1, Outcome.TIMED_OUT, 1 + RETRIES),
}
FLAKY_PASSES_FROM = 2


def behaviour_of(test_id: str) -> Behaviour:
    """By the test's name. Raises KeyError for a test that is not ours."""
    return BEHAVIOURS[test_id.rpartition("::")[2].split("_")[1]]


def behaviours(count: int, seed: int) -> list[str]:
    """Names of behaviours, in a seeded order: the shares, rounded up from the rarest on."""
    chosen: list[str] = []
    for name, behaviour in sorted(BEHAVIOURS.items(), key=lambda item: item[1].share):
        wanted = -(-behaviour.share * count // 100)
        chosen += [name] * min(wanted, count - len(chosen))
    random.Random(seed).shuffle(chosen)
    return chosen


def files_of(names: Iterable[str]) -> dict[str, str]:
    """A source with one test for each name."""
    numbered = [f"def test_{name}_{i}(): {BEHAVIOURS[name].code}" for i, name in enumerate(names)]
    return {"test_chaos.py": "import os, time, pytest\n" + "\n".join(numbered) + "\n"}


def test_ids(files: dict[str, str]) -> set[str]:
    """The ids of such a source."""
    lines = files["test_chaos.py"].splitlines()
    return {f"test_chaos.py::{line[4:].split('(')[0]}" for line in lines if line.startswith("def")}


test_ids.__test__ = False  # type: ignore[attr-defined]


def manifest(name: str, files: dict[str, str]) -> dict[str, Any]:
    """A manifest that runs them, one sandbox each."""
    return {
        "version": 1,
        "name": name,
        "source": {"inline": {"files": files}},
        "parallelism": 8,
        "timeout": "40m",
        "suites": [
            {
                "name": SUITE,
                "framework": "pytest",
                "timeout": f"{TEST_SECONDS}s",
                "retries": RETRIES,
            }
        ],
    }


def shares() -> Counter[str]:
    """What a hundred tests are."""
    return Counter({name: behaviour.share for name, behaviour in BEHAVIOURS.items()})

"""The plan of a run: which tests, in which sandboxes, in which batches.

A *group* is the planned tests that share one sandbox (one test under `isolation: test`); a
*batch* is the groups that one launch message carries; a *round* is one pass over the batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from glovebox.domain.keys import test_key
from glovebox.domain.manifest import Isolation, Suite
from glovebox.domain.schema_version import SchemaVersion

MAX_GROUPS_PER_BATCH = 50
"""Beyond 50 groups a batch saves next to nothing (cost per test falls with 1/n) and a lost
launcher loses more."""
MAX_BATCH_WIDTH = 10
"""Sandboxes that one launcher drives at once: ten keep its process below half a core."""
SINGLE_LAUNCHER_PARALLELISM = 4
MAX_GROUP_SECONDS = 3600
"""Longest process for several tests together, unless one of them alone may take longer."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Atom(StrEnum):
    """The smallest thing that a framework can list and run by itself, and so has a result."""

    TEST = "test"
    FILE = "file"
    SUITE = "suite"


class DiscoveredTest(_Document):
    """A test as its framework names it."""

    suite: str
    test_id: str
    file: str | None = None
    """Path relative to the source's root."""
    line: int | None = None
    """1-based."""
    selector: str | None = None
    """What the framework takes to run it, where that is not its id."""
    atom: Atom = Atom.TEST
    """What the id names: some frameworks cannot run one test of a file by itself."""

    @property
    def key(self) -> str:
        """The test's key within its run."""
        return test_key(self.suite, self.test_id)


class PlannedTest(DiscoveredTest):
    """A test that the run must account for with exactly one result."""

    cannot_run: str | None = None
    """Set where the framework could not load it: the result is errored, with this message."""


class PlannedAttempt(_Document):
    """The next attempt at a test, as a batch carries it."""

    test_id: str
    key: str
    number: int = Field(ge=1)
    selector: str | None = None
    losses: int = 0
    """Attempts, or turns without one, that infrastructure cost this test so far."""


class Group(_Document):
    """Attempts that share one fresh sandbox."""

    suite: str
    attempts: tuple[PlannedAttempt, ...]


class Batch(_Document):
    """What one launch message stands for."""

    schema_version: SchemaVersion = 1
    run_id: str
    batch_id: str
    round: int
    width: int = Field(ge=1)
    """Sandboxes at once."""
    deadline_at: float
    """End of the whole run, seconds since the epoch."""
    groups: tuple[Group, ...]
    suites: dict[str, Suite]
    """The suites that the groups name."""
    image: str
    network: bool
    env: dict[str, str]
    """The manifest's own environment; a suite's is merged over it."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets that the tests get; a launcher reads the values."""
    contexts: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What discovery learnt and the framework wants back, by suite."""
    bundle_key: str
    baked: str | None = None
    """An image that has the bundle in it: its sandboxes need no upload of it."""
    fail_fast: bool = False


class BatchTicket(_Document):
    """A batch as the Map reads it. Small: the Map's input counts against 256 KiB states."""

    batch_id: str
    key: str
    timeout_seconds: int
    heartbeat_seconds: int


class Plan(_Document):
    """Everything that the run must account for."""

    schema_version: SchemaVersion = 1
    run_id: str
    name: str
    tests: tuple[PlannedTest, ...]
    contexts: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What discovery learnt and the framework wants back, by suite."""
    bundle_key: str
    baked: str | None = None
    """The image that was made of the bundle, where one was."""
    parallelism: int
    """Sandboxes at once that the run will use."""


class Round(_Document):
    """The groups that a round attempts."""

    schema_version: SchemaVersion = 1
    run_id: str
    round: int
    groups: tuple[Group, ...]


class RoundAnswer(_Document):
    """What the state machine learns of a round."""

    round: int
    batches: int
    batches_key: str
    max_concurrency: int = Field(ge=1)


def group_tests(tests: Iterable[PlannedTest], suites: dict[str, Suite]) -> tuple[Group, ...]:
    """First attempts of all tests that can run, grouped by their suite's isolation.

    Order is kept: groups appear in the order of their first test.
    """
    members: dict[tuple[str, str], list[PlannedAttempt]] = {}
    for test in tests:
        if test.cannot_run is not None:
            continue
        attempt = PlannedAttempt(
            test_id=test.test_id, key=test.key, number=1, selector=test.selector
        )
        members.setdefault((test.suite, _cell(test, suites[test.suite])), []).append(attempt)
    return tuple(
        Group(suite=suite, attempts=tuple(attempts)) for (suite, _), attempts in members.items()
    )


def _cell(test: PlannedTest, suite: Suite) -> str:
    if suite.isolation is Isolation.SUITE:
        return ""
    if suite.isolation is Isolation.FILE:
        return test.file or test.test_id
    return test.key


def batch_width(parallelism: int) -> int:
    """Sandboxes at once in one batch, up to what one launcher can drive: half of all, so that
    two launchers overlap and no lane idles between batches; but all of a few, where a second
    launcher would cost more than the gaps."""
    if parallelism <= SINGLE_LAUNCHER_PARALLELISM:
        return parallelism
    return min(MAX_BATCH_WIDTH, math.ceil(parallelism / 2))


def concurrent_batches(parallelism: int) -> int:
    """Batches at once, so that width times this is at most (and nearly) the parallelism."""
    return max(1, parallelism // batch_width(parallelism))


def group_limit_seconds(tests: int, suite: Suite) -> float:
    """When a group's process is stopped: its tests' timeouts together, but beyond an hour only
    as far as a single test's own timeout goes, since one that hangs uses up all of it."""
    return min(suite.timeout * tests, max(suite.timeout, MAX_GROUP_SECONDS))


def split_batches(groups: Sequence[Group], parallelism: int) -> list[list[Group]]:
    """Cut a round into batches of near-equal size, order kept within a batch.

    How long a batch takes does not matter: a launcher hands on what does not fit its time.
    """
    if not groups:
        return []
    fair = math.ceil(len(groups) / concurrent_batches(parallelism))
    count = math.ceil(len(groups) / min(MAX_GROUPS_PER_BATCH, fair))
    # Deal round robin: neighbours tend to be alike, so slow files spread over the batches.
    return [list(groups[index::count]) for index in range(count)]

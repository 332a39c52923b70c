"""While a release is rolled out, the one before and the one after meet the same run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain import keys
from glovebox.domain.attempt import Attempt
from glovebox.domain.errors import NewerRelease
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Batch, Plan, Round
from glovebox.domain.run import Run
from glovebox.domain.schema_version import KNOWN_VERSION
from glovebox.ports import Claim
from glovebox.usecases.launch import LaunchMessage
from pydantic import BaseModel

from tests.faults.handlers import context, event, load_function
from tests.stack.definitions import states
from tests.unit.usecases.driver import LIMIT, Spine

RUN = "r1"
MANIFEST = {
    "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
    "suites": [{"name": "unit", "framework": "command", "command": ["true"]}],
}
SUITE = {"name": "unit", "framework": "command", "command": ["true"]}
# As the first release wrote them, with no field that came later.
FIRST_RELEASE: dict[type[BaseModel], dict[str, Any]] = {
    LaunchMessage: {"run_id": "r", "batch_id": "1-00000", "key": "k", "token": "t"},
    Batch: {
        "run_id": "r",
        "batch_id": "1-00000",
        "round": 1,
        "width": 1,
        "deadline_at": 1.0,
        "groups": [{"suite": "unit", "attempts": [{"test_id": "x", "key": "k", "number": 1}]}],
        "suites": {"unit": SUITE},
        "image": "base",
        "network": False,
        "env": {},
        "bundle_key": "b",
    },
    Plan: {
        "run_id": "r",
        "name": "n",
        "tests": [{"suite": "unit", "test_id": "x"}],
        "bundle_key": "b",
        "parallelism": 1,
    },
    Round: {"run_id": "r", "round": 1, "groups": []},
    Run: {"run_id": "r", "name": "n", "door": "api", "created_at": 1.0, "parallelism_asked": 1},
    Attempt: {
        "run_id": "r",
        "suite": "unit",
        "test_id": "x",
        "key": "k",
        "number": 1,
        "round": 1,
    },
}
HANDED_ON = (LaunchMessage, Batch, Plan, Round)
"""What one function writes and another reads."""


class Deployed:
    """A planned run, and the launcher's own handler."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spine = Spine(folder)
        self.spine.start(MANIFEST, RUN)
        self.spine.prepare(RUN)
        self.answer = self.spine.plan(RUN)
        [self.message] = self.spine.messages(self.answer, RUN)
        self.launcher = load_function("launcher")
        monkeypatch.setattr(self.launcher, "wired", self.spine.launcher)
        self.hurried: list[Any] = []
        monkeypatch.setattr(self.launcher, "deliver_soon", self.hurried.append)

    def deliver(self, **changes: Any) -> list[str]:
        """Deliver the launch message; answers what goes back to the queue."""
        told = event("launcher")
        body = {**self.message.model_dump(), **changes}
        told["Records"][0].update({"body": json.dumps(body), "messageId": "m-1"})
        answer = self.launcher.lambda_handler(told, context())
        return [item["itemIdentifier"] for item in answer["batchItemFailures"]]

    def rewrite(self, key: str, **changes: Any) -> None:
        document = json.loads(self.spine.artifacts.get(key, limit=LIMIT))
        content = json.dumps({**document, **changes}).encode()
        self.spine.artifacts.put(key, content, "application/json")

    def outcomes(self) -> list[Outcome | None]:
        return [attempt.outcome for attempt in self.spine.runs.attempts(RUN)]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    return Deployed(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", FIRST_RELEASE, ids=lambda kind: kind.__name__)
def test_what_the_first_release_wrote_is_read(kind: type[BaseModel]) -> None:
    kind.model_validate(FIRST_RELEASE[kind])


@pytest.mark.parametrize("kind", FIRST_RELEASE, ids=lambda kind: kind.__name__)
def test_fields_of_a_newer_release_are_no_hindrance(kind: type[BaseModel]) -> None:
    known = kind.model_validate(FIRST_RELEASE[kind])
    newer = kind.model_validate_json(json.dumps({**FIRST_RELEASE[kind], "news": {"a": [1]}}))
    assert all(getattr(newer, name) == getattr(known, name) for name in kind.model_fields)


def test_a_row_keeps_what_a_newer_release_wrote_into_it() -> None:
    run = Run.model_validate({**FIRST_RELEASE[Run], "news": 1})
    changed = Run.model_validate({**run.model_dump(), "total": 5})
    assert json.loads(changed.model_dump_json())["news"] == 1


@pytest.mark.parametrize("kind", HANDED_ON, ids=lambda kind: kind.__name__)
def test_a_version_that_this_release_would_misread_is_refused_as_such(
    kind: type[BaseModel],
) -> None:
    document = {**FIRST_RELEASE[kind], "schema_version": KNOWN_VERSION + 1, "round": "moved"}
    with pytest.raises(NewerRelease, match=f"version {KNOWN_VERSION + 1}"):
        kind.model_validate_json(json.dumps(document))
    kind.model_validate({**FIRST_RELEASE[kind], "schema_version": KNOWN_VERSION})


def test_a_message_of_a_newer_release_goes_back_to_the_queue_untouched(deployed: Deployed) -> None:
    assert deployed.deliver(schema_version=KNOWN_VERSION + 1) == ["m-1"]
    assert deployed.outcomes() == []
    assert deployed.spine.workflow.answered == []
    assert deployed.hurried == [], "five quick tries would make it a dead letter"
    assert deployed.deliver() == [], "and the newer launcher that gets it next drives it"
    assert deployed.outcomes() == [Outcome.PASSED]


def test_a_batch_of_a_newer_release_is_left_for_a_newer_launcher(deployed: Deployed) -> None:
    deployed.rewrite(deployed.message.key, schema_version=KNOWN_VERSION + 1)
    assert deployed.deliver() == ["m-1"]
    assert deployed.outcomes() == []
    assert not deployed.spine.sandboxes.live
    deployed.rewrite(deployed.message.key, schema_version=KNOWN_VERSION)
    assert deployed.deliver() == []
    assert deployed.outcomes() == [Outcome.PASSED]


def test_a_batch_that_could_not_be_read_is_nobodys(deployed: Deployed) -> None:
    deployed.rewrite(deployed.message.key, schema_version=KNOWN_VERSION + 1)
    deployed.deliver()
    batch_id = deployed.message.batch_id
    assert deployed.spine.runs.claim_batch(RUN, batch_id, "other", 60) is Claim.OURS


def test_new_fields_of_message_batch_and_plan_change_nothing(deployed: Deployed) -> None:
    for key in (deployed.message.key, keys.plan_key(RUN), keys.round_key(RUN, 1)):
        deployed.rewrite(key, news="of a newer release")
    assert deployed.deliver(news=1) == []
    assert deployed.spine.settle(RUN, 1).batches == 0
    deployed.spine.reduce(RUN)
    assert deployed.spine.report(RUN).summary.passed == 1


@pytest.mark.parametrize(
    "step",
    [lambda spine: spine.settle(RUN, 1), lambda spine: spine.reduce(RUN)],
    ids=["settle", "reduce"],
)
def test_a_plan_of_a_newer_release_stops_the_step_and_loses_nothing(
    deployed: Deployed, step: Callable[[Spine], Any]
) -> None:
    deployed.deliver()
    deployed.rewrite(keys.plan_key(RUN), schema_version=KNOWN_VERSION + 1)
    with pytest.raises(NewerRelease):
        step(deployed.spine)
    assert not deployed.spine.runs.run(RUN).is_finished
    deployed.rewrite(keys.plan_key(RUN), schema_version=KNOWN_VERSION)
    step(deployed.spine)
    deployed.spine.reduce(RUN)
    assert deployed.spine.report(RUN).summary.passed == 1


@pytest.mark.parametrize("name", ["Prepare", "Plan", "Settle"])
def test_the_state_machine_tries_a_step_again_that_met_a_newer_document(name: str) -> None:
    retried = {error for rule in states()[name]["Retry"] for error in rule["ErrorEquals"]}
    assert NewerRelease.__name__ in retried


def test_the_state_machine_tries_the_reducer_again_whatever_it_met() -> None:
    retried = {error for rule in states()["Reduce"]["Retry"] for error in rule["ErrorEquals"]}
    assert "States.TaskFailed" in retried

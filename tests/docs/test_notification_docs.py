"""docs/notifications.md shows messages that are ones, and names every attribute and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.notice import ProblemNote, RunEvent, RunFinished, RunRejected
from glovebox.domain.outcome import Conclusion
from glovebox.domain.run import Origin, Run
from glovebox.usecases.reduce import Notification
from glovebox.usecases.refuse import rejection_notice
from jsonschema import Draft202012Validator

from tests.stack.definitions import states

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "notifications.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


def attributes() -> dict[str, set[str]]:
    """Each documented attribute, with the events that have it."""
    table = TEXT.split("| attribute |", 1)[1].split("\n\n", 1)[0]
    both = {event.value for event in RunEvent}
    return {
        name: both if of == "both" else {of.strip("`")}
        for name, of in re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE)
    }


def messages() -> dict[str, dict[str, Any]]:
    """The messages that are shown, by their event."""
    found = [json.loads(block) for block in BLOCKS if '"schema_version"' in block]
    return {message["event"]: message for message in found}


@pytest.mark.parametrize("event", RunEvent)
def test_the_message_that_is_shown_is_one(event: RunEvent) -> None:
    name = event.value.replace(".", "-")
    schema = json.loads((DOCS / f"schema/{name}.v1.json").read_text())
    Draft202012Validator(schema).validate(messages()[event.value])
    model = RunFinished if event is RunEvent.FINISHED else RunRejected
    assert set(messages()[event.value]) == set(model.model_fields)


def test_attributes_are_those_that_are_published() -> None:
    finished = Notification("{}", "n", "passed", changed=True).attributes
    origin = Origin(bucket="b", key="k", version=None)
    run = Run(run_id="r", name="n", door="s3", origin=origin, created_at=0, parallelism_asked=1)
    published = {
        RunEvent.FINISHED.value: set(finished),
        RunEvent.REJECTED.value: set(rejection_notice(run).attributes),
    }
    documented = {
        event: {name for name, events in attributes().items() if event in events}
        for event in published
    }
    assert documented == published
    sent = states()["Notify"]["Parameters"]["MessageAttributes"]
    assert set(sent) == set(finished), "the state machine and the sweeper say the same"
    assert sent["event"]["StringValue"] == finished["event"]


def test_filter_policies_name_attributes() -> None:
    policies = [
        json.loads(line)
        for block in BLOCKS
        for line in block.splitlines()
        if re.match(r'\{"\w+": \[', line)
    ]
    assert len(policies) >= 4
    assert {name for policy in policies for name in policy} <= set(attributes())


def test_every_conclusion_and_field_of_a_problem_is_named() -> None:
    for word in [*Conclusion, *ProblemNote.model_fields]:
        assert f"`{word}`" in TEXT

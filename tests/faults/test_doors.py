"""The S3 door when events repeat, come out of order or carry poison; and the start of a run."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from glovebox.adapters.stepfunctions_workflow import StepFunctionsWorkflow
from glovebox.domain.outcome import Conclusion

from tests.faults.door import Door, a_manifest


def test_an_event_that_is_delivered_five_times_starts_one_run(door: Door) -> None:
    told = door.drop(a_manifest("n"))
    for _ in range(5):
        door.deliver(told)
    [run] = door.listed()
    assert door.started() == [run.run_id]


def test_an_event_that_is_delivered_five_times_at_once_starts_one_run(door: Door) -> None:
    told = door.drop(a_manifest("n"))
    threads = [threading.Thread(target=door.deliver, args=(told,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [run] = door.listed()
    assert door.started() == [run.run_id]


def test_each_version_is_a_run_of_its_own_text_whatever_the_order_of_events(door: Door) -> None:
    first, second = door.drop(a_manifest("first")), door.drop(a_manifest("second"))
    for told in (second, first, second, first):
        door.deliver(told)
    assert sorted(door.manifest_of(run) for run in door.listed()) == ["first", "second"]
    assert len(door.started()) == 2


def test_an_event_of_an_object_that_was_removed_starts_nothing(door: Door) -> None:
    told = door.drop(a_manifest("n"))
    item = told["detail"]["object"]
    door.s3.delete_object(Bucket="manifests", Key=item["key"], VersionId=item["version-id"])
    door.deliver(told)
    assert (door.listed(), door.started()) == ([], [])


def test_a_start_that_failed_is_made_up_for_by_the_next_delivery(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = door.drop(a_manifest("n"))
    start = StepFunctionsWorkflow.start

    def throttled(self: StepFunctionsWorkflow, run_id: str) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "StartExecution")

    monkeypatch.setattr(StepFunctionsWorkflow, "start", throttled)
    with pytest.raises(ClientError):
        door.deliver(told)
    monkeypatch.setattr(StepFunctionsWorkflow, "start", start)
    door.deliver(told)
    [run] = door.listed()
    assert door.started() == [run.run_id]


POISON = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00\x01" * 100,
    "NUL": b"version: 1\nname: a\x00b\n",
    "not a mapping": b"[1, 2, 3]",
    "not YAML": b"version: [1\nname: }",
    "deep": b"[" * 100_000,
    "an alias bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "a tag": b"version: !!python/object/apply:os.system ['id']\n",
    "an unknown key": b'{"version": 1, "nmae": "x"}',
    "another version": b'{"version": 99}',
    "too long for a manifest": b"#" * (1024 * 1024 + 1),
    "too long to be read": b"#" * (2 * 1024 * 1024 + 1),
}


@pytest.mark.parametrize("content", POISON.values(), ids=POISON.keys())
def test_a_poison_manifest_is_on_record_as_rejected_and_not_tried_again(
    door: Door, content: bytes
) -> None:
    told = door.drop(content)
    for _ in range(2):
        door.deliver(told)  # no exception: nothing asks Lambda for a retry
    [run] = door.listed()
    assert (run.conclusion, run.is_finished) == (Conclusion.REJECTED, True)
    assert run.message
    assert "nightly/glovebox.json" in run.message
    assert door.started() == []
    assert "Contents" not in door.s3.list_objects_v2(Bucket="data"), "nothing half started"


def test_a_run_that_is_started_twice_is_one_execution(door: Door) -> None:
    workflow = StepFunctionsWorkflow(door.machines, door.arn)
    for _ in range(2):
        workflow.start("run-1")
    assert door.started() == ["run-1"]


def test_an_execution_that_is_closed_already_is_a_start_that_succeeded(door: Door) -> None:
    """AWS answers ExecutionAlreadyExists once the first has ended."""

    class Closed:
        def __init__(self) -> None:
            self.asked: list[dict[str, Any]] = []

        def start_execution(self, **request: Any) -> None:
            self.asked.append(request)
            raise ClientError({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")

    client: Any = Closed()
    StepFunctionsWorkflow(client, door.arn).start("run-1")
    [request] = client.asked
    assert request["name"] == "run-1", "without a name a second start would be a second run"


def test_a_start_that_fails_otherwise_is_told(door: Door) -> None:
    with pytest.raises(ClientError):
        StepFunctionsWorkflow(door.machines, door.arn + "x").start("run-1")

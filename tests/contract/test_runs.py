"""The ledger: what the fake promises, DynamoDB keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.errors import NotFound, StoreConflict
from glovebox.domain.outcome import Conclusion, Outcome, RunState, StopReason
from glovebox.domain.ownership import ImageUse, SandboxOwner
from glovebox.domain.run import Run
from glovebox.ports import Claim, KeptRequest, Runs
from moto import mock_aws

from tests.fakes import MemoryRuns
from tests.one_at_a_time import OneAtATime

KEYS = ("pk", "sk")
INDEX_KEYS = (
    "changed_at",
    "state_pk",
    "created_at",
    "sandbox_id",
    "run_owner",
    "listed_at",
)


def dynamo() -> DynamoRuns:
    client: Any = OneAtATime(boto3.client("dynamodb", region_name="us-east-1"))
    client.create_table(
        TableName="runs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in (*KEYS, *INDEX_KEYS)
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "ByChange",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "changed_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "ByState",
                "KeySchema": [
                    {"AttributeName": "state_pk", "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "ByOwner",
                "KeySchema": [
                    {"AttributeName": "run_owner", "KeyType": "HASH"},
                    {"AttributeName": "listed_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "BySandbox",
                "KeySchema": [{"AttributeName": "sandbox_id", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )
    return DynamoRuns(client, "runs")


@pytest.fixture(params=["memory", "dynamodb"])
def runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    if request.param == "memory":
        yield MemoryRuns()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        yield dynamo()


def a_run(run_id: str = "r", created_at: float = 1.0) -> Run:
    return Run(run_id=run_id, name="n", door="api", created_at=created_at, parallelism_asked=1)


def an_attempt(key: str = "k", number: int = 1, changed_at: float = 5.0) -> Attempt:
    return Attempt(
        run_id="r",
        suite="s",
        test_id=f"id of {key} é\u0000",
        key=key,
        number=number,
        round=1,
        sandbox_id="sb",
        started_at=4.5,
        changed_at=changed_at,
    )


def closed(attempt: Attempt, outcome: Outcome = Outcome.PASSED) -> Attempt:
    return attempt.model_copy(update={"state": AttemptState.FINISHED, "outcome": outcome})


def finished(run: Run, conclusion: Conclusion, at: float) -> Run:
    changes = {"state": RunState.FINISHED, "conclusion": conclusion, "finished_at": at}
    return run.model_copy(update=changes)


def test_a_run_is_read_as_it_was_written(runs: Runs) -> None:
    runs.create_run(a_run())
    assert runs.run("r") == a_run()


def test_an_unknown_run_is_not_found(runs: Runs) -> None:
    with pytest.raises(NotFound):
        runs.run("nobody")


def test_a_run_is_created_once(runs: Runs) -> None:
    runs.create_run(a_run())
    with pytest.raises(StoreConflict):
        runs.create_run(a_run())


def test_changes_to_different_fields_both_stay(runs: Runs) -> None:
    runs.create_run(a_run())
    runs.update_run("r", total=3)
    runs.update_run("r", state=RunState.RUNNING)
    assert (runs.run("r").total, runs.run("r").state) == (3, RunState.RUNNING)


def test_a_finished_run_never_changes(runs: Runs) -> None:
    runs.create_run(a_run())
    runs.update_run("r", state=RunState.FINISHED, conclusion=Conclusion.PASSED)
    with pytest.raises(StoreConflict):
        runs.update_run("r", conclusion=Conclusion.FAILED)
    assert runs.request_stop("r", StopReason.CANCELLED).stop_reason is None


def test_the_first_reason_to_stop_stays(runs: Runs) -> None:
    runs.create_run(a_run())
    runs.request_stop("r", StopReason.CANCELLED)
    assert runs.request_stop("r", StopReason.TIMED_OUT).stop_reason is StopReason.CANCELLED


def test_open_runs_are_those_that_are_not_finished(runs: Runs) -> None:
    for run_id in ("a", "b"):
        runs.create_run(a_run(run_id))
    runs.update_run("a", state=RunState.FINISHED, conclusion=Conclusion.PASSED)
    assert [run.run_id for run in runs.open_runs()] == ["b"]


def test_runs_are_listed_newest_first_and_page_by_page(runs: Runs) -> None:
    for number in range(5):
        runs.create_run(a_run(f"r{number}", created_at=float(number)))
    runs.update_run("r3", state=RunState.FINISHED, conclusion=Conclusion.PASSED)
    seen, cursor = [], None
    for _ in range(4):
        page, cursor = runs.list_runs(limit=2, cursor=cursor)
        seen += [run.run_id for run in page]
        if cursor is None:
            break
    assert seen == ["r4", "r3", "r2", "r1", "r0"]


def test_owners_see_their_own_runs_page_by_page_also_those_of_one_moment(runs: Runs) -> None:
    for number, owner in enumerate(("a", "b", "stack", "a", "b", "a", "stack")):
        run = a_run(f"r{number}", created_at=7.0)
        runs.create_run(run.model_copy(update={"owner": owner}))
    runs.update_run("r3", state=RunState.FINISHED, conclusion=Conclusion.PASSED)
    seen, cursor = [], None
    for _ in range(6):
        page, cursor = runs.list_runs(limit=2, cursor=cursor, owners=("a", "stack"))
        seen += [run.run_id for run in page]
        if cursor is None:
            break
    assert seen == ["r6", "r5", "r3", "r2", "r0"]


def test_an_idempotency_key_keeps_its_first_request(runs: Runs) -> None:
    first, second = KeptRequest("r1", "d1"), KeptRequest("r2", "d2")
    assert runs.keep_request("ann", "k", first, 1.0) == first
    assert runs.keep_request("ann", "k", second, 2.0) == first
    assert runs.keep_request("bob", "k", second, 2.0) == second
    assert runs.keep_request("ann", "k2", second, 2.0) == second
    assert list(runs.open_runs()) == []


def test_one_of_many_claims_a_batch(runs: Runs) -> None:
    claims: list[Claim] = []
    threads = [
        threading.Thread(target=lambda o=o: claims.append(runs.claim_batch("r", "1", o, 60)))
        for o in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == [*[Claim.HELD] * 7, Claim.OURS]


def test_a_batch_whose_lease_is_over_can_be_taken(runs: Runs) -> None:
    assert runs.claim_batch("r", "1", "a", -1) is Claim.OURS
    assert runs.claim_batch("r", "1", "b", 60) is Claim.OURS
    runs.finish_batch("r", "1", "a")
    assert runs.claim_batch("r", "1", "c", 60) is Claim.HELD


def test_a_batch_that_was_driven_is_done_for_everybody(runs: Runs) -> None:
    runs.claim_batch("r", "1", "a", 60)
    runs.finish_batch("r", "1", "a")
    assert runs.claim_batch("r", "1", "b", 60) is Claim.DONE


def test_a_later_turn_takes_a_batch_and_an_earlier_one_never_again(runs: Runs) -> None:
    assert runs.claim_batch("r", "1", "a", 60, 0) is Claim.OURS
    assert runs.claim_batch("r", "1", "b", 60, 2) is Claim.OURS
    assert runs.claim_batch("r", "1", "c", 60, 2) is Claim.HELD
    assert runs.claim_batch("r", "1", "d", 60, 1) is Claim.HELD
    runs.release_batch("r", "1", "b")
    assert runs.claim_batch("r", "1", "e", 60, 1) is Claim.HELD
    assert runs.claim_batch("r", "1", "f", 60, 3) is Claim.OURS
    runs.finish_batch("r", "1", "f")
    assert runs.claim_batch("r", "1", "g", 60, 4) is Claim.DONE


def test_a_batch_that_was_let_go_of_can_be_taken_in_the_same_turn(runs: Runs) -> None:
    runs.claim_batch("r", "1", "a", 60)
    runs.release_batch("r", "1", "somebody else")
    assert runs.claim_batch("r", "1", "b", 60) is Claim.HELD
    runs.release_batch("r", "1", "a")
    assert runs.claim_batch("r", "1", "b", 60) is Claim.OURS


def test_an_attempt_is_opened_once(runs: Runs) -> None:
    runs.open_attempts([an_attempt()])
    with pytest.raises(StoreConflict):
        runs.open_attempts([an_attempt()])


def test_of_attempts_that_are_opened_together_all_or_none_are(runs: Runs) -> None:
    runs.open_attempts([an_attempt("k2")])
    with pytest.raises(StoreConflict):
        runs.open_attempts([an_attempt("k1"), an_attempt("k2")])
    assert [attempt.key for attempt in runs.attempts("r")] == ["k2"]


@pytest.mark.parametrize("count", [1, 3])
def test_no_attempt_is_opened_once_the_account_of_its_run_is_made(runs: Runs, count: int) -> None:
    runs.create_run(a_run())
    runs.open_attempts([an_attempt("before")])
    runs.update_run("r", state=RunState.REDUCING, finished_at=9.0)
    with pytest.raises(StoreConflict):
        runs.open_attempts([an_attempt(f"k{number}") for number in range(count)])
    assert [attempt.key for attempt in runs.attempts("r")] == ["before"]
    runs.close_attempts([closed(an_attempt("before"))])


def test_a_recorded_outcome_never_changes(runs: Runs) -> None:
    runs.open_attempts([an_attempt()])
    runs.close_attempts([closed(an_attempt())])
    with pytest.raises(StoreConflict):
        runs.close_attempts([closed(an_attempt(), Outcome.FAILED)])
    assert [a.outcome for a in runs.attempts("r")] == [Outcome.PASSED]


def test_an_attempt_that_was_never_opened_cannot_be_closed(runs: Runs) -> None:
    with pytest.raises(StoreConflict):
        runs.close_attempts([closed(an_attempt())])


def test_hundreds_of_attempts_are_kept_and_read_in_full(runs: Runs) -> None:
    attempts = [an_attempt(f"k{number:03}") for number in range(250)]
    runs.open_attempts(attempts)
    runs.close_attempts([closed(attempt) for attempt in attempts])
    assert len(list(runs.attempts("r"))) == 250
    assert all(a.outcome is Outcome.PASSED for a in runs.attempts("r"))


def test_attempts_of_a_test_come_in_order(runs: Runs) -> None:
    for number in (2, 10, 1):
        runs.open_attempts([an_attempt("k", number)])
    runs.open_attempts([an_attempt("k2")])
    assert [attempt.number for attempt in runs.attempts_of_test("r", "k")] == [1, 2, 10]


def test_changes_are_told_oldest_first_from_a_moment_on(runs: Runs) -> None:
    for key, changed_at in (("a", 7.0), ("b", 5.0), ("c", 6.0)):
        runs.open_attempts([an_attempt(key, changed_at=changed_at)])
    told = runs.attempts_changed_since("r", 6.0, 10)
    assert [attempt.key for attempt in told] == ["c", "a"]
    assert [attempt.key for attempt in runs.attempts_changed_since("r", 0.0, 2)] == ["b", "c"]


def test_the_conclusion_before_this_run_is_the_last_runs(runs: Runs) -> None:
    first = finished(a_run("r1"), Conclusion.PASSED, 10.0)
    second = finished(a_run("r2"), Conclusion.FAILED, 20.0)
    assert runs.previous_conclusion(first) is None
    runs.note_conclusion(first)
    assert runs.previous_conclusion(second) == "passed"
    runs.note_conclusion(second)
    runs.note_conclusion(second)
    assert runs.previous_conclusion(second) == "passed"
    runs.note_conclusion(first)
    assert runs.previous_conclusion(a_run("r3")) == "failed"


def test_a_batch_that_was_let_go_can_be_taken_by_whoever_comes_next(runs: Runs) -> None:
    runs.claim_batch("r", "1", "a", 60)
    runs.release_batch("r", "1", "b")
    assert runs.claim_batch("r", "1", "b", 60) is Claim.HELD
    runs.release_batch("r", "1", "a")
    assert runs.claim_batch("r", "1", "b", 60) is Claim.OURS


def test_a_sandbox_leads_to_the_run_whose_attempts_it_serves_and_says_when_they_ended(
    runs: Runs,
) -> None:
    group = [an_attempt(f"k{n}").model_copy(update={"sandbox_id": "sb-1"}) for n in range(3)]
    runs.open_attempts(group)
    runs.open_attempts([an_attempt("k9").model_copy(update={"sandbox_id": None})])
    assert runs.owner_of("sb-1") == SandboxOwner("r")
    runs.close_attempts([closed(a).model_copy(update={"changed_at": 7.0}) for a in group])
    assert runs.owner_of("sb-1") == SandboxOwner("r", ended_at=7.0)


def test_a_sandbox_that_serves_no_attempt_has_its_time(runs: Runs) -> None:
    runs.note_sandbox("r", "sb-2", 90.0)
    assert runs.owner_of("sb-2") == SandboxOwner("r", until=90.0)
    runs.note_sandbox("r", "sb-2", 60.5)
    assert runs.owner_of("sb-2") == SandboxOwner("r", until=60.5)
    assert list(runs.attempts("r")) == []


def test_nobody_here_owns_a_foreign_sandbox(runs: Runs) -> None:
    runs.open_attempts([an_attempt()])
    assert runs.owner_of("foreign") is None


def test_a_run_stays_untold_until_its_subscribers_were_told(runs: Runs) -> None:
    runs.create_run(a_run())
    for run_id, at in (("r", 20.0), ("q", 10.0)):
        runs.note_untold(run_id, at)
    assert list(runs.untold()) == ["q", "r"]
    for _ in range(2):
        runs.note_told("q")
    assert list(runs.untold()) == ["r"]
    assert [run.run_id for run in runs.open_runs()] == ["r"]
    assert [run.run_id for run in runs.list_runs(limit=5, cursor=None)[0]] == ["r"]


def test_an_image_has_its_uses_until_each_is_forgotten(runs: Runs) -> None:
    uses = [ImageUse("i1", "r1", 10.0), ImageUse("i2", "r1", 5.0), ImageUse("i1", "r2", 20.5)]
    for use in uses:
        runs.note_image(use)
    assert list(runs.image_uses_before(20.0)) == [uses[1], uses[0]]
    assert sorted(runs.uses_of_image("i1"), key=lambda use: use.at) == [uses[0], uses[2]]
    for _ in range(2):
        runs.forget_image(uses[0])
    assert list(runs.uses_of_image("i1")) == [uses[2]]
    again = ImageUse("i1", "r2", 90.0)
    runs.note_image(again)
    assert list(runs.uses_of_image("i1")) == [again]
    assert list(runs.uses_of_image("nothing")) == []

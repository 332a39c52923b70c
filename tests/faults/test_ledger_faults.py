"""The ledger on a DynamoDB that throttles, breaks off, and loses answers after it has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from glovebox.adapters.dynamodb_runs import DynamoRuns
from glovebox.domain.attempt import Attempt
from glovebox.domain.errors import StoreConflict
from glovebox.domain.outcome import Conclusion, Outcome, RunState, StopReason
from glovebox.ports import Claim

from tests.contract.test_runs import a_run, an_attempt, closed, dynamo
from tests.faults.aws_faults import EVERYWHERE, AwsFault, AwsFaults
from tests.faults.moto_clients import faulty_client

pytestmark = pytest.mark.usefixtures("aws")
LOST = [AwsFault.ANSWER_LOST, AwsFault.ANSWER_BROKEN]
PUT, UPDATE, TOGETHER = "dynamodb.PutItem", "dynamodb.UpdateItem", "dynamodb.TransactWriteItems"


def ledger(faults: AwsFaults) -> DynamoRuns:
    return DynamoRuns(faulty_client("dynamodb", faults), "runs")


def scripted(operation: str, faults: Iterable[AwsFault | None]) -> DynamoRuns:
    return ledger(AwsFaults(script={operation: faults}))


def many(count: int) -> list[Attempt]:
    return [an_attempt(f"k{number}") for number in range(count)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "kinds", [[AwsFault.THROTTLED], [*EVERYWHERE, AwsFault.CONFLICT]], ids=["throttled", "all"]
)
def test_with_half_of_all_calls_failing_no_write_is_lost(
    seed: int, kinds: list[AwsFault], pauses: list[float]
) -> None:
    dynamo()
    faults = AwsFaults(seed=seed, rate=0.5, kinds=kinds)
    runs = ledger(faults)

    # One after another: in threads, who meets which fault would be drawn anew every time, and
    # one call in a thousand would meet more in a row than it bears.
    for attempt in many(40):
        runs.open_attempts([attempt])
        runs.close_attempts([closed(attempt)])
    assert sum(faults.injected.values()) > 40
    kept = list(ledger(AwsFaults()).attempts("r"))
    assert len(kept) == 40
    assert all(attempt.outcome is Outcome.PASSED for attempt in kept)
    assert all(0 <= seconds <= 20 for seconds in pauses)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("count", [1, 3])
def test_an_attempt_whose_opening_was_written_unheard_is_ours(lost: AwsFault, count: int) -> None:
    dynamo()
    scripted(PUT if count == 1 else TOGETHER, [lost]).open_attempts(many(count))
    assert len(list(ledger(AwsFaults()).attempts("r"))) == count


@pytest.mark.parametrize("count", [1, 3])
def test_an_attempt_that_somebody_else_opened_is_not(count: int) -> None:
    dynamo()
    theirs = [attempt.model_copy(update={"sandbox_id": "theirs"}) for attempt in many(count)]
    ledger(AwsFaults()).open_attempts(theirs)
    operation = PUT if count == 1 else TOGETHER
    with pytest.raises(StoreConflict):
        scripted(operation, [AwsFault.ANSWER_LOST]).open_attempts(many(count))
    kept = list(ledger(AwsFaults()).attempts("r"))
    assert {attempt.sandbox_id for attempt in kept} == {"theirs"}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("count", [1, 3])
def test_an_outcome_that_was_written_unheard_is_recorded(lost: AwsFault, count: int) -> None:
    dynamo()
    ledger(AwsFaults()).open_attempts(many(count))
    operation = PUT if count == 1 else TOGETHER
    scripted(operation, [lost]).close_attempts([closed(a) for a in many(count)])
    kept = list(ledger(AwsFaults()).attempts("r"))
    assert [attempt.outcome for attempt in kept] == [Outcome.PASSED] * count


@pytest.mark.parametrize("count", [1, 3])
def test_an_outcome_does_not_change_while_answers_are_lost(count: int) -> None:
    dynamo()
    ledger(AwsFaults()).open_attempts(many(count))
    ledger(AwsFaults()).close_attempts([closed(a, Outcome.FAILED) for a in many(count)])
    operation = PUT if count == 1 else TOGETHER
    with pytest.raises(StoreConflict):
        scripted(operation, [AwsFault.ANSWER_LOST]).close_attempts([closed(a) for a in many(count)])
    kept = list(ledger(AwsFaults()).attempts("r"))
    assert [attempt.outcome for attempt in kept] == [Outcome.FAILED] * count


@pytest.mark.parametrize("count", [1, 3])
def test_a_row_that_another_transaction_holds_is_no_conflict_of_ours(count: int) -> None:
    """DynamoDB cancels transactions that meet. Whoever takes that for "recorded by somebody else"
    loses the result."""
    dynamo()
    ledger(AwsFaults()).open_attempts(many(count))
    operation = PUT if count == 1 else TOGETHER
    scripted(operation, [AwsFault.CONFLICT] * 3).close_attempts([closed(a) for a in many(count)])
    kept = list(ledger(AwsFaults()).attempts("r"))
    assert [attempt.outcome for attempt in kept] == [Outcome.PASSED] * count


@pytest.mark.parametrize("lost", LOST)
def test_a_batch_whose_claim_was_written_unheard_is_ours(lost: AwsFault) -> None:
    dynamo()
    assert scripted(PUT, [lost]).claim_batch("r", "b", "me", 60) is Claim.OURS
    assert ledger(AwsFaults()).claim_batch("r", "b", "other", 60) is Claim.HELD


@pytest.mark.parametrize("lost", LOST)
def test_a_batch_whose_end_was_written_unheard_is_done(lost: AwsFault) -> None:
    dynamo()
    runs = scripted(UPDATE, [lost])
    runs.claim_batch("r", "b", "me", 60)
    runs.finish_batch("r", "b", "me")
    assert ledger(AwsFaults()).claim_batch("r", "b", "other", 60) is Claim.DONE


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        (lambda runs: runs.update_run("r", total=7), "total", 7),
        (lambda runs: runs.request_stop("r", StopReason.CANCELLED), "stop_reason", "cancelled"),
    ],
)
def test_a_change_of_a_run_that_was_written_unheard_holds(
    lost: AwsFault, change: Callable[[DynamoRuns], object], field: str, expected: object
) -> None:
    dynamo()
    ledger(AwsFaults()).create_run(a_run())
    change(scripted(PUT, [lost]))
    assert getattr(ledger(AwsFaults()).run("r"), field) == expected


@pytest.mark.parametrize("lost", LOST)
def test_a_run_whose_end_was_written_unheard_says_that_it_is_finished(lost: AwsFault) -> None:
    dynamo()
    ledger(AwsFaults()).create_run(a_run())
    with pytest.raises(StoreConflict):
        scripted(PUT, [lost]).update_run(
            "r", state=RunState.FINISHED, conclusion=Conclusion.PASSED, finished_at=9.0
        )
    assert ledger(AwsFaults()).run("r").conclusion is Conclusion.PASSED


@pytest.mark.parametrize("fault", [AwsFault.THROTTLED, AwsFault.RESET, AwsFault.SERVER_ERROR])
def test_a_store_that_stays_away_is_told_and_not_taken_for_a_conflict(fault: AwsFault) -> None:
    dynamo()
    with pytest.raises((ClientError, BotoCoreError)):
        scripted(PUT, repeat(fault)).open_attempts(many(1))
    assert list(ledger(AwsFaults()).attempts("r")) == []


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    dynamo()
    faults = AwsFaults(script={PUT: repeat(AwsFault.DENIED)})
    with pytest.raises(ClientError, match="AccessDenied"):
        ledger(faults).open_attempts(many(1))
    assert faults.tries[PUT] == 1


def test_pages_are_read_in_full_while_reading_fails() -> None:
    dynamo()
    ledger(AwsFaults()).open_attempts(many(200))
    faults = AwsFaults(seed=1, rate=0.5, kinds=[AwsFault.THROTTLED, AwsFault.RESET])
    assert len(list(ledger(faults).attempts("r"))) == 200
    assert sum(faults.injected.values()) > 0


def test_an_attempt_that_the_reducer_closed_is_not_taken_back() -> None:
    """Opened, seen and closed by the reducer, and only then is the end seen by who opened it."""
    dynamo()
    other = ledger(AwsFaults())
    other.create_run(a_run())
    faults = AwsFaults()
    client = faulty_client("dynamodb", faults)
    steps = iter([None, reduce_half_way])

    def meanwhile(**_: object) -> None:
        step = next(steps, None)
        if step is not None:
            step(other)

    client.meta.events.register("before-parameter-build.dynamodb.GetItem", meanwhile)
    client.meta.events.register("before-parameter-build.dynamodb.PutItem", meanwhile)
    with pytest.raises(StoreConflict):
        DynamoRuns(client, "runs").open_attempts(many(1))
    [kept] = other.attempts("r")
    assert kept.outcome is Outcome.ERRORED


def reduce_half_way(runs: DynamoRuns) -> None:
    runs.update_run("r", state=RunState.REDUCING, finished_at=9.0)
    runs.close_attempts([closed(a, Outcome.ERRORED) for a in runs.attempts("r")])

"""Dead launch messages: a run whose messages cannot be handled ends, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, Fault
from glovebox.domain.outcome import Conclusion, Outcome, RunState
from glovebox.domain.plan import RoundAnswer
from glovebox.ports import Claim
from glovebox.usecases.bury import BuryDeadLetters, Ending, Letter
from glovebox.usecases.launch import LaunchMessage
from pydantic import ValidationError

from tests.fakes import MemoryDeadLetters, MemoryRuns
from tests.unit.usecases.driver import Spine

TESTS = 4
# Commands need no discovery: a run of them is planned at once.
SUITES = [
    {"name": f"s{n}", "framework": "command", "command": ["true"], "retries": 3}
    for n in range(TESTS)
]


class Graveyard:
    """A planned run, its launch messages, and what buries those that die."""

    def __init__(self, folder: Path) -> None:
        self.spine = Spine(folder)
        self.letters = MemoryDeadLetters()
        self.bury = BuryDeadLetters(
            self.letters,
            self.spine.runs,
            self.spine.artifacts,
            self.spine.workflow,
            self.spine.clock,
            self.spine.token,
        )
        source = {"inline": {"files": {"a.txt": "a"}}}
        manifest = {"source": source, "suites": SUITES, "parallelism": 4}
        self.run_id = self.spine.start(manifest)
        self.spine.prepare(self.run_id)
        self.answer: RoundAnswer = self.spine.plan(self.run_id)
        self.messages = self.spine.messages(self.answer, self.run_id)

    def die(self, message: LaunchMessage) -> str:
        return self.letters.put(message.model_dump_json())

    def buried(self) -> list[Letter]:
        self.letters.come_back()
        return list(self.bury(lambda: 300))

    def outcomes(self) -> dict[str, Outcome | None]:
        return {a.test_id: a.outcome for a in self.spine.runs.attempts(self.run_id)}


@pytest.fixture
def yard(tmp_path: Path) -> Graveyard:
    return Graveyard(tmp_path)


def test_a_run_whose_launch_message_died_ends_with_errored_results(yard: Graveyard) -> None:
    for message in yard.messages:
        yard.die(message)
    buried = yard.buried()
    assert {letter.ending for letter in buried} == {Ending.BURIED}
    assert sum(letter.attempts for letter in buried) == TESTS
    assert yard.spine.workflow.answered == [message.token for message in yard.messages]
    assert yard.letters.letters == {}
    # Final: no further round, though the manifest has retries.
    assert yard.spine.settle(yard.run_id, 1).batches == 0
    yard.spine.reduce(yard.run_id)
    report = yard.spine.report(yard.run_id)
    assert report.conclusion is Conclusion.ERRORED
    assert report.summary.errored == report.summary.total == TESTS
    assert all("its launch message failed" in (test.message or "") for test in report.tests)
    faults = {attempt.fault for attempt in yard.spine.runs.attempts(yard.run_id)}
    assert faults == {Fault.UNDELIVERED}


def test_attempts_that_have_a_row_are_not_touched(yard: Graveyard) -> None:
    [message, *_] = yard.messages
    begun = next(iter(yard.spine.runs.attempts(yard.run_id)), None)
    assert begun is None
    batch = json.loads(yard.spine.artifacts.objects[message.key])
    halved = {**batch, "groups": batch["groups"][:2]}
    yard.spine.artifacts.objects[message.key] = json.dumps(halved).encode()
    yard.spine.launcher()(message, lambda: 900.0)
    before = yard.outcomes()
    assert set(before.values()) == {Outcome.PASSED}
    # Died after all, before its batch was marked: as after a crash between the two.
    yard.spine.artifacts.objects[message.key] = json.dumps(batch).encode()
    assert isinstance(yard.spine.runs, MemoryRuns)
    yard.spine.runs._batches.clear()
    yard.spine.workflow.answered.clear()
    yard.die(message)
    [letter] = yard.buried()
    assert (letter.ending, letter.attempts) == (Ending.BURIED, len(batch["groups"]) - 2)
    after = yard.outcomes()
    assert {test_id: after[test_id] for test_id in before} == before


def test_of_a_sandbox_for_several_tests_those_without_a_row_get_a_result(yard: Graveyard) -> None:
    [message] = yard.messages
    batch = json.loads(yard.spine.artifacts.objects[message.key])
    first, second, *others = batch["groups"]
    first["attempts"] += second["attempts"]
    together = json.dumps({**batch, "groups": [first, *others]})
    yard.spine.artifacts.objects[message.key] = together.encode()
    begun = Attempt(
        run_id=yard.run_id,
        suite=first["suite"],
        test_id=first["attempts"][0]["test_id"],
        key=first["attempts"][0]["key"],
        number=1,
        round=1,
    )
    yard.spine.runs.open_attempts([begun])
    yard.die(message)
    assert [letter.attempts for letter in yard.buried()] == [TESTS - 1]
    assert list(yard.spine.runs.attempts_of_test(yard.run_id, begun.key)) == [begun]


def test_a_later_turn_asked_only_for_what_the_earlier_ones_left(yard: Graveyard) -> None:
    [message] = yard.messages
    where = (message.run_id, message.batch_id, "launcher of the first turn")
    yard.spine.runs.claim_batch(*where, 900)
    yard.die(message.model_copy(update={"turn": 1, "left": (1, 3, 99), "running": (3,)}))
    assert [(letter.ending, letter.attempts) for letter in yard.buried()] == [(Ending.BURIED, 2)]
    batch = json.loads(yard.spine.artifacts.objects[message.key])
    asked = {batch["groups"][index]["attempts"][0]["key"] for index in (1, 3)}
    assert {attempt.key for attempt in yard.spine.runs.attempts(yard.run_id)} == asked


def test_a_batch_that_was_driven_meanwhile_changes_nothing(yard: Graveyard) -> None:
    for message in yard.messages:
        yard.die(message)
        yard.spine.launcher()(message, lambda: 900.0)
    before = yard.outcomes()
    yard.spine.workflow.answered.clear()  # the answers were lost
    assert {letter.ending for letter in yard.buried()} == {Ending.STALE}
    assert yard.outcomes() == before
    assert yard.spine.workflow.answered == [message.token for message in yard.messages]


def test_a_letter_of_a_closed_run_changes_nothing(yard: Graveyard) -> None:
    yard.die(yard.messages[0])
    yard.spine.runs.update_run(
        yard.run_id, state=RunState.FINISHED, conclusion=Conclusion.CANCELLED
    )
    [letter] = yard.buried()
    assert (letter.ending, yard.letters.letters) == (Ending.STALE, {})
    assert yard.outcomes() == {}
    assert yard.spine.workflow.answered == []


def test_a_letter_whose_round_was_settled_without_it_leaves_its_tests_to_the_next_round(
    yard: Graveyard,
) -> None:
    for message in yard.messages:
        yard.die(message)
        yard.spine.workflow.answered.append(message.token)  # nobody waits for it any more
    following = yard.spine.settle(yard.run_id, 1)
    assert following.batches > 0
    assert {letter.ending for letter in yard.buried()} == {Ending.STALE}
    assert yard.outcomes() == {}
    for message in yard.spine.messages(following, yard.run_id):
        yard.spine.launcher()(message, lambda: 900.0)
    assert set(yard.outcomes().values()) == {Outcome.PASSED}


def test_a_message_that_is_redriven_after_its_burial_changes_nothing(yard: Graveyard) -> None:
    for message in yard.messages:
        yard.die(message)
    yard.buried()
    for message in yard.messages:
        claim = yard.spine.runs.claim_batch(message.run_id, message.batch_id, "me", 60)
        assert claim is Claim.DONE
    before = yard.outcomes()
    created = len(yard.spine.sandboxes.requests)
    for message in yard.messages:
        yard.spine.launcher()(message, lambda: 900.0)
    assert yard.outcomes() == before
    yard.spine.settle(yard.run_id, 1)
    yard.spine.reduce(yard.run_id)
    report = yard.spine.report(yard.run_id)
    for message in yard.messages:
        yard.spine.launcher()(message, lambda: 900.0)
        yard.die(message)
    assert {letter.ending for letter in yard.buried()} == {Ending.STALE}
    yard.spine.reduce(yard.run_id)
    assert yard.spine.report(yard.run_id) == report
    assert len(yard.spine.sandboxes.requests) == created


def test_a_batch_that_a_launcher_holds_is_left_to_it(yard: Graveyard) -> None:
    message = yard.messages[0]
    yard.die(message)
    yard.spine.runs.claim_batch(message.run_id, message.batch_id, "somebody", 900)
    [letter] = yard.buried()
    assert letter.ending is Ending.HELD
    assert len(yard.letters.letters) == 1
    yard.spine.runs.release_batch(message.run_id, message.batch_id, "somebody")
    [letter] = yard.buried()
    assert (letter.ending, yard.letters.letters) == (Ending.BURIED, {})


def test_a_batch_that_cannot_be_read_is_the_next_rounds(yard: Graveyard) -> None:
    first = yard.messages[0]
    other = json.loads(yard.spine.artifacts.objects[first.key])
    yard.spine.artifacts.objects["foreign"] = json.dumps({**other, "run_id": "r2"}).encode()
    yard.spine.artifacts.objects["garbled"] = b"{"
    for number, key in enumerate(("gone", "garbled", "foreign")):
        changes = {"key": key, "batch_id": f"1-{number}", "token": f"t{number}"}
        yard.die(first.model_copy(update=changes))
    assert [(letter.ending, letter.attempts) for letter in yard.buried()] == [
        (Ending.BURIED, 0)
    ] * 3
    assert yard.outcomes() == {}
    assert yard.spine.workflow.answered == ["t0", "t1", "t2"]
    assert yard.spine.settle(yard.run_id, 1).batches > 0


@pytest.mark.parametrize(
    "body", ["not json", "", "null", "[]", "{}", '{"run_id": 5}', '{"run_id": "r", "to', "\ud800"]
)
def test_an_unreadable_body_is_kept_and_taken_out_of_the_queue(yard: Graveyard, body: str) -> None:
    message_id = yard.letters.put(body)
    assert yard.buried() == [Letter(message_id, Ending.UNREADABLE)]
    assert yard.letters.letters == {}
    kept = yard.spine.artifacts.objects[keys.dead_letter_key(message_id)]
    assert kept == body.encode(errors="replace")


def test_the_token_of_half_a_message_is_not_kept(yard: Graveyard) -> None:
    whole = yard.messages[0].model_dump_json()
    message_id = yard.letters.put(whole.replace('"run_id"', '"other"').replace(":", " : "))
    yard.buried()
    kept = yard.spine.artifacts.objects[keys.dead_letter_key(message_id)]
    assert b'"token" : "..."' in kept
    assert yard.messages[0].token.encode() not in kept


@pytest.mark.parametrize("body", ['{"token": "bait', '{"token": "bait"}', '{"run_id": ["bait"]}'])
def test_what_is_wrong_with_a_message_is_told_without_its_content(body: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LaunchMessage.model_validate_json(body)
    assert "bait" not in str(caught.value)


def test_a_letter_that_cannot_be_buried_keeps_no_other_waiting(
    yard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    [message] = yard.messages
    yard.die(message)
    yard.letters.put("not json")

    def failing(*_: object) -> object:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(yard.spine.runs, "claim_batch", failing)
        first, second = yard.buried()
    assert (first.ending, first.reason) == (Ending.FAILED, "ConnectionError: ")
    assert second.ending is Ending.UNREADABLE
    assert [letter.ending for letter in yard.buried()] == [Ending.BURIED]


def test_what_a_sweep_has_no_time_for_stays_in_the_queue(yard: Graveyard) -> None:
    for _ in range(15):
        yard.letters.put("not json")
    seconds = iter([300.0, 300.0, 200.0, 10.0])
    assert len(list(yard.bury(lambda: next(seconds)))) == 2
    assert len(yard.letters.letters) == 13
    assert len(yard.buried()) == 13

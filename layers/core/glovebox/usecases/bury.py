"""Dead launch messages: what they asked for gets a result, so that the run goes on and ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.errors import NotFound, SourceError, StoreConflict
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Batch, Group
from glovebox.ports import (
    Artifacts,
    Claim,
    Clock,
    DeadLetter,
    DeadLetters,
    NewToken,
    Runs,
    Workflow,
)
from glovebox.usecases.launch import BATCH_LIMIT_BYTES, LaunchMessage

LEASE_SECONDS = 60
"""How long a batch is ours while its letter is buried: two writes a group and an answer."""
LETTER_SECONDS = 30
"""Kept back for a letter."""
GIVEN_UP = "undelivered: its launch message failed every time, and was given up"
_TOKEN = re.compile(r'("token"\s*:\s*")[^"]*')


class Ending(StrEnum):
    """What became of a letter."""

    BURIED = "buried"
    """Its attempts are recorded as errored, and its task is answered."""
    STALE = "stale"
    """Nobody waits for it: the run or its round is over, or the batch was driven meanwhile."""
    HELD = "held"
    """A launcher drives its batch: left in the queue, for the next sweep."""
    UNREADABLE = "unreadable"
    """No launch message at all: kept in the data bucket."""
    FAILED = "failed"
    """It could not be buried: left in the queue, for the next sweep."""


@dataclass(frozen=True)
class Letter:
    """What became of a letter, and of whose batch it was."""

    message_id: str
    ending: Ending
    run_id: str | None = None
    batch_id: str | None = None
    attempts: int = 0
    """Attempts that it gave a result."""
    reason: str | None = None
    """Why it could not be buried."""


@dataclass
class BuryDeadLetters:
    """Empties the dead-letter queue. No recorded outcome changes, however often a letter comes."""

    letters: DeadLetters
    runs: Runs
    artifacts: Artifacts
    workflow: Workflow
    clock: Clock
    new_token: NewToken

    def __call__(self, seconds_left: Callable[[], float]) -> Iterator[Letter]:
        """Bury letter by letter, at most for the seconds left; what is left stays in the queue."""
        while seconds_left() >= LETTER_SECONDS and (received := self.letters.receive()):
            for letter in received:
                if seconds_left() < LETTER_SECONDS:
                    return
                yield self._try(letter)

    def _try(self, letter: DeadLetter) -> Letter:
        try:
            buried = self._bury(letter)
            if buried.ending is not Ending.HELD:
                self.letters.remove(letter)
        except Exception as error:
            # Whatever it was about this letter, the others are not to wait behind it for ever.
            reason = f"{type(error).__name__}: {error}"[:300]
            return Letter(letter.message_id, Ending.FAILED, reason=reason)
        return buried

    def _bury(self, letter: DeadLetter) -> Letter:
        try:
            message = LaunchMessage.model_validate_json(letter.body)
        except ValidationError:
            self._keep(letter)
            return Letter(letter.message_id, Ending.UNREADABLE)
        ending, attempts = self._settle(message)
        return Letter(letter.message_id, ending, message.run_id, message.batch_id, attempts)

    def _keep(self, letter: DeadLetter) -> None:
        # It may be half a launch message: a task's token is to be kept nowhere.
        body = _TOKEN.sub(r"\1...", letter.body)
        self.artifacts.put(
            keys.dead_letter_key(letter.message_id),
            body.encode(errors="replace"),
            "text/plain; charset=utf-8",
        )

    def _settle(self, message: LaunchMessage) -> tuple[Ending, int]:
        if not self._is_awaited(message):
            return Ending.STALE, 0
        owner = self.new_token()
        where = (message.run_id, message.batch_id, owner)
        claim = self.runs.claim_batch(*where, LEASE_SECONDS, message.turn)
        if claim is Claim.HELD:
            return Ending.HELD, 0
        attempts = 0
        if claim is Claim.OURS:
            attempts = self._record(message)
            self.runs.finish_batch(*where)
        self.workflow.succeed(message.token)
        return (Ending.BURIED if claim is Claim.OURS else Ending.STALE), attempts

    def _is_awaited(self, message: LaunchMessage) -> bool:
        try:
            run = self.runs.run(message.run_id)
        except NotFound:
            return False
        # A round that was settled without this batch has asked for its attempts again: to record
        # them here would take them from a launcher that can still make them.
        return not run.is_finished and self.workflow.heartbeat(message.token)

    def _record(self, message: LaunchMessage) -> int:
        """Give a result to every attempt that the letter asked for and that has no row; how many.

        What has a row was begun: it has its outcome, or is closed as lost with its round.
        """
        batch = self._batch(message)
        if batch is None:
            return 0  # it cannot be told what it asked for: the next round asks again
        known = {(a.key, a.number) for a in self.runs.attempts(message.run_id)}
        recorded = 0
        for index, group in enumerate(batch.groups):
            if message.left is not None and index not in message.left:
                continue  # an earlier turn was through with it
            attempts = [
                attempt
                for attempt in self._errored(batch, group)
                if (attempt.key, attempt.number) not in known
            ]
            if not attempts:
                continue
            try:
                self.runs.open_attempts(attempts)
            except StoreConflict:
                continue  # begun this very moment, by a launcher that is not so dead
            recorded += len(attempts)
        return recorded

    def _batch(self, message: LaunchMessage) -> Batch | None:
        try:
            content = self.artifacts.get(message.key, limit=BATCH_LIMIT_BYTES)
            batch = Batch.model_validate_json(content)
        except (NotFound, SourceError, ValidationError):
            return None
        ours = (batch.run_id, batch.batch_id) == (message.run_id, message.batch_id)
        return batch if ours else None

    def _errored(self, batch: Batch, group: Group) -> list[Attempt]:
        """The group's attempts, as ended as they will ever be: in one write, begun and closed."""
        return [
            Attempt(
                run_id=batch.run_id,
                suite=group.suite,
                test_id=planned.test_id,
                key=planned.key,
                number=planned.number,
                round=batch.round,
                state=AttemptState.FINISHED,
                outcome=Outcome.ERRORED,
                fault=Fault.UNDELIVERED,
                message=GIVEN_UP,
                changed_at=self.clock.now(),
            )
            for planned in group.attempts
        ]

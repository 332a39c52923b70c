"""Drive one batch: the work behind one launch message.

Claim the batch, attempt its groups side by side, answer the task token. What does not fit this
launcher's time is handed on: the same batch goes back to the queue with the same token, and the
next turn goes on with the sandboxes that the ledger names. Whatever is not attempted when this
ends otherwise (crash, provider gone) is found missing when the round is settled, and attempted
in the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.outcome import StopReason
from glovebox.domain.plan import Batch, Group
from glovebox.domain.schema_version import SchemaVersion
from glovebox.ports import (
    Artifacts,
    Claim,
    Clock,
    LaunchQueue,
    NewToken,
    Pace,
    Runs,
    Sandboxes,
    Secrets,
    Workflow,
)
from glovebox.usecases.attempt import AttemptGroup
from glovebox.usecases.creations import CreationTally
from glovebox.usecases.lanes import Lanes, Work
from glovebox.usecases.pacing import PacedSandboxes
from glovebox.usecases.secrets import BatchSecrets
from glovebox.usecases.watch import RunWatch

BATCH_LIMIT_BYTES = 64 * 1024 * 1024
"""A suite of 5 000 tests with ids of 2 KiB, all in one sandbox, is 10 MB."""
BUNDLE_LIMIT_BYTES = 200 * 1024 * 1024
HEARTBEAT_SECONDS = 20
"""How often a launcher says that its batch is alive; a third of what the Map waits."""
HAND_ON_SECONDS = 75
"""Kept back at the end of a launcher's time: a request under way may overrun its patience by
half a minute, a creation takes up to another, and the rest is to record and to hand on."""
HAND_ON_SHARE = 0.25
"""Of a short time, what is kept back instead."""
BEGIN_SECONDS = 60
"""What must be left before that for a group to be begun: creation and upload, at worst, take this
and what is kept back."""
BEGIN_SHARE = 0.1
"""Of a short time, what must be left instead."""
LONGEST_WAIT_SECONDS = 45
"""Before a batch is tried again for which the provider asked to wait. Nobody says meanwhile that
it is alive, and the Map gives up after 120 s."""
MAX_WAITS = 15
"""In a row without any progress; then the next round is to try."""


class LaunchMessage(BaseModel):
    """The body of a launch message: the state machine writes the first turn's."""

    # A body that cannot be read may hold a token, which belongs into no log.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    schema_version: SchemaVersion = 1
    run_id: str
    batch_id: str
    key: str
    token: str
    turn: int = 0
    """How often the batch was handed on."""
    left: tuple[int, ...] | None = None
    """From the second turn on: places in the batch of the groups that are not at their end."""
    running: tuple[int, ...] = ()
    """Those of them that run, in sandboxes that the ledger names."""
    waits: int = 0
    """Turns in a row that ended because the provider asked to wait."""


@dataclass
class LaunchBatch:
    """Drives a batch to its end, or hands it on."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    workflow: Workflow
    queue: LaunchQueue
    clock: Clock
    new_token: NewToken
    pace: Pace
    secrets: Secrets
    tally: CreationTally = field(default_factory=CreationTally)
    _bundles: dict[str, bytes] = field(default_factory=dict)
    _bundle_lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(
        self, message: LaunchMessage, seconds_left: Callable[[], float]
    ) -> LaunchMessage | None:
        """Drive the batch, at most for the seconds left. Safe to call any number of times.

        Returns the message of the turn that it was handed on to, None where it ended here.
        """
        owner = self.new_token()
        where = (message.run_id, message.batch_id, owner)
        claim = self.runs.claim_batch(*where, seconds_left(), message.turn)
        if claim is Claim.HELD:
            return None
        if claim is Claim.OURS:
            try:
                handed_on = self._drive(message, seconds_left)
            except Exception:
                self.runs.release_batch(*where)
                raise
            if handed_on is not None:
                return handed_on  # the last turn answers
            self.runs.finish_batch(*where)
        self.workflow.succeed(message.token)
        return None

    def _drive(
        self, message: LaunchMessage, seconds_left: Callable[[], float]
    ) -> LaunchMessage | None:
        if not self.workflow.heartbeat(message.token):
            return None  # the round was settled without this batch
        time = seconds_left()
        kept_back = min(HAND_ON_SECONDS, HAND_ON_SHARE * time)
        batch = Batch.model_validate_json(self.artifacts.get(message.key, limit=BATCH_LIMIT_BYTES))
        watch = RunWatch(self.runs, self.clock, batch.run_id, batch.deadline_at)
        watch.beat = _Beat(self.workflow, self.clock, message.token)
        work = self._work(batch, message)
        paced = PacedSandboxes(
            self.sandboxes,
            self.pace,
            self.clock,
            # Of the batch, not of this turn: the next one takes over the places.
            owner=f"{batch.run_id}/{batch.batch_id}",
            wanted=batch.width,
            expected=sum(each.begun is None for each in work),
            stopped=watch.stopped,
            patience=lambda: seconds_left() - kept_back,
            tally=self.tally,
        )
        attempt = AttemptGroup(
            paced,
            self.runs,
            self.artifacts,
            self.clock,
            self.new_token,
            watch.stopped,
            watch.run_stopped,
            lambda: self._bundle(batch.bundle_key),
            BatchSecrets(self.secrets, batch.secrets),
            lambda: seconds_left() - kept_back,
            may_wait=message.waits < MAX_WAITS,
        )
        watch.on_stop = attempt.kill_live
        watch.look()
        to_begin = min(BEGIN_SECONDS, BEGIN_SHARE * time)
        lanes = Lanes(batch, work, attempt, watch.stopped, self._fail_fast(batch, watch), to_begin)
        with paced:
            with watch:
                lanes.run()
            if watch.stopped():
                for index in {*lanes.running, *message.running}:
                    self._abandon(batch.groups[index], batch.run_id, attempt)
                return None
        return self._hand_on(message, lanes)

    def _fail_fast(self, batch: Batch, watch: RunWatch) -> Callable[[], None]:
        def stop() -> None:
            self.runs.request_stop(batch.run_id, StopReason.FAIL_FAST)
            watch.look()

        return stop

    def _work(self, batch: Batch, message: LaunchMessage) -> list[Work]:
        """What is left of the batch, what runs already first."""
        left = range(len(batch.groups)) if message.left is None else message.left
        running = set(message.running)
        work = []
        for index in sorted(left, key=lambda index: (index not in running, index)):
            group = batch.groups[index]
            begun = self._begun(batch.run_id, group) if index in running else None
            if index in running and begun is None:
                continue  # it has come to its end meanwhile
            work.append(Work(index, group, begun))
        return work

    def _begun(self, run_id: str, group: Group) -> Attempt | None:
        first = group.attempts[0]
        attempts = self.runs.attempts_of_test(run_id, first.key)
        return next(
            (a for a in attempts if a.number == first.number and a.state is AttemptState.RUNNING),
            None,
        )

    def _abandon(self, group: Group, run_id: str, attempt: AttemptGroup) -> None:
        begun = self._begun(run_id, group)
        if begun is not None:
            attempt.abandon(group, begun)

    def _hand_on(self, message: LaunchMessage, lanes: Lanes) -> LaunchMessage | None:
        if not lanes.left:
            return None
        wait = lanes.wait_seconds
        waits = message.waits + 1 if wait is not None and not lanes.any_progress else 0
        following = message.model_copy(
            update={
                "turn": message.turn + 1,
                "left": tuple(lanes.left),
                "running": tuple(lanes.running),
                "waits": waits,
            }
        )
        self.workflow.heartbeat(message.token)
        delay = int(min(wait or 0, LONGEST_WAIT_SECONDS))
        self.queue.send(following.model_dump_json(), delay_seconds=delay)
        return following

    def _bundle(self, key: str) -> bytes:
        """The run's bundle; the last one is kept, since a warm launcher meets it again."""
        with self._bundle_lock:
            if key not in self._bundles:
                content = self.artifacts.get(key, limit=BUNDLE_LIMIT_BYTES)
                self._bundles.clear()
                self._bundles[key] = content
            return self._bundles[key]


class _Beat:
    """Says now and then that a batch is alive."""

    def __init__(self, workflow: Workflow, clock: Clock, token: str) -> None:
        self._workflow, self._clock, self._token = workflow, clock, token
        self._due_at = clock.monotonic() + HEARTBEAT_SECONDS

    def __call__(self) -> bool:
        if self._clock.monotonic() < self._due_at:
            return True
        self._due_at = self._clock.monotonic() + HEARTBEAT_SECONDS
        return self._workflow.heartbeat(self._token)

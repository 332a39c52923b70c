"""Drive one batch: the work behind one launch message.

Claim the batch, attempt its groups side by side, answer the task token. Whatever is not
attempted when this ends (crash, stop, provider gone, no time left) is found missing when the
round is settled, and attempted in the next one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from glovebox.domain.errors import NotFound, SandboxRefused, StoreConflict
from glovebox.domain.outcome import StopReason
from glovebox.domain.plan import Batch, Group, group_seconds
from glovebox.ports import Artifacts, Claim, Clock, NewToken, Pace, Runs, Sandboxes, Workflow
from glovebox.usecases.attempt import AttemptGroup
from glovebox.usecases.pacing import PacedSandboxes

BATCH_LIMIT_BYTES = 8 * 1024 * 1024
BUNDLE_LIMIT_BYTES = 200 * 1024 * 1024
CONTROL_SECONDS = 1.0
"""How often a launcher looks whether its run was stopped."""
HEARTBEAT_SECONDS = 20
"""How often a launcher says that its batch is alive; a third of what the Map waits."""
PROVIDER_PATIENCE = 3
"""Groups in a row without a sandbox before the rest of the batch is left to the next round."""
ANSWER_SECONDS = 10
"""Kept back at the end of a launcher's time, to record and to answer."""


class LaunchMessage(BaseModel):
    """The body of a launch message, as the state machine writes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = 1
    run_id: str
    batch_id: str
    key: str
    token: str


@dataclass
class LaunchBatch:
    """Drives a batch to its end."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    workflow: Workflow
    clock: Clock
    new_token: NewToken
    pace: Pace
    _bundles: dict[str, bytes] = field(default_factory=dict)
    _bundle_lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, message: LaunchMessage, seconds_left: Callable[[], float]) -> None:
        """Drive the batch, at most for the seconds left. Safe to call any number of times."""
        owner = self.new_token()
        lease = seconds_left()
        claim = self.runs.claim_batch(message.run_id, message.batch_id, owner, lease)
        if claim is Claim.HELD:
            return
        if claim is Claim.OURS:
            self._drive(message, seconds_left)
            self.runs.finish_batch(message.run_id, message.batch_id, owner)
        self.workflow.succeed(message.token)

    def _drive(self, message: LaunchMessage, seconds_left: Callable[[], float]) -> None:
        batch = Batch.model_validate_json(self.artifacts.get(message.key, limit=BATCH_LIMIT_BYTES))
        watch = _Watch(self.runs, self.workflow, self.clock, batch, message.token)
        if watch.look():
            return  # stopped before it began: the account is made without these attempts
        paced = self._paced(batch, watch, seconds_left)
        attempt = AttemptGroup(
            paced,
            self.runs,
            self.artifacts,
            self.clock,
            self.new_token,
            watch.stopped,
            lambda: self._bundle(batch.bundle_key),
        )
        watch.on_stop = attempt.kill_live
        lanes = _Lanes(batch, attempt, seconds_left, watch)
        with paced, watch, ThreadPoolExecutor(batch.width, thread_name_prefix="lane") as pool:
            for done in [pool.submit(lanes.run) for _ in range(batch.width)]:
                done.result()
        if lanes.failed and batch.fail_fast:
            self.runs.request_stop(batch.run_id, StopReason.FAIL_FAST)

    def _paced(
        self, batch: Batch, watch: _Watch, seconds_left: Callable[[], float]
    ) -> PacedSandboxes:
        longest = max(group_seconds(group, batch.suites[group.suite]) for group in batch.groups)
        return PacedSandboxes(
            self.sandboxes,
            self.pace,
            self.clock,
            owner=f"{batch.run_id}/{batch.batch_id}",
            wanted=batch.width,
            expected=len(batch.groups),
            stopped=watch.stopped,
            patience=lambda: seconds_left() - longest - ANSWER_SECONDS,
        )

    def _bundle(self, key: str) -> bytes:
        """The run's bundle; the last one is kept, since a warm launcher meets it again."""
        with self._bundle_lock:
            if key not in self._bundles:
                content = self.artifacts.get(key, limit=BUNDLE_LIMIT_BYTES)
                self._bundles.clear()
                self._bundles[key] = content
            return self._bundles[key]


class _Watch:
    """Looks, beside the work, whether the run was stopped, and keeps the token alive."""

    def __init__(
        self, runs: Runs, workflow: Workflow, clock: Clock, batch: Batch, token: str
    ) -> None:
        self._runs, self._workflow, self._clock = runs, workflow, clock
        self._batch, self._token = batch, token
        self.on_stop: Callable[[], None] = lambda: None
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def stopped(self) -> bool:
        """Whether no further step should be taken for this run."""
        return self._stopped.is_set()

    def look(self) -> bool:
        """Look now. A run that has vanished is treated as stopped."""
        batch = self._batch
        try:
            run = self._runs.run(batch.run_id)
            if self._clock.now() >= batch.deadline_at and run.stop_reason is None:
                run = self._runs.request_stop(batch.run_id, StopReason.TIMED_OUT)
            if run.is_finished or run.stop_reason is not None:
                self._stopped.set()
        except NotFound:
            self._stopped.set()
        return self.stopped()

    def _watch(self) -> None:
        beat_at = self._clock.monotonic() + HEARTBEAT_SECONDS
        while not self._over.wait(CONTROL_SECONDS):
            if self.look():
                # Again at every turn: a sandbox may have been on its way just now.
                self.on_stop()
            if self._clock.monotonic() >= beat_at:
                beat_at += HEARTBEAT_SECONDS
                if not self._workflow.heartbeat(self._token):
                    # Nobody waits for this batch any more: the round was settled without it.
                    self._stopped.set()

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class _Lanes:
    """The batch's groups, taken one at a time by each of its lanes."""

    def __init__(
        self,
        batch: Batch,
        attempt: AttemptGroup,
        seconds_left: Callable[[], float],
        watch: _Watch,
    ) -> None:
        self._batch, self._attempt = batch, attempt
        self._seconds_left, self._watch = seconds_left, watch
        self._waiting = deque(batch.groups)
        self._lock = threading.Lock()
        self._without_sandbox = 0
        self.failed = False

    def run(self) -> None:
        """Attempt groups until there is none left, or no reason to go on."""
        while (group := self._next()) is not None:
            try:
                ending = self._attempt(self._batch, group)
            except StoreConflict:
                continue  # attempted by an earlier delivery of this batch
            with self._lock:
                self.failed |= ending.any_failed
                if ending.provider_fault is None:
                    self._without_sandbox = 0
                else:
                    self._without_sandbox += 1
                refused = isinstance(ending.provider_fault, SandboxRefused)
                if refused or self._without_sandbox >= PROVIDER_PATIENCE:
                    self._waiting.clear()

    def _next(self) -> Group | None:
        with self._lock:
            if not self._waiting or self._watch.stopped():
                return None
            if self.failed and self._batch.fail_fast:
                return None
            needed = group_seconds(self._waiting[0], self._batch.suites[self._waiting[0].suite])
            if self._seconds_left() < needed + ANSWER_SECONDS:
                return None
            return self._waiting.popleft()

"""One group in one fresh sandbox: claim, run, judge, record, kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from glovebox.domain.attempt import Attempt, Fault
from glovebox.domain.errors import (
    SandboxError,
    SandboxLost,
    SandboxRefused,
    SandboxUnavailable,
    SecretError,
    SecretRefused,
    SecretUnavailable,
)
from glovebox.domain.evidence import Evidence, Verdict, judge
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Batch, Group, group_limit_seconds
from glovebox.frameworks.registry import framework_of
from glovebox.ports import Artifacts, Clock, NewToken, Runs, Sandbox, Sandboxes, SandboxRequest
from glovebox.usecases.closing import Closing
from glovebox.usecases.environment import attempt_env
from glovebox.usecases.process import (
    GRACE_SECONDS,
    Process,
    Waiting,
    await_process,
    deliver,
)
from glovebox.usecases.secrets import BatchSecrets

TTL_MARGIN_SECONDS = 120
"""A sandbox outlives its test by this at most, if nobody comes to kill it."""
CREATE_BACKOFF_SECONDS = (0.5, 1.5)
MAX_STRAYS = 1
"""Sandboxes that may have been made without our hearing of it, before a group is left for later."""
SHORT_WAIT_SECONDS = 5.0
"""How long a provider's wish to wait is followed on the spot; a longer one lets others go first."""
ATTACH_WAIT_SECONDS = 15.0
"""Before a sandbox that runs on is looked for again, where the provider did not answer."""


@dataclass(frozen=True)
class GroupEnding:
    """What became of a group."""

    any_failed: bool = False
    provider_fault: SandboxError | None = None
    """Set where no sandbox could be had; recorded as the attempts' outcome."""
    wait_seconds: float | None = None
    """Set where the provider asks to wait: nothing is recorded, the group is to come again."""
    still_running: bool = False
    """Whether its process runs on, and the group must be gone on with."""


@dataclass(frozen=True)
class AttemptGroup:
    """Attempts a group. Thread-safe as far as its ports are."""

    sandboxes: Sandboxes
    runs: Runs
    artifacts: Artifacts
    clock: Clock
    new_token: NewToken
    stopped: Callable[[], bool]
    """Whether the run was stopped: asked before every step that costs."""
    run_stopped: Callable[[], bool]
    """Whether that is because the run itself was: then what is cut short is cancelled, not lost."""
    bundle: Callable[[], bytes]
    """The run's bundle, for sandboxes of an image that does not hold it."""
    secrets: BatchSecrets
    patience: Callable[[], float] = lambda: math.inf
    """Seconds that the caller has left for waiting."""
    may_wait: bool = False
    """Whether a group for which the provider asks to wait will come again."""
    _live: set[str] = field(default_factory=set)

    @property
    def closing(self) -> Closing:
        """How its attempts are closed."""
        return Closing(self.artifacts, self.clock, self.secrets.redactor)

    def kill_live(self) -> None:
        """End the sandboxes of all groups under way; their attempts then end as cancelled."""
        for sandbox_id in tuple(self._live):
            self._kill(sandbox_id)

    def __call__(self, batch: Batch, group: Group, begun: Attempt | None = None) -> GroupEnding:
        """Attempt every test of the group once and record it before returning.

        `begun` is the group's first attempt where an earlier turn started it: then it is gone on
        with in its sandbox. Raises StoreConflict where somebody else attempts the group.
        """
        if begun is not None:
            return self._go_on(batch, group, begun)
        limit = self._limit_seconds(batch, group)
        started_at = self.clock.now()
        began = self.clock.monotonic()
        try:
            self.secrets.values()  # first: without them there is to be no sandbox
            sandbox, bundle = self._create(batch, limit)
        except SecretError as error:
            self._record_no_sandbox(batch, group, started_at, error)
            return GroupEnding()
        except SandboxUnavailable as error:
            if self.may_wait and error.retry_after_seconds is not None:
                return GroupEnding(wait_seconds=error.retry_after_seconds)
            self._record_no_sandbox(batch, group, started_at, error)
            return GroupEnding(provider_fault=error)
        except SandboxError as error:
            self._record_no_sandbox(batch, group, started_at, error)
            return GroupEnding(provider_fault=error)
        first = Attempt(
            run_id=batch.run_id,
            suite=group.suite,
            test_id=group.attempts[0].test_id,
            key=group.attempts[0].key,
            number=group.attempts[0].number,
            round=batch.round,
            sandbox_id=sandbox.sandbox_id,
            started_at=started_at,
            changed_at=self.clock.now(),
            ends_at=self.clock.now() + limit,
            nonce=self.new_token(),
            phases={"create": round(self.clock.monotonic() - began, 4)},
        )
        return self._see_through(batch, group, sandbox, first, bundle)

    def _go_on(self, batch: Batch, group: Group, begun: Attempt) -> GroupEnding:
        """Go on with a group that an earlier turn began, in the sandbox that it runs in."""
        sandbox_id = begun.sandbox_id or ""
        try:
            self.secrets.values()  # unread, they could not be kept out of its log
            sandbox = self.sandboxes.attach(sandbox_id)
        except (SandboxUnavailable, SecretUnavailable) as error:
            if self.may_wait and self.clock.now() < (begun.ends_at or 0.0):
                wish = None if isinstance(error, SecretError) else error.retry_after_seconds
                return GroupEnding(still_running=True, wait_seconds=wish or ATTACH_WAIT_SECONDS)
            return self._give_up(group, begun, error)
        except (SandboxError, SecretError) as error:
            return self._give_up(group, begun, error)
        return self._see_through(batch, group, sandbox, begun, None)

    def abandon(self, group: Group, begun: Attempt) -> None:
        """End a group that runs on, since its run was stopped."""
        self._give_up(group, begun, SandboxLost("ended with its run"))

    def _give_up(
        self, group: Group, begun: Attempt, error: SandboxError | SecretError
    ) -> GroupEnding:
        attempts = _attempts(group, begun)
        self._kill(begun.sandbox_id or "")
        lost = self._lost(error)
        self.runs.close_attempts([self.closing.unheard(a, lost, a.phases) for a in attempts])
        return GroupEnding()

    def _see_through(
        self, batch: Batch, group: Group, sandbox: Sandbox, first: Attempt, bundle: bytes | None
    ) -> GroupEnding:
        """From a sandbox to its end, or to the end of the patience. `bundle` is what is still to
        be unpacked in it; None where its process was started before."""
        attempts = _attempts(group, first)
        self._live.add(sandbox.sandbox_id)
        ended = True
        try:
            if bundle is not None:
                self.runs.open_attempts(attempts)
            closed = self._run(batch, group, sandbox, attempts, bundle)
            if closed is None:
                ended = False
                return GroupEnding(still_running=True)
            self.runs.close_attempts(closed)
        finally:
            self._live.discard(sandbox.sandbox_id)
            if ended:
                self._kill(sandbox.sandbox_id)
        return GroupEnding(
            any_failed=any(a.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for a in closed)
        )

    def _limit_seconds(self, batch: Batch, group: Group) -> float:
        """How long the group's process may take: its own limit, but no longer than the run."""
        limit = group_limit_seconds(len(group.attempts), batch.suites[group.suite])
        return min(limit, max(1.0, batch.deadline_at - self.clock.now()))

    def _create(self, batch: Batch, limit_seconds: float) -> tuple[Sandbox, bytes]:
        """A fresh sandbox, and what is still to be unpacked in it."""
        ttl = int(limit_seconds + GRACE_SECONDS + TTL_MARGIN_SECONDS)
        if batch.baked is not None:
            # An image may be gone again: it is a saving, and the base does as well.
            with suppress(SandboxRefused):
                return self._create_of(batch.baked, batch, ttl), b""
        bundle = self.bundle()  # first: where it cannot be had, there is to be no sandbox either
        return self._create_of(batch.image, batch, ttl), bundle

    def _create_of(self, image: str, batch: Batch, ttl_seconds: int) -> Sandbox:
        request = SandboxRequest(image=image, network=batch.network, ttl_seconds=ttl_seconds)
        strays = 0
        for backoff in (*CREATE_BACKOFF_SECONDS, None):
            try:
                return self.sandboxes.create(request)
            except SandboxUnavailable as error:
                wish = error.retry_after_seconds or 0.0
                strays += error.possibly_created
                if backoff is None or self.stopped() or wish > SHORT_WAIT_SECONDS:
                    raise
                if strays > MAX_STRAYS:
                    raise
                self.clock.sleep(max(backoff, wish))
        raise AssertionError  # the last turn returns or raises

    def _run(
        self,
        batch: Batch,
        group: Group,
        sandbox: Sandbox,
        attempts: Sequence[Attempt],
        bundle: bytes | None,
    ) -> list[Attempt] | None:
        """The attempts with their outcomes; None where the process runs on."""
        suite = batch.suites[group.suite]
        framework = framework_of(suite)
        first = attempts[0]
        nonce = first.nonce or ""
        ends_in = max(1.0, (first.ends_at or 0.0) - self.clock.now())
        process = Process(
            slot="attempt",
            command=framework.run_command(
                suite, group.attempts, batch.contexts.get(group.suite, {})
            ),
            nonce=nonce,
            timeout_seconds=ends_in,
            env=attempt_env(batch, suite, group.attempts, self.secrets.values()),
            bundle=bundle or b"",
        )
        phases = dict(first.phases)
        began = self.clock.monotonic()
        try:
            if bundle is not None:
                deliver(sandbox, process)
            waiting = Waiting(ends_in, self.patience, may_start=bundle is not None)
            evidence = await_process(sandbox, process, self.clock, waiting)
        except SandboxError as error:
            phases["run"] = self.clock.monotonic() - began
            lost = self._lost(error)
            return [self.closing.unheard(a, lost, phases) for a in attempts]
        if evidence is None:
            return None
        answered = self.clock.monotonic() - began
        phases["run"] = evidence.duration_seconds or answered
        if bundle is not None:
            phases["run"] = min(phases["run"], answered)
            phases["deliver"] = answered - phases["run"]
        record = framework.read_record(suite, group.attempts, evidence)
        verdicts = judge([a.test_id for a in attempts], nonce, evidence, record)
        return self._closed_by(verdicts, batch, attempts, evidence, phases)

    def _lost(self, error: SandboxError | SecretError) -> Verdict:
        if self.run_stopped():
            return Verdict(Outcome.CANCELLED, "the run was stopped")
        return Verdict(Outcome.ERRORED, f"sandbox lost: {error}", Fault.LOST)

    def _closed_by(
        self,
        verdicts: Mapping[str, Verdict],
        batch: Batch,
        attempts: Sequence[Attempt],
        evidence: Evidence,
        phases: dict[str, float],
    ) -> list[Attempt]:
        if evidence.timed_out and self.clock.now() >= batch.deadline_at:
            # The run's time was over, not the test's.
            verdicts = {
                test_id: Verdict(Outcome.CANCELLED, "the run's time was over")
                if verdict.outcome is Outcome.TIMED_OUT
                else verdict
                for test_id, verdict in verdicts.items()
            }
        if self.run_stopped():
            verdicts = {
                test_id: Verdict(Outcome.CANCELLED, "the run was stopped")
                if verdict.outcome is Outcome.ERRORED
                else verdict
                for test_id, verdict in verdicts.items()
            }
        return self.closing.judged(attempts, verdicts, evidence, phases)

    def _record_no_sandbox(
        self, batch: Batch, group: Group, started_at: float, error: SandboxError | SecretError
    ) -> None:
        """Part of the account as well: which attempts had no sandbox, and why."""
        if not self.stopped():
            verdict = Verdict(Outcome.ERRORED, f"no sandbox: {error}", _fault(error))
            planned = group.attempts[0]
            first = Attempt(
                run_id=batch.run_id,
                suite=group.suite,
                test_id=planned.test_id,
                key=planned.key,
                number=planned.number,
                round=batch.round,
                started_at=started_at,
                changed_at=self.clock.now(),
            )
            attempts = _attempts(group, first)
            self.runs.open_attempts(attempts)
            self.runs.close_attempts([self.closing.unheard(a, verdict, {}) for a in attempts])

    def _kill(self, sandbox_id: str) -> None:
        # Where all of the provider's tries fail, the TTL ends it, and the sweeper knows it.
        with suppress(SandboxError):
            self.sandboxes.kill(sandbox_id)


def _fault(error: SandboxError | SecretError) -> Fault:
    if isinstance(error, SecretRefused):
        return Fault.CONFIGURATION
    return Fault.REFUSED if isinstance(error, SandboxRefused) else Fault.UNAVAILABLE


def _attempts(group: Group, first: Attempt) -> list[Attempt]:
    """The attempts of a group, which differ from its first in the test and the number only."""
    return [
        first.model_copy(
            update={"test_id": planned.test_id, "key": planned.key, "number": planned.number}
        )
        for planned in group.attempts
    ]

"""One group in one fresh sandbox: claim, run, judge, record, kill."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.errors import SandboxError, SandboxRefused, SandboxUnavailable
from glovebox.domain.evidence import Evidence, Verdict, judge
from glovebox.domain.log import INLINE_LOG_BYTES, Log
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Batch, Group, PlannedAttempt, group_limit_seconds
from glovebox.frameworks.registry import framework_of
from glovebox.ports import Artifacts, Clock, NewToken, Runs, Sandbox, Sandboxes, SandboxRequest
from glovebox.usecases.process import GRACE_SECONDS, HOME_FOLDER, Process, run_process

TTL_MARGIN_SECONDS = 120
"""A sandbox outlives its test by this at most, if nobody comes to kill it."""
KILL_TRIES = 2
CREATE_BACKOFF_SECONDS = (0.5, 1.5)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class GroupEnding:
    """What became of a group."""

    any_failed: bool = False
    provider_fault: SandboxError | None = None
    """Set where no sandbox could be had."""


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
    bundle: Callable[[], bytes]
    """The run's bundle, for sandboxes of an image that does not hold it."""
    _live: set[str] = field(default_factory=set)

    def kill_live(self) -> None:
        """End the sandboxes of all groups under way; their attempts then end as cancelled."""
        for sandbox_id in tuple(self._live):
            self._kill(sandbox_id)

    def __call__(self, batch: Batch, group: Group) -> GroupEnding:
        """Attempt every test of the group once and record it before returning.

        Raises StoreConflict where somebody else attempts the group: then nothing was run.
        """
        suite = batch.suites[group.suite]
        started_at = self.clock.now()
        began = self.clock.monotonic()
        try:
            sandbox, bundle = self._create(batch, suite, group)
        except SandboxError as error:
            self._record_no_sandbox(batch, group, started_at, error)
            return GroupEnding(provider_fault=error)
        created = self.clock.monotonic()
        self._live.add(sandbox.sandbox_id)
        try:
            attempts = _running(batch, group, sandbox, started_at, self.clock.now())
            self.runs.open_attempts(attempts)
            phases = {"create": created - began}
            closed = self._run(batch, group, sandbox, attempts, phases, bundle)
            self.runs.close_attempts(closed)
        finally:
            self._live.discard(sandbox.sandbox_id)
            self._kill(sandbox.sandbox_id)
        return GroupEnding(
            any_failed=any(a.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) for a in closed)
        )

    def _create(self, batch: Batch, suite: Suite, group: Group) -> tuple[Sandbox, bytes]:
        """A fresh sandbox, and what is still to be unpacked in it."""
        limit = group_limit_seconds(len(group.attempts), suite)
        ttl = int(limit + GRACE_SECONDS + TTL_MARGIN_SECONDS)
        if batch.baked is not None:
            # An image may be gone again: it is a saving, and the base does as well.
            with suppress(SandboxRefused):
                return self._create_of(batch.baked, batch, ttl), b""
        bundle = self.bundle()  # first: where it cannot be had, there is to be no sandbox either
        return self._create_of(batch.image, batch, ttl), bundle

    def _create_of(self, image: str, batch: Batch, ttl_seconds: int) -> Sandbox:
        request = SandboxRequest(image=image, network=batch.network, ttl_seconds=ttl_seconds)
        for backoff in (*CREATE_BACKOFF_SECONDS, None):
            try:
                return self.sandboxes.create(request)
            except SandboxUnavailable as error:
                if backoff is None or self.stopped():
                    raise
                self.clock.sleep(min(max(backoff, error.retry_after_seconds or 0), 30))
        raise AssertionError  # the last turn returns or raises

    def _run(
        self,
        batch: Batch,
        group: Group,
        sandbox: Sandbox,
        attempts: Sequence[Attempt],
        phases: dict[str, float],
        bundle: bytes,
    ) -> list[Attempt]:
        suite = batch.suites[group.suite]
        framework = framework_of(suite)
        nonce = self.new_token()
        limit = min(
            group_limit_seconds(len(group.attempts), suite),
            max(1.0, batch.deadline_at - self.clock.now()),
        )
        context = batch.contexts.get(group.suite, {})
        process = Process(
            slot="attempt",
            command=framework.run_command(suite, group.attempts, context),
            nonce=nonce,
            timeout_seconds=limit,
            env=attempt_env(batch, suite, group.attempts),
            bundle=bundle,
        )
        began = self.clock.monotonic()
        try:
            evidence = run_process(sandbox, process, self.clock)
        except SandboxError as error:
            phases["run"] = self.clock.monotonic() - began
            lost = Verdict(Outcome.ERRORED, f"sandbox lost: {error.reason}", Fault.LOST)
            if self.stopped():
                lost = Verdict(Outcome.CANCELLED, "the run was stopped")
            return [self._closed(a, lost, None, phases) for a in attempts]
        answered = self.clock.monotonic() - began
        phases["run"] = min(evidence.duration_seconds or answered, answered)
        phases["deliver"] = answered - phases["run"]
        record = framework.read_record(suite, group.attempts, evidence)
        verdicts = judge([a.test_id for a in attempts], nonce, evidence, record)
        return self._closed_by(verdicts, batch, attempts, evidence, phases)

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
        if self.stopped():
            verdicts = {
                test_id: Verdict(Outcome.CANCELLED, "the run was stopped")
                if verdict.outcome is Outcome.ERRORED
                else verdict
                for test_id, verdict in verdicts.items()
            }
        log = self._keep_log(attempts[0], evidence)
        return [self._closed(a, verdicts[a.test_id], evidence, phases, log) for a in attempts]

    def _closed(
        self,
        attempt: Attempt,
        verdict: Verdict,
        evidence: Evidence | None,
        phases: Mapping[str, float],
        log: Log | None = None,
    ) -> Attempt:
        return attempt.model_copy(
            update={
                "state": AttemptState.FINISHED,
                "outcome": verdict.outcome,
                "fault": verdict.fault,
                "exit_code": evidence.exit_code if evidence else None,
                "duration_seconds": verdict.duration_seconds
                if verdict.duration_seconds is not None or evidence is None
                else evidence.duration_seconds,
                "phases": {name: round(seconds, 4) for name, seconds in phases.items()},
                "message": verdict.message,
                "log": log,
                "changed_at": self.clock.now(),
            }
        )

    def _keep_log(self, first: Attempt, evidence: Evidence) -> Log:
        """A short log travels in the row; a long one is stored once for the group."""
        text = _CONTROL.sub("\ufffd", evidence.log.decode(errors="replace"))
        facts = {"bytes": evidence.log_bytes, "truncated": evidence.log_truncated}
        if len(text.encode()) <= INLINE_LOG_BYTES:
            return Log(text=text, **facts)
        key = keys.log_key(first.run_id, first.key, first.number)
        self.artifacts.put(key, evidence.log, "text/plain; charset=utf-8")
        return Log(key=key, **facts)

    def _record_no_sandbox(
        self, batch: Batch, group: Group, started_at: float, error: SandboxError
    ) -> None:
        """Part of the account as well: which attempts had no sandbox, and why."""
        if self.stopped():
            return
        fault = Fault.REFUSED if isinstance(error, SandboxRefused) else Fault.UNAVAILABLE
        verdict = Verdict(Outcome.ERRORED, f"no sandbox: {error.reason}", fault)
        attempts = _running(batch, group, None, started_at, self.clock.now())
        self.runs.open_attempts(attempts)
        self.runs.close_attempts([self._closed(a, verdict, None, {}) for a in attempts])

    def _kill(self, sandbox_id: str) -> None:
        for _ in range(KILL_TRIES):
            # Where both tries fail, the TTL ends it, and the sweeper knows it from the ledger.
            with suppress(SandboxError):
                self.sandboxes.kill(sandbox_id)
                return


def _running(
    batch: Batch, group: Group, sandbox: Sandbox | None, started_at: float, now: float
) -> list[Attempt]:
    return [
        Attempt(
            run_id=batch.run_id,
            suite=group.suite,
            test_id=planned.test_id,
            key=planned.key,
            number=planned.number,
            round=batch.round,
            sandbox_id=sandbox.sandbox_id if sandbox else None,
            started_at=started_at,
            changed_at=now,
        )
        for planned in group.attempts
    ]


def attempt_env(batch: Batch, suite: Suite, attempts: Sequence[PlannedAttempt]) -> dict[str, str]:
    """Exactly what a test process sees beside PATH, LANG and the user's name."""
    return {
        "HOME": HOME_FOLDER,
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "CI": "true",
        **batch.env,
        **suite.env,
        "GLOVEBOX": "1",
        "GLOVEBOX_RUN_ID": batch.run_id,
        "GLOVEBOX_ATTEMPT": str(max(attempt.number for attempt in attempts)),
    }

"""One attempt at one test, from the moment its sandbox is known to its outcome."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from glovebox.domain.log import Log
from glovebox.domain.outcome import Outcome


class AttemptState(StrEnum):
    """Whether an attempt still runs. A finished attempt never changes."""

    RUNNING = "running"
    FINISHED = "finished"


class Fault(StrEnum):
    """Why an attempt errored, as far as it decides whether another try makes sense."""

    UNAVAILABLE = "sandbox_unavailable"
    """No sandbox could be had."""
    LOST = "sandbox_lost"
    """The sandbox, or whoever drove the attempt, vanished."""
    REFUSED = "sandbox_refused"
    """The provider refuses for good: wrong key, exhausted quota, unknown image."""
    CONFIGURATION = "configuration"
    """A secret that the manifest names is missing or may not be read: somebody must act."""
    EVIDENCE = "bad_evidence"
    """The process ended, and left no proof that counts: no result, wrong nonce, contradiction."""
    UNDELIVERED = "undelivered"
    """The launch message that asked for it failed every time, and no attempt was begun. Final:
    what fails five times in a row, each time in another process, fails in the next round too."""
    COLLECTION = "collection"
    """The framework could not even load the test."""

    @property
    def is_infrastructure(self) -> bool:
        """Whether a further attempt is ours to pay for, apart from the user's retries."""
        return self in (Fault.UNAVAILABLE, Fault.LOST, Fault.EVIDENCE)


class Attempt(BaseModel):
    """One attempt. Identity is (run, test key, number); everything else is what happened."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    run_id: str
    suite: str
    test_id: str
    key: str
    """The test's key within the run (`keys.test_key`)."""
    number: int = Field(ge=1)
    """1 for the first attempt at the test."""
    round: int = Field(ge=1)
    """The round of the plan that asked for it."""
    state: AttemptState = AttemptState.RUNNING
    outcome: Outcome | None = None
    """Set exactly when the state is finished."""
    fault: Fault | None = None
    """Set exactly when the outcome is errored."""
    exit_code: int | None = None
    """Of the test process; None where it was not learnt."""
    sandbox_id: str | None = None
    started_at: float | None = None
    """When its sandbox was asked for, seconds since the epoch."""
    ends_at: float | None = None
    """While it runs: when its process is stopped at the latest, seconds since the epoch."""
    nonce: str | None = None
    """While it runs: the word that its answer must carry, for whoever goes on with it."""
    changed_at: float = 0.0
    """When this row was last written, seconds since the epoch."""
    duration_seconds: float | None = None
    """What the framework measured for the test; for a command, the process's own time."""
    phases: dict[str, float] = Field(default_factory=dict)
    """Seconds per phase of the sandbox: create, run, deliver."""
    message: str | None = None
    """Why it did not pass, bounded."""
    log: Log | None = None

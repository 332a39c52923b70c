"""A run, as the ledger keeps it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from glovebox.domain.caller import STACK_OWNER
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import Conclusion, RunState, StopReason


class Origin(BaseModel):
    """The version of an object that a run's manifest was, where it came through the S3 door."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    bucket: str
    key: str
    version: str | None
    """None where the bucket keeps no versions."""


class Run(BaseModel):
    """One run of one manifest. Times are seconds since the epoch."""

    # Extra fields stay: a function of the release before rewrites rows of the one after.
    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    run_id: str
    name: str
    state: RunState = RunState.ACCEPTED
    conclusion: Conclusion | None = None
    """Set exactly when the state is finished."""
    message: str | None = None
    """Why the run ended as it did, where its tests do not say."""
    door: str
    """Which door it came through: `s3` or `api`."""
    origin: Origin | None = None
    """Which object the manifest was; None for other doors than S3."""
    owner: str = STACK_OWNER
    """Who may see and stop it: a caller of the API, or `stack` for every caller."""
    rerun_of: str | None = None
    """The run whose tests this one repeats."""
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    deadline_at: float | None = None
    """When the manifest's timeout is over."""
    parallelism_asked: int
    parallelism: int | None = None
    """Sandboxes at once, after the stack's own limit."""
    total: int | None = None
    """Tests of the plan."""
    summary: dict[str, int] | None = None
    """The report's counts, once finished."""
    stop_reason: StopReason | None = None
    """Why no further attempt is launched."""
    schema_version: int = 1

    @property
    def listed_at(self) -> str:
        """Where it stands among its owner's: sorts as text by creation, and is its alone."""
        return f"{to_timestamp(self.created_at)}#{self.run_id}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing of this run can change any more."""
        return self.state is RunState.FINISHED

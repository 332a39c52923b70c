"""What a test process sees of us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glovebox.domain.manifest import Suite
from glovebox.domain.plan import Batch, PlannedAttempt
from glovebox.usecases.process import HOME_FOLDER


def attempt_env(
    batch: Batch, suite: Suite, attempts: Sequence[PlannedAttempt], secrets: Mapping[str, str]
) -> dict[str, str]:
    """Exactly what a test process sees beside PATH, LANG and the user's name."""
    return {
        "HOME": HOME_FOLDER,
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "CI": "true",
        **batch.env,
        **suite.env,
        **secrets,
        "GLOVEBOX": "1",
        "GLOVEBOX_RUN_ID": batch.run_id,
        "GLOVEBOX_ATTEMPT": str(max(attempt.number for attempt in attempts)),
    }

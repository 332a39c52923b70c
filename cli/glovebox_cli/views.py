"""What the API says about runs and attempts, as far as the command line shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glovebox.domain.attempt import AttemptState
from glovebox.domain.outcome import Conclusion, Outcome, RunState


class BadAnswer(ValueError):
    """The answer is not what the API's contract promises."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, as `GET /runs/{id}` shows it."""

    run_id: str
    name: str
    state: RunState
    conclusion: Conclusion | None
    message: str | None
    total: int | None
    parallelism: int | None
    created_at: str | None
    finished_at: str | None
    summary: Mapping[str, int] | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing of the run can change any more."""
        return self.state is RunState.FINISHED


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt, as `GET /runs/{id}/tests` shows it."""

    suite: str
    test_id: str
    key: str
    number: int
    outcome: Outcome | None
    duration_seconds: float | None
    message: str | None
    sandbox_id: str | None

    @property
    def is_finished(self) -> bool:
        """Whether it has an outcome."""
        return self.outcome is not None


def run_view(document: Mapping[str, Any]) -> RunView:
    """Read a run. Raises BadAnswer."""
    try:
        conclusion = document.get("conclusion")
        summary = document.get("summary")
        return RunView(
            run_id=_text(document["run_id"]),
            name=_text(document["name"]),
            state=RunState(document["state"]),
            conclusion=None if conclusion is None else Conclusion(conclusion),
            message=_optional_text(document.get("message")),
            total=_optional_int(document.get("total")),
            parallelism=_optional_int(document.get("parallelism")),
            created_at=_time_text(document.get("created_at")),
            finished_at=_time_text(document.get("finished_at")),
            summary=None if summary is None else {k: _int(v) for k, v in dict(summary).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"a run is not described as promised: {error!r}"
        raise BadAnswer(reason) from error


def attempt_view(document: Mapping[str, Any]) -> AttemptView:
    """Read an attempt. Raises BadAnswer."""
    try:
        finished = AttemptState(document["state"]) is AttemptState.FINISHED
        duration = document.get("duration_seconds")
        return AttemptView(
            suite=_text(document["suite"]),
            test_id=_text(document["test_id"]),
            key=_text(document["key"]),
            number=_int(document["number"]),
            outcome=Outcome(document["outcome"]) if finished else None,
            duration_seconds=None if duration is None else float(duration),
            message=_optional_text(document.get("message")),
            sandbox_id=_optional_text(document.get("sandbox_id")),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"an attempt is not described as promised: {error!r}"
        raise BadAnswer(reason) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _time_text(value: object) -> str | None:
    # The contract leaves open whether times are ISO texts or seconds; both are only shown.
    return None if value is None else str(value)


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _optional_int(value: object) -> int | None:
    return None if value is None else _int(value)

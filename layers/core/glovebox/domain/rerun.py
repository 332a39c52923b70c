"""The manifest that repeats some of a run's tests."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from glovebox.domain.keys import test_key
from glovebox.domain.manifest import FrameworkName, Manifest
from glovebox.domain.outcome import Outcome

_NOT_GOOD = (Outcome.FAILED, Outcome.ERRORED, Outcome.TIMED_OUT)
_MUTE = (Outcome.ERRORED, Outcome.CANCELLED)


class Selection(StrEnum):
    """Which tests of a run to repeat."""

    ALL = "all"
    """The manifest as it was: its tests are looked for anew."""
    FAILED = "failed"
    """What failed, errored or timed out."""
    MISSING = "missing"
    """What errored or was cancelled, and of which no attempt could tell anything."""


class _Past(BaseModel):
    # The documents are long; of most of them nothing is needed here.
    model_config = ConfigDict(frozen=True, extra="ignore")


class PastAttempt(_Past):
    """Of an attempt in report.json."""

    outcome: Outcome


class PastResult(_Past):
    """Of a test in report.json."""

    key: str
    result: Outcome
    attempts: tuple[PastAttempt, ...]


class PastReport(_Past):
    """What repeating needs of report.json."""

    tests: tuple[PastResult, ...]


class PastTest(_Past):
    """Of a planned test."""

    suite: str
    test_id: str
    selector: str | None = None
    cannot_run: str | None = None

    @property
    def key(self) -> str:
        """The test's key within its run."""
        return test_key(self.suite, self.test_id)


class PastPlan(_Past):
    """What repeating needs of the plan."""

    tests: tuple[PastTest, ...]


class NothingSelected(ValueError):
    """No test of the run is of the kind that was asked for."""


def manifest_of_rerun(
    manifest: Manifest, plan: PastPlan, report: PastReport, selection: Selection
) -> dict[str, Any]:
    """The manifest with the selected tests as exact ids, unchecked: an id may be one that no
    manifest can name. Suites without a selected test are left out.

    A suite that could not be listed, and one that is a single command, have no ids to name: they
    are repeated as they stand. Raises NothingSelected.
    """
    document: dict[str, Any] = manifest.to_dict()
    if selection is Selection.ALL:
        return document
    wanted = {result.key for result in report.tests if _is_selected(result, selection)}
    chosen: dict[str, list[PastTest]] = {}
    for test in plan.tests:
        if test.key in wanted:
            chosen.setdefault(test.suite, []).append(test)
    if not chosen:
        raise NothingSelected(f"no test of the run is {selection}")
    suites = []
    for suite, past in zip(manifest.suites, document["suites"], strict=True):
        tests = chosen.get(suite.name)
        if not tests:
            continue
        is_one_command = suite.framework is FrameworkName.COMMAND and suite.tests is None
        if not is_one_command and all(test.cannot_run is None for test in tests):
            past["tests"] = list(dict.fromkeys(test.selector or test.test_id for test in tests))
            past.pop("paths", None)
        suites.append(past)
    return {**document, "suites": suites}


def _is_selected(test: PastResult, selection: Selection) -> bool:
    if selection is Selection.FAILED:
        return test.result in _NOT_GOOD
    return test.result in _MUTE and all(one.outcome in _MUTE for one in test.attempts)

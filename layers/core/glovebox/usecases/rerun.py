"""Repeat a run, whole or in part: a new run of the same manifest and the same source."""

from __future__ import annotations

import json
from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.documents import DOCUMENTS, DocumentFormat
from glovebox.domain.errors import GloveboxError, NotFound, SourceError
from glovebox.domain.manifest import Manifest
from glovebox.domain.rerun import (
    NothingSelected,
    PastPlan,
    PastReport,
    Selection,
    manifest_of_rerun,
)
from glovebox.domain.run import Run
from glovebox.ports import Artifacts
from glovebox.usecases.account import RunAccount
from glovebox.usecases.rounds import read_manifest
from glovebox.usecases.start import StartRun

PAST_LIMIT_BYTES = 64 * 1024 * 1024
"""Longest plan or report that is read here. A manifest names 50 000 tests at most anyway."""


class RerunRefused(GloveboxError):
    """The run cannot be repeated so. `code` says why, in a word for programs."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass
class RerunRun:
    """Starts the new run through the API's own door."""

    start: StartRun
    account: RunAccount
    artifacts: Artifacts

    def __call__(
        self, run_id: str, *, owner: str, selection: Selection, idempotency_key: str | None
    ) -> Run:
        """Start it. Raises NotFound where the owner does not see the run, RerunRefused,
        ManifestError where no manifest can name a selected test, and KeyReused."""
        run = self.account.visible(run_id, owner)
        manifest = self._manifest(run)
        return self.start(
            json.dumps(self._selected(run, manifest, selection)),
            owner=owner,
            idempotency_key=idempotency_key,
            asked={"rerun": run_id, "select": selection.value},
            rerun_of=run_id,
        )

    def _manifest(self, run: Run) -> Manifest:
        """Of the run. Raises RerunRefused where it, or the source that it names, is gone."""
        try:
            manifest = read_manifest(self.artifacts, run.run_id)
        except NotFound:
            message = "the run's manifest is not kept, or was never accepted"
            raise RerunRefused("manifest_gone", message) from None
        source, own = manifest.source.s3 or "", self.artifacts.uri("")
        # Other buckets are not ours to look into: preparing the run will tell.
        if source.startswith(own) and not self.artifacts.has(source.removeprefix(own)):
            raise RerunRefused("source_gone", "the run's source is not kept any more")
        return manifest

    def _selected(self, run: Run, manifest: Manifest, selection: Selection) -> dict[str, object]:
        if selection is Selection.ALL:
            return manifest.to_dict()
        if not run.is_finished:
            message = "the run is not finished: only then is it known which tests to repeat"
            raise RerunRefused("run_not_finished", message)
        try:
            plan = self._read(keys.plan_key(run.run_id))
            report = self._read(
                keys.report_key(run.run_id, DOCUMENTS[DocumentFormat.JSON].file_name)
            )
        except NotFound:
            message = "the run has no plan and report, or they are not kept any more"
            raise RerunRefused("report_gone", message) from None
        except SourceError:
            message = "the run has too many tests to choose among: repeat all of it"
            raise RerunRefused("run_too_large", message) from None
        past_plan = PastPlan.model_validate_json(plan)
        past_report = PastReport.model_validate_json(report)
        try:
            return manifest_of_rerun(manifest, past_plan, past_report, selection)
        except NothingSelected as error:
            raise RerunRefused("nothing_selected", str(error)) from error

    def _read(self, key: str) -> bytes:
        return self.artifacts.get(key, limit=PAST_LIMIT_BYTES)

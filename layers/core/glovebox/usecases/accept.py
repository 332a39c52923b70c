"""Accept a manifest: check it, write the run, start the state machine under the run's id."""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.errors import ManifestError, StoreConflict
from glovebox.domain.manifest import Manifest
from glovebox.domain.manifest_text import load_manifest
from glovebox.domain.problem import Problem
from glovebox.domain.release import beyond_this_release
from glovebox.domain.run import Origin, Run
from glovebox.ports import Artifacts, Clock, Runs, Workflow
from glovebox.usecases.rounds import JSON_TYPE
from glovebox.usecases.source import archive_files


@dataclass
class AcceptManifest:
    """Every door ends here. Repeating a door's call with the same run id changes nothing."""

    runs: Runs
    artifacts: Artifacts
    workflow: Workflow
    clock: Clock

    def __call__(
        self,
        text: bytes | str,
        *,
        file: str,
        run_id: str,
        door: str,
        owner: str,
        origin: Origin | None = None,
    ) -> Run:
        """Accept the manifest as a run. Raises ManifestError, and then nothing has started."""
        manifest = self.check(text, file=file, owner=owner)
        return self.start(manifest, run_id=run_id, door=door, owner=owner, origin=origin)

    def check(self, text: bytes | str, *, file: str, owner: str) -> Manifest:
        """The manifest, if it can be run for this owner. Raises ManifestError."""
        manifest = load_manifest(text, file=file)
        problems = (*beyond_this_release(manifest, file), *self._foreign(manifest, file, owner))
        if problems:
            raise ManifestError(problems)
        return manifest

    def start(
        self,
        manifest: Manifest,
        *,
        run_id: str,
        door: str,
        owner: str,
        rerun_of: str | None = None,
        origin: Origin | None = None,
    ) -> Run:
        """Make a run of a manifest that was checked, under an id that is its alone."""
        run = Run(
            run_id=run_id,
            name=manifest.name,
            door=door,
            origin=origin,
            owner=owner,
            rerun_of=rerun_of,
            created_at=self.clock.now(),
            parallelism_asked=manifest.parallelism,
        )
        self._store(run_id, manifest)
        try:
            self.runs.create_run(run)
        except StoreConflict:
            run = self.runs.run(run_id)
        if not run.is_finished:
            self.workflow.start(run_id)
        return run

    def _foreign(self, manifest: Manifest, file: str, owner: str) -> tuple[Problem, ...]:
        """In the data bucket lie everybody's sources and runs: only what the owner itself
        uploaded is a source. Said alike whether there is such an object or not."""
        source = manifest.source.s3
        if source is None or not source.startswith(self.artifacts.uri("")):
            return ()
        if source.startswith(self.artifacts.uri(keys.source_prefix(owner))):
            return ()
        words = "is no upload of yours: ask POST /sources for a place, and upload there"
        return (Problem(words, "source.s3", file),)

    def _store(self, run_id: str, manifest: Manifest) -> None:
        """Before the run exists, so that whoever drives it finds everything."""
        if manifest.source.inline is not None:
            archive = archive_files(manifest.source.inline.files)
            self.artifacts.put(keys.inline_source_key(run_id), archive, "application/gzip")
        content = manifest.to_json().encode()
        self.artifacts.put(keys.manifest_key(run_id), content, JSON_TYPE)

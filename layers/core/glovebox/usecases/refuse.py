"""Refuse a dropped manifest, where nobody waits for an answer: on record, beside it, and told."""

from __future__ import annotations

from dataclasses import dataclass

from glovebox.domain import keys
from glovebox.domain.errors import ManifestError, NotFound, StoreConflict
from glovebox.domain.notice import Notice, ProblemNote, RejectionNote, RunEvent, RunRejected
from glovebox.domain.outcome import Conclusion, RunState
from glovebox.domain.problem import printable
from glovebox.domain.run import Origin, Run
from glovebox.ports import Artifacts, Clock, Notices, Runs
from glovebox.usecases.rounds import JSON_TYPE

REJECTED_NAME = "rejected"
MAX_PROBLEMS = 1000
"""Of a note: whoever has more will not read them."""
_REASON_CHARACTERS = 20_000


@dataclass
class RefuseManifest:
    """Repeating it with the same run id changes nothing."""

    runs: Runs
    manifests: Artifacts
    """The bucket that the manifest lies in."""
    notices: Notices
    clock: Clock

    def __call__(self, error: ManifestError, *, run_id: str, door: str, origin: Origin) -> None:
        """Put the refusal on record, write the note and tell the subscribers.

        What breaks before the record is made is done again by the next delivery; what breaks
        after it, by the next sweep.
        """
        if self._is_on_record(run_id):
            return
        self._write_note(error, run_id, origin)
        now = self.clock.now()
        run = Run(
            run_id=run_id,
            name=REJECTED_NAME,
            state=RunState.FINISHED,
            conclusion=Conclusion.REJECTED,
            message=str(error)[:_REASON_CHARACTERS],
            door=door,
            origin=origin,
            created_at=now,
            finished_at=now,
            parallelism_asked=1,
        )
        self.runs.note_untold(run_id, now)
        try:
            self.runs.create_run(run)
        except StoreConflict:
            return  # another delivery of the same event, at the same time
        tell_of(run, self.notices)
        self.runs.note_told(run_id)

    def _is_on_record(self, run_id: str) -> bool:
        try:
            self.runs.run(run_id)
        except NotFound:
            return False
        return True

    def _write_note(self, error: ManifestError, run_id: str, origin: Origin) -> None:
        key = keys.rejected_key(origin.key)
        if key is None:
            return
        problems = tuple(ProblemNote.of(problem) for problem in error.problems[:MAX_PROBLEMS])
        note = RejectionNote(run_id=run_id, origin=origin, problems=problems)
        self.manifests.put(key, note.model_dump_json(indent=2).encode(), JSON_TYPE)


def tell_of(run: Run, notices: Notices) -> None:
    """Publish that a dropped manifest was refused. The same words for every repeat."""
    notice = rejection_notice(run)
    notices.publish(notice.message, notice.attributes)


def rejection_notice(run: Run) -> Notice:
    """What subscribers are told of a refused manifest, from its record alone."""
    if run.origin is None:
        message = f"run {run.run_id} was not refused at the S3 door"
        raise ValueError(message)
    origin = run.origin
    key = keys.rejected_key(origin.key)
    told = RunRejected(
        run_id=run.run_id,
        message=run.message or "",
        origin=origin,
        note=None if key is None else f"s3://{origin.bucket}/{key}",
    )
    attributes = {
        "event": RunEvent.REJECTED.value,
        "name": run.name,
        "conclusion": Conclusion.REJECTED.value,
        # SNS takes no control character.
        "key": printable(origin.key),
    }
    return Notice(told.model_dump_json(), attributes)

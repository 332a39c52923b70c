"""How an attempt looks at its end: the outcome, and what its process left, made safe to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glovebox.domain import keys
from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.evidence import Evidence, Verdict
from glovebox.domain.log import INLINE_LOG_BYTES, Log
from glovebox.domain.redaction import Redactor
from glovebox.ports import Artifacts, Clock

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Closing:
    """Closes attempts."""

    artifacts: Artifacts
    clock: Clock
    redactor: Redactor

    def judged(
        self,
        attempts: Sequence[Attempt],
        verdicts: Mapping[str, Verdict],
        evidence: Evidence,
        phases: Mapping[str, float],
    ) -> list[Attempt]:
        """The attempts of one process, with what was concluded of each. Stores a long log."""
        log = self._keep_log(attempts[0], evidence)
        closed = []
        for attempt in attempts:
            verdict = verdicts[attempt.test_id]
            lasted = verdict.duration_seconds
            told = {
                "exit_code": evidence.exit_code,
                "duration_seconds": evidence.duration_seconds if lasted is None else lasted,
                "log": log,
            }
            closed.append(self._closed(attempt, verdict, phases, told))
        return closed

    def unheard(self, attempt: Attempt, verdict: Verdict, phases: Mapping[str, float]) -> Attempt:
        """An attempt of whose process nothing was heard."""
        told = {"exit_code": None, "duration_seconds": verdict.duration_seconds, "log": None}
        return self._closed(attempt, verdict, phases, told)

    def _closed(
        self,
        attempt: Attempt,
        verdict: Verdict,
        phases: Mapping[str, float],
        told: Mapping[str, Any],
    ) -> Attempt:
        return attempt.model_copy(
            update={
                **told,
                "state": AttemptState.FINISHED,
                "outcome": verdict.outcome,
                "fault": verdict.fault,
                "phases": {name: round(seconds, 4) for name, seconds in phases.items()},
                "message": self.redactor.words(verdict.message),
                "ends_at": None,
                "nonce": None,
                "changed_at": self.clock.now(),
            }
        )

    def _keep_log(self, first: Attempt, evidence: Evidence) -> Log:
        """A short log travels in the row; a long one is stored once for the group."""
        content = self.redactor.redact(evidence.log)
        text = _CONTROL.sub("\ufffd", content.decode(errors="replace"))
        facts = {"bytes": evidence.log_bytes, "truncated": evidence.log_truncated}
        if len(text.encode()) <= INLINE_LOG_BYTES:
            return Log(text=text, **facts)
        key = keys.log_key(first.run_id, first.key, first.number)
        self.artifacts.put(key, content, "text/plain; charset=utf-8")
        return Log(key=key, **facts)

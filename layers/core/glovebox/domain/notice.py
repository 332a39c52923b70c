"""What subscribers of the run topic are told, and the note beside a refused manifest.

Version 1 of each. The JSON Schemas in docs/schema are made of these models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from glovebox.domain.documents import DocumentFormat
from glovebox.domain.outcome import Conclusion
from glovebox.domain.problem import Problem
from glovebox.domain.report import Summary
from glovebox.domain.run import Origin


class RunEvent(StrEnum):
    """What a message is about: its `event`, and the message attribute of that name."""

    FINISHED = "run.finished"
    REJECTED = "run.rejected"


@dataclass(frozen=True)
class Notice:
    """A message and its attributes."""

    message: str
    """JSON."""
    attributes: Mapping[str, str]
    """What subscribers filter by. None is empty: SNS refuses that."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: Literal[1] = 1


class RunFinished(_Document):
    """A run has ended, and its reports are written."""

    event: Literal[RunEvent.FINISHED] = RunEvent.FINISHED
    run_id: str
    """The message's identity: a repeat has the same, and the same words."""
    name: str
    conclusion: Conclusion
    previous_conclusion: str | None
    """How the run of that name before this one ended; null for the first."""
    summary: Summary
    reports: dict[DocumentFormat, str]
    """Where they lie, as `s3://bucket/key`."""
    origin: Origin | None
    """The version of the object that the manifest was; null for other doors than S3."""


class RunRejected(_Document):
    """A dropped manifest was refused: no run of it was started."""

    event: Literal[RunEvent.REJECTED] = RunEvent.REJECTED
    run_id: str
    """The message's identity, and where `GET /runs/{id}` tells of it."""
    conclusion: Literal[Conclusion.REJECTED] = Conclusion.REJECTED
    message: str
    """Every problem on a line of its own, cut after some thousand characters."""
    origin: Origin
    """The version of the object that was refused."""
    note: str | None
    """Where all problems stand, as `s3://bucket/key`; null where the manifest's key is so long
    that S3 takes no longer one."""


class ProblemNote(BaseModel):
    """One fault of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    message: str
    path: str
    """Where in the document, as `suites[0].timeout`; empty for the document as a whole."""
    line: int | None
    column: int | None
    suggestion: str | None
    """What was probably meant."""

    @classmethod
    def of(cls, problem: Problem) -> ProblemNote:
        """The note of a problem."""
        return cls(**{name: getattr(problem, name) for name in cls.model_fields})


class RejectionNote(_Document):
    """`<key>.rejected.json`, beside a manifest that was refused."""

    run_id: str
    conclusion: Literal[Conclusion.REJECTED] = Conclusion.REJECTED
    origin: Origin
    """The version of the object that was refused."""
    problems: tuple[ProblemNote, ...]
    """Every fault, in the order of the document."""


PUBLISHED: Mapping[str, type[BaseModel]] = {
    "run-finished.v1": RunFinished,
    "run-rejected.v1": RunRejected,
    "rejected.v1": RejectionNote,
}
"""The documents that others read, by the name of their schema's file."""


def schema_text(name: str) -> str:
    """The JSON Schema of a published document, as docs/schema holds it."""
    schema: dict[str, Any] = PUBLISHED[name].model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"

"""What the API takes and answers, for its OpenAPI description and for the check of requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from glovebox.domain.attempt import AttemptState
from glovebox.domain.outcome import Conclusion, Outcome, RunState
from glovebox.usecases.source import MAX_ARCHIVE_BYTES

RUN_ID = "^[A-Za-z0-9-]{1,80}$"
TEST_KEY = "^[0-9a-f]{20}$"
IDEMPOTENCY_KEY = "^[!-~]{1,100}$"
PLACE = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z#[A-Za-z0-9-]{1,80}$"
MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"


EXAMPLE = {
    "version": 1,
    "name": "example",
    "source": {"inline": {"files": {"test_sum.py": "def test_sum():\n    assert 1 + 1 == 2\n"}}},
    "suites": [{"name": "unit", "framework": "pytest"}],
}


def _whole(value: object) -> object:
    """To JSON, 761.0 is the same number as 761."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Request(BaseModel):
    # Strict: what the description says is a number is not taken from a text.
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class RunRequest(_Request):
    """A run to start."""

    manifest: dict[str, Any] = Field(examples=[EXAMPLE])
    """The manifest, as docs/manifest.md describes it."""


class RerunRequest(_Request):
    """Which tests to repeat."""

    select: Literal["all", "failed", "missing"] = "all"
    """`all` of the manifest, what `failed`, or what is `missing`."""


class SourceRequest(_Request):
    """An archive to upload."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the archive, in hex."""
    size: Annotated[int, BeforeValidator(_whole)] = Field(ge=1, le=MAX_ARCHIVE_BYTES)
    """In bytes."""


class _Answer(BaseModel):
    # Further fields may come with a later release.
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class StartedRun(_Answer):
    """A run that was started."""

    run_id: str
    name: str
    state: RunState
    rerun_of: str | None


class RunDocument(_Answer):
    """A run. Times are ISO 8601 in UTC."""

    run_id: str
    name: str
    state: RunState
    conclusion: Conclusion | None
    message: str | None
    door: str
    owner: str
    rerun_of: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str | None
    parallelism_asked: int
    parallelism: int | None
    total: int | None
    summary: dict[str, int] | None
    cancel_requested: bool
    schema_version: int


class RunList(_Answer):
    """Runs, newest first."""

    runs: list[RunDocument]
    next: str | None
    """The cursor of the next page; null at the end."""


class AttemptChange(_Answer):
    """An attempt, as it changed last."""

    suite: str
    test_id: str
    key: str
    number: int
    state: AttemptState
    outcome: Outcome | None
    duration_seconds: float | None
    message: str | None
    sandbox_id: str | None
    started_at: str | None
    changed_at: str


class ChangeList(_Answer):
    """What changed in a run."""

    run: RunDocument
    attempts: list[AttemptChange]
    cursor: str
    """The `since` of the next request."""


class LogDocument(_Answer):
    """What an attempt printed, here or behind a URL."""

    text: str | None
    url: str | None
    bytes: int
    truncated: bool


class AttemptDocument(_Answer):
    """One attempt."""

    number: int
    state: AttemptState
    outcome: Outcome | None
    log: LogDocument | None


class TestDocument(_Answer):
    """One test with all its attempts."""

    __test__ = False

    suite: str
    test_id: str
    key: str
    attempts: list[AttemptDocument]


class Download(_Answer):
    """Where to fetch a document."""

    url: str
    expires_in_seconds: int


class Upload(_Answer):
    """A request that uploads an archive."""

    method: str
    url: str
    headers: dict[str, str]


class SourcePlace(_Answer):
    """Where an archive will lie, and how it gets there."""

    source: str
    """For `source.s3` of a manifest."""
    upload: Upload
    expires_in_seconds: int


class ErrorBody(BaseModel):
    """What is wrong."""

    code: str
    message: str
    details: dict[str, Any]


class Error(BaseModel):
    """Every failure has this shape."""

    error: ErrorBody


class GatewayRefusal(BaseModel):
    """What the gateway itself says to a request without a valid signature."""

    message: str


class Forbidden(RootModel[Error | GatewayRefusal]):
    """Refused by the function, or before it by the gateway."""

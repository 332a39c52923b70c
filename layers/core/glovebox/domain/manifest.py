"""The manifest: what a user asks for, version 1.

The docstring under each field is the one source of its documentation: the JSON Schema and
`docs/manifest.md` repeat it, and tests compare them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from glovebox.domain.duration import Duration
from glovebox.domain.manifest_rules import (
    inline_breaches,
    manifest_breaches,
    raise_breaches,
    source_breaches,
    suite_breaches,
)
from glovebox.domain.manifest_types import (
    EnvName,
    EnvValue,
    FilePath,
    FilledLine,
    GitRef,
    GitUrl,
    ImageName,
    Line,
    Name,
    RelativePath,
    S3Address,
    Text,
)
from glovebox.domain.problem import Refusal

MAX_TESTS = 50_000
MAX_INLINE_FILES = 1000

Switch = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Env = Annotated[
    Mapping[EnvName, EnvValue],
    Field(max_length=1000, json_schema_extra={"additionalProperties": False}),
]


def _known_version(value: object) -> object:
    # `True` and `1.0` equal 1 in Python; they are not the number that the format asks for.
    if type(value) is not int or value != 1:
        words = "this release reads version 1 only; write version: 1"
        raise Refusal(words)
    return value


class FrameworkName(StrEnum):
    """The test frameworks of this release."""

    PYTEST = "pytest"
    UNITTEST = "unittest"
    JEST = "jest"
    VITEST = "vitest"
    MOCHA = "mocha"
    NODE_TEST = "node:test"
    PLAYWRIGHT = "playwright"
    COMMAND = "command"


class Isolation(StrEnum):
    """What shares one fresh sandbox."""

    TEST = "test"
    FILE = "file"
    SUITE = "suite"


class Bake(StrEnum):
    """When the prepared machine is kept as an image of its own."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class GitSource(_Part):
    """Source in a git repository."""

    url: GitUrl
    """Address of the repository: `https://` only, without user name or token in it."""
    ref: GitRef
    """Branch, tag or commit to check out."""


class InlineSource(_Part):
    """Source written into the manifest itself."""

    files: Mapping[FilePath, Text] = Field(min_length=1, max_length=MAX_INLINE_FILES)
    """Relative path to content, for 1 to 1000 files of at most 1 MiB together."""

    @model_validator(mode="after")
    def _keep_rules(self) -> InlineSource:
        raise_breaches(inline_breaches(self.__dict__), self)
        return self


class Source(_Part):
    """The code under test: exactly one of its keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [key]} for key in ("path", "s3", "git", "inline")]
        }
    )

    path: RelativePath | None = None
    """Folder to send, relative to the manifest's own folder; the command line packs it."""
    s3: S3Address | None = None
    """Archive in S3, as `s3://bucket/key.tar.gz`."""
    git: GitSource | None = None
    """Repository to clone."""
    inline: InlineSource | None = None
    """Files written into the manifest itself."""

    @model_validator(mode="after")
    def _keep_rules(self) -> Source:
        raise_breaches(source_breaches(self.__dict__), self)
        return self


class Image(_Part):
    """The machine that every sandbox of the run starts as."""

    base: ImageName = "code-interpreter"
    """Image to start from."""
    setup: tuple[FilledLine, ...] = Field(default=(), max_length=100)
    """Shell lines that prepare the machine, run in order in the source's root before any test."""
    setup_network: Switch = True
    """Whether the set-up lines reach the internet; the tests have `network`."""
    bake: Bake = Bake.AUTO
    """Whether the prepared source becomes an image that every sandbox starts from, in place of an
    upload to each: `auto` where the provider builds one in a moment, `always` or `never`."""


class Suite(_Part):
    """Tests that share a framework, a sandbox policy and limits."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"framework": {"const": "command"}}, "required": ["framework"]},
            "then": {"required": ["command"], "properties": {"paths": {"maxItems": 0}}},
            "else": {
                "properties": {"command": False, "junit": False},
                "not": {
                    "properties": {"paths": {"minItems": 1}},
                    "required": ["paths", "tests"],
                },
            },
        }
    )

    name: Name
    """Unique within the manifest; part of every test's identity in the report."""
    framework: FrameworkName
    """How tests are found, run and read: a test framework, or `command` for any other program."""
    paths: tuple[RelativePath, ...] = Field(default=(), max_length=1000)
    """Where the framework looks for tests, relative to the source; without it, its own
    configuration decides. Not together with `tests`, nor with `framework: command`."""
    tests: tuple[FilledLine, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_TESTS, json_schema_extra={"uniqueItems": True}
    )
    """Exact ids, instead of discovery: unique, each at most 10 000 bytes, up to 50 000."""
    command: tuple[Line, ...] | None = Field(default=None, min_length=1, max_length=1000)
    """Program and arguments of a command suite; no shell reads them. With `tests`, the element
    `{test_id}` stands for the id of the test."""
    junit: RelativePath | None = None
    """JUnit XML file that the command writes, relative to the source; it proves the result
    together with the exit code."""
    isolation: Isolation = Isolation.TEST
    """What gets a fresh sandbox: every `test`, every `file`, or the `suite` as a whole."""
    timeout: Duration = Field(default=60, json_schema_extra={"default": "60s"})
    """Longest that one test may take, from 1s to the run's own `timeout`."""
    retries: Whole = Field(default=0, ge=0, le=10)
    """Further attempts, 0 to 10, at a test that failed; infrastructure has its own retries."""
    artifacts: tuple[RelativePath, ...] = Field(default=(), max_length=100)
    """Globs of the files to keep from each sandbox, relative to the source."""
    tags: tuple[Name, ...] = Field(
        default=(), max_length=100, json_schema_extra={"uniqueItems": True}
    )
    """Labels to select suites by."""
    env: Env = Field(default_factory=dict)
    """Environment of this suite's tests, over the manifest's own `env`."""

    @model_validator(mode="after")
    def _keep_rules(self) -> Suite:
        raise_breaches(suite_breaches(self.__dict__), self)
        return self


class Manifest(_Part):
    """What to test, where and within which limits."""

    version: Annotated[Literal[1], BeforeValidator(_known_version)]
    """Version of this format: 1."""
    name: Name
    """What the run is of; history and notifications are grouped by it."""
    source: Source
    """The code under test: exactly one of `path`, `s3`, `git` and `inline`."""
    image: Image = Image()
    """The machine that every sandbox starts as, and how it is prepared."""
    env: Env = Field(default_factory=dict)
    """Environment of set-up and tests. Values are text; no name may begin with `GLOVEBOX_`."""
    secrets: tuple[EnvName, ...] = Field(
        default=(), max_length=100, json_schema_extra={"uniqueItems": True}
    )
    """Names of stored secrets that every test gets as environment variables; never values."""
    network: Switch = False
    """Whether the tests reach the internet."""
    parallelism: Whole = Field(default=10, ge=1, le=10_000)
    """Most sandboxes at work at once, 1 to 10 000; the installation may allow fewer."""
    timeout: Duration = Field(default=1800, json_schema_extra={"default": "30m"})
    """Longest that the whole run may take, from 1s to 24h."""
    fail_fast: Switch = False
    """Whether the first test that finally fails ends the run; the others count as cancelled."""
    cache: Switch = False
    """Whether a test that an earlier run proved, with everything it depends on unchanged, counts
    as passed without running."""
    suites: tuple[Suite, ...] = Field(min_length=1, max_length=100)
    """The tests, in 1 to 100 suites."""

    @model_validator(mode="after")
    def _keep_rules(self) -> Manifest:
        suites = [suite.__dict__ for suite in self.suites]
        raise_breaches(manifest_breaches({**self.__dict__, "suites": suites}), self)
        return self

    def to_dict(self) -> dict[str, object]:
        """Return the shortest document that loads to this manifest: no defaults, no nulls."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def to_json(self) -> str:
        """Write the canonical text: `to_dict` with sorted keys and without spaces.

        `load_manifest(m.to_json(), file="m.json") == m`, and so does `model_validate_json`.
        """
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text, in hex: the same for every spelling of one manifest."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def env_of(self, suite: Suite) -> dict[str, str]:
        """Return the environment that the manifest gives to a suite's tests, without secrets."""
        return {**self.env, **suite.env}

"""What can go wrong, as classes.

```
GloveboxError
├── ManifestError          the user must act; never retried
├── SourceError            the source cannot be used; the user must act
├── DiscoveryError         the framework could not say which tests there are
├── SandboxError           infrastructure; carries sandbox_id
│   ├── SandboxUnavailable     could not be created or reached: worth another try
│   ├── SandboxLost            vanished while it was in use
│   └── SandboxRefused         the provider says no and will say no again (key, quota, image)
├── SecretError            a secret that the manifest names; carries its name
│   ├── SecretUnavailable      cannot be read now: worth another try
│   └── SecretRefused          is missing, denied or no text: somebody must act
├── RunStopped             the run was stopped while this step was under way
├── NewerRelease           a document that a newer release wrote: another try meets that release
├── StoreConflict          a conditional write lost: somebody else was first
├── NotFound               no such run, test or report
└── SettingsError          the function's environment is incomplete
```

The names of the classes that the state machine catches are public: tests/stack compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glovebox.domain.problem import Problem


class GloveboxError(Exception):
    """Root of every error that Glovebox raises on purpose."""


class ManifestError(GloveboxError):
    """A manifest was refused. `problems` names every fault, not just the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SourceError(GloveboxError):
    """The code under test could not be fetched or unpacked; another try would not help."""


class DiscoveryError(GloveboxError):
    """A suite's tests could not be listed. `log` is what the framework printed, bounded."""

    def __init__(self, suite: str, reason: str, log: str = "") -> None:
        self.suite = suite
        self.reason = reason
        self.log = log
        super().__init__(f"suite {suite!r}: {reason}")


class SandboxError(GloveboxError):
    """The sandbox provider, not the test, is at fault."""

    def __init__(self, reason: str, *, sandbox_id: str | None = None) -> None:
        self.reason = reason
        self.sandbox_id = sandbox_id
        super().__init__(reason)


class SandboxUnavailable(SandboxError):
    """A sandbox could not be created or reached now. Retried with backoff.

    `retry_after_seconds` is the provider's own wish, where it stated one, or how far ahead the
    next permit to create one is. `asked` is False where the provider was not asked at all:
    no permit soon enough, the circuit open, the run stopped. `possibly_created` says that a
    sandbox may have been made of which nobody knows the id: its TTL ends it.
    """

    def __init__(
        self,
        reason: str,
        *,
        sandbox_id: str | None = None,
        retry_after_seconds: float | None = None,
        asked: bool = True,
        possibly_created: bool = False,
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.asked = asked
        self.possibly_created = possibly_created
        super().__init__(reason, sandbox_id=sandbox_id)


class SandboxLost(SandboxError):
    """A sandbox vanished, or stopped answering, while an attempt ran in it.

    `still_there` says that the provider knew it as alive a moment ago: only its answer was lost.
    """

    def __init__(
        self, reason: str, *, sandbox_id: str | None = None, still_there: bool = False
    ) -> None:
        self.still_there = still_there
        super().__init__(reason, sandbox_id=sandbox_id)


class SandboxRefused(SandboxError):
    """The provider refuses for a reason that another try would not change."""


class SecretError(GloveboxError):
    """A secret that the manifest names could not be read. Never holds a value."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"secret {name}: {reason}")


class SecretUnavailable(SecretError):
    """The store, or the key that it encrypts with, does not answer now."""


class SecretRefused(SecretError):
    """It is missing, may not be read, or is no text; another try would not change that."""


class RunStopped(GloveboxError):
    """The run was cancelled, or its time was over, while this step was under way."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__("the run was stopped")


class TooManyTests(GloveboxError):
    """A run has more tests than the stack lets one have. No sandbox for a test was made."""

    def __init__(self, tests: int, most: int) -> None:
        self.tests = tests
        self.most = most
        super().__init__(
            f"{tests} tests were found, and a run of this stack has at most {most} "
            "(its parameter MaxTestsPerRun): select fewer with paths or tests, or split the run"
        )


class NewerRelease(GloveboxError):
    """A document is of a version that this release would misread."""

    def __init__(self, version: int, known: int) -> None:
        super().__init__(
            f"a document of version {version}: this release reads up to {known}, "
            "a newer one is being rolled out"
        )


class StoreConflict(GloveboxError):
    """A conditional write lost: the caller reads again and decides."""


class NotFound(GloveboxError):
    """There is no such thing, or not for this caller."""


class SettingsError(GloveboxError):
    """Settings are missing or malformed. `names` lists all of them at once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        super().__init__("missing or malformed settings: " + ", ".join(self.names))

"""The one place that says which exit code a run's end comes to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from glovebox.domain.outcome import Conclusion


class ExitCode(IntEnum):
    """What `glovebox` exits with. The docstrings are repeated in docs/cli.md."""

    PASSED = 0
    """Every test passed or was skipped; for other commands: it was done."""
    FAILED = 1
    """At least one test failed or timed out."""
    USAGE = 2
    """The command line or the manifest is wrong; nothing ran."""
    ERRORED = 3
    """Infrastructure: the API cannot be reached, or a result could not be established."""
    NOTHING_RAN = 4
    """There was no test to run."""
    STOPPED = 5
    """The run timed out or was cancelled."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM."""


CODE_OF_CONCLUSION: Mapping[Conclusion, ExitCode] = MappingProxyType(
    {
        Conclusion.PASSED: ExitCode.PASSED,
        Conclusion.FAILED: ExitCode.FAILED,
        Conclusion.REJECTED: ExitCode.USAGE,
        Conclusion.ERRORED: ExitCode.ERRORED,
        Conclusion.NO_TESTS: ExitCode.NOTHING_RAN,
        Conclusion.TIMED_OUT: ExitCode.STOPPED,
        Conclusion.CANCELLED: ExitCode.STOPPED,
    }
)

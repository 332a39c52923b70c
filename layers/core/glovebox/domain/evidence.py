"""What came back from a sandbox, and what it proves.

Law 1 of the design lives here: a test passes only on positive proof. Everything in an
`Evidence` was written inside the sandbox and is untrusted; `judge` believes none of it alone.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from glovebox.domain.attempt import Fault
from glovebox.domain.outcome import Outcome

MAX_MESSAGE_CHARACTERS = 4000
"""Of a message that a report carries; the log holds the rest."""


@dataclass(frozen=True)
class TestEvidence:
    """What the framework's own record says of one test."""

    __test__ = False

    test_id: str
    outcome: Outcome
    """passed, failed or skipped; a framework knows no other ending."""
    duration_seconds: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What one process in a sandbox left behind."""

    nonce: str | None
    """The nonce that came back with the exit code; None where there was none."""
    exit_code: int | None
    """Of the test process; None where it was not recorded."""
    timed_out: bool = False
    """Whether the watchdog ended the process."""
    duration_seconds: float | None = None
    log: bytes = b""
    log_bytes: int = 0
    """Size of the output before it was cut."""
    log_truncated: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Result files by name, as they were collected."""


@dataclass(frozen=True)
class FrameworkRecord:
    """A framework's record of one process, parsed."""

    nonce: str | None
    """The nonce found in the record itself."""
    complete: bool
    """Whether the record says that the framework came to its own end."""
    exit_code: int | None
    """The exit code that the framework meant to end with, where it says so."""
    tests: Sequence[TestEvidence] = ()
    failed_codes: Container[int] = (1,)
    """The exit codes by which this framework says that a test failed, and nothing worse."""
    problem: str | None = None
    """Why the record could not be read in full, for people."""


@dataclass(frozen=True)
class Verdict:
    """What is concluded of one attempt."""

    outcome: Outcome
    message: str | None = None
    fault: Fault | None = None
    duration_seconds: float | None = None


def judge(
    requested: Sequence[str], nonce: str, evidence: Evidence, record: FrameworkRecord
) -> dict[str, Verdict]:
    """Conclude every requested test, whatever came back. Never raises, never omits one.

    The order of the rules is the argument: first what spoils all evidence, then what the
    record says of each test, last whether the exit code agrees with it.
    """
    if evidence.timed_out:
        return _judge_timeout(requested, nonce, record)
    spoiled = _what_spoils(nonce, evidence, record)
    if spoiled is not None:
        return {test_id: _no_proof(spoiled) for test_id in requested}
    told = _told(record)
    verdicts = {test_id: _judge_one(told.get(test_id, ())) for test_id in requested}
    return _hold_against_exit_code(verdicts, evidence, record)


def _what_spoils(nonce: str, evidence: Evidence, record: FrameworkRecord) -> str | None:
    if evidence.nonce != nonce:
        return "the answer does not carry this attempt's nonce"
    if evidence.exit_code is None:
        return "the process left no exit code"
    if record.nonce is None and not record.tests:
        cause = record.problem or "the process ended before it wrote a result"
        return f"{cause} (exit code {evidence.exit_code})"
    if record.nonce != nonce:
        return "the result file does not carry this attempt's nonce"
    if not record.complete:
        cause = record.problem or "the process ended before its result was complete"
        return f"{cause} (exit code {evidence.exit_code})"
    if record.exit_code is not None and record.exit_code != evidence.exit_code:
        return (
            f"the framework meant to end with exit code {record.exit_code}, "
            f"the process ended with {evidence.exit_code}"
        )
    return None


def _judge_timeout(
    requested: Sequence[str], nonce: str, record: FrameworkRecord
) -> dict[str, Verdict]:
    """The first test without a record was running; what failed before it has failed."""
    told = _told(record) if record.nonce == nonce else {}
    verdicts: dict[str, Verdict] = {}
    blamed = False
    for test_id in requested:
        known = _judge_one(told[test_id]) if test_id in told else None
        if known is not None and known.outcome is Outcome.FAILED:
            verdicts[test_id] = known
        elif known is not None:
            verdicts[test_id] = _no_proof(
                "its process was stopped at the time limit before it could confirm this test"
            )
        elif not blamed:
            blamed = True
            verdicts[test_id] = Verdict(Outcome.TIMED_OUT, "stopped at its time limit")
        else:
            verdicts[test_id] = _no_proof("not reached: an earlier test used up the time")
    if not blamed and requested and verdicts[requested[-1]].outcome is not Outcome.FAILED:
        verdicts[requested[-1]] = Verdict(
            Outcome.TIMED_OUT, "stopped at its time limit: the process did not end after its tests"
        )
    return verdicts


def _told(record: FrameworkRecord) -> dict[str, list[TestEvidence]]:
    told: dict[str, list[TestEvidence]] = {}
    for test in record.tests:
        told.setdefault(test.test_id, []).append(test)
    return told


def _judge_one(told: Sequence[TestEvidence]) -> Verdict:
    if not told:
        return _no_proof("not found: the framework's result does not name this test")
    if len(told) > 1:
        return _no_proof(f"the framework's result names this test {len(told)} times")
    test = told[0]
    if test.outcome not in (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED):
        return _no_proof(f"the framework's result says {test.outcome}, which ends no test")
    return Verdict(
        test.outcome, _bounded(test.message), duration_seconds=_sane(test.duration_seconds)
    )


def _hold_against_exit_code(
    verdicts: dict[str, Verdict], evidence: Evidence, record: FrameworkRecord
) -> dict[str, Verdict]:
    """Exit code 0 means that nothing failed, one of the framework's own that something did.
    Anything else says that the framework itself broke: no test has passed then."""
    any_failed = any(test.outcome is Outcome.FAILED for test in record.tests)
    code = evidence.exit_code
    agrees = code != 0 and code in record.failed_codes if any_failed else code == 0
    if agrees:
        return verdicts
    contradiction = (
        f"the result says {'failed' if any_failed else 'passed'}, "
        f"the exit code is {evidence.exit_code}"
    )
    return {
        test_id: verdict if verdict.outcome is Outcome.FAILED else _no_proof(contradiction)
        for test_id, verdict in verdicts.items()
    }


def _no_proof(message: str) -> Verdict:
    return Verdict(Outcome.ERRORED, _bounded(message), Fault.EVIDENCE)


def _bounded(message: str | None) -> str | None:
    if message is None or len(message) <= MAX_MESSAGE_CHARACTERS:
        return message
    return message[: MAX_MESSAGE_CHARACTERS - 1] + "…"


def _sane(seconds: float | None) -> float | None:
    """A duration from a sandbox, or None where it is not a duration (NaN, negative)."""
    return seconds if seconds is not None and 0 <= seconds < 10**9 else None

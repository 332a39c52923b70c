"""A plain command: its exit code is the verdict, its own JUnit file may back or refuse it.

The atom is the suite, or, where the manifest lists `tests`, each of these, put in place of
`{test_id}` in the argument list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glovebox.domain.evidence import Evidence, FrameworkRecord, TestEvidence
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Atom, DiscoveredTest, PlannedAttempt
from glovebox.frameworks.contract import Command, Detection, Discovery, SourceView
from glovebox.frameworks.junit_file import JunitFile, JunitRefused, read_junit

JUNIT = "junit.xml"
PLACEHOLDER = "{test_id}"


class CommandFramework:
    """Any program that ends with 0 for passed and with something else for failed."""

    def detect(self, source: SourceView) -> Detection | None:
        """Nothing tells which program the tests are."""
        return None

    def discover_command(self, suite: Suite) -> Command | None:
        return None

    def read_discovery(self, suite: Suite, evidence: Evidence | None, nonce: str) -> Discovery:
        if suite.tests:
            return Discovery([DiscoveredTest(suite=suite.name, test_id=i) for i in suite.tests])
        return Discovery([DiscoveredTest(suite=suite.name, test_id=suite.name, atom=Atom.SUITE)])

    def run_command(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], context: Mapping[str, str]
    ) -> Command:
        argv: list[str] = []
        for element in suite.command or ():
            if element == PLACEHOLDER:
                argv.extend(attempt.test_id for attempt in attempts)
            else:
                argv.append(element)
        return Command(argv=argv, results={JUNIT: suite.junit} if suite.junit else {})

    def read_record(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], evidence: Evidence
    ) -> FrameworkRecord:
        verdict = _verdict(suite, evidence)
        if isinstance(verdict, str):
            return FrameworkRecord(None, complete=False, exit_code=None, problem=verdict)
        outcome, message = verdict
        return FrameworkRecord(
            nonce=evidence.nonce,
            complete=True,
            # judge() knows two exit codes; here every other one says "failed" as well.
            exit_code=evidence.exit_code,
            tests=[
                TestEvidence(attempt.test_id, outcome, evidence.duration_seconds, message)
                for attempt in attempts
            ],
        )


def _verdict(suite: Suite, evidence: Evidence) -> tuple[Outcome, str | None] | str:
    """The outcome and its message, or the reason why there is none."""
    code = evidence.exit_code
    failed = f"exit code {code}" if code else None
    if not suite.junit:
        return (Outcome.FAILED, failed) if failed else (Outcome.PASSED, None)
    content = evidence.files.get(JUNIT)
    if content is None:
        if failed:
            return Outcome.FAILED, f"{failed}, and {suite.junit} was not written"
        return f"{suite.junit} was not written"
    try:
        report = read_junit(content)
    except JunitRefused as error:
        return f"{suite.junit}: {error}"
    return _weigh(report, failed, suite.junit)


def _weigh(report: JunitFile, failed: str | None, path: str) -> tuple[Outcome, str | None] | str:
    if report.not_passed:
        words = f"{report.not_passed} of {report.cases} failed: {report.first_failure}"
        return (Outcome.FAILED, words) if failed else f"{path} says {words}; the exit code is 0"
    if failed:
        return Outcome.FAILED, f"{failed}, though {path} names no failure"
    if report.cases == report.skipped:
        return f"{path} names no test that ran"
    return Outcome.PASSED, None

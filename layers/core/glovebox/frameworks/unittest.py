"""unittest: the ids that it gives itself, one process per group, a witness in place of output.

Its output has no stable format and loses which class an error in a fixture belongs to, so
`payload/glovebox_unittest.py` writes a record from a result object of unittest's own kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from glovebox.domain.errors import DiscoveryError
from glovebox.domain.evidence import Evidence, FrameworkRecord, TestEvidence
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import DiscoveredTest, PlannedAttempt
from glovebox.frameworks.contract import (
    FOLDER,
    NONCE,
    Command,
    Detection,
    Discovery,
    SourceView,
    payload,
)
from glovebox.frameworks.json_lines import read_lines
from glovebox.frameworks.python_signs import detect_unittest

RECORD = "record.jsonl"
WITNESS = "glovebox_unittest.py"
SELECTORS = "selectors.json"
_OUTCOMES = {
    "passed": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "skipped": Outcome.SKIPPED,
}


class UnittestFramework:
    """unittest of the Python in the sandbox's image."""

    def detect(self, source: SourceView) -> Detection | None:
        return detect_unittest(source)

    def discover_command(self, suite: Suite) -> Command | None:
        return None if suite.tests else _command("discover", {"paths": suite.paths})

    def read_discovery(self, suite: Suite, evidence: Evidence | None, nonce: str) -> Discovery:
        if suite.tests:
            return Discovery([DiscoveredTest(suite=suite.name, test_id=i) for i in suite.tests])
        if evidence is None:
            raise DiscoveryError(suite.name, "no answer from the sandbox")
        tests: dict[str, DiscoveredTest] = {}
        broken: dict[str, str] = {}
        context: dict[str, str] = {}
        for line in _trusted_lines(suite, evidence, nonce):
            test_id = str(line.get("id"))
            if line.get("kind") == "session":
                context["tops"] = str(line.get("tops"))
            elif line.get("kind") == "load_error":
                broken[test_id] = str(line.get("message"))
            elif line.get("kind") == "test":
                test = _discovered(suite, line)
                known = tests.setdefault(test_id, test)
                # A class that another module imports is listed there again: the same test. Two
                # in one module have a result each, and it could not be told whose.
                if known is not test and known.selector == test.selector:
                    broken[test_id] = "two tests of one module share this id"
        for test_id in broken:
            tests.pop(test_id, None)
        return Discovery(list(tests.values()), broken, context)

    def run_command(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], context: Mapping[str, str]
    ) -> Command:
        tests = [[attempt.test_id, attempt.selector] for attempt in attempts]
        return _command("run", {"tops": _tops(context), "tests": tests})

    def read_record(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], evidence: Evidence
    ) -> FrameworkRecord:
        content = evidence.files.get(RECORD)
        if content is None:
            return FrameworkRecord(None, complete=False, exit_code=None)
        lines: list[dict[str, object]] = []
        problem = None
        try:
            lines.extend(read_lines(content))
        except ValueError as error:
            problem = str(error)
        return _record(lines, problem)


def _command(mode: str, selectors: Mapping[str, object]) -> Command:
    return Command(
        argv=(
            "python3",
            f"{FOLDER}/{WITNESS}",
            mode,
            f"{FOLDER}/{RECORD}",
            NONCE,
            f"{FOLDER}/{SELECTORS}",
        ),
        files={WITNESS: payload(WITNESS), SELECTORS: json.dumps(selectors).encode()},
        results={RECORD: f"{FOLDER}/{RECORD}"},
        results_are_ascii=True,  # json.dumps escapes everything else
    )


def _tops(context: Mapping[str, str]) -> list[str]:
    """Folders to import from. The sandbox wrote them; they go into another sandbox only."""
    try:
        tops = json.loads(context.get("tops", "[]"))
    except (ValueError, RecursionError):
        return []
    return [top for top in tops if isinstance(top, str)] if isinstance(tops, list) else []


def _trusted_lines(suite: Suite, evidence: Evidence, nonce: str) -> list[dict[str, object]]:
    log = evidence.log.decode(errors="replace")
    if evidence.timed_out:
        raise DiscoveryError(suite.name, "listing the tests took too long", log)
    try:
        lines = list(read_lines(evidence.files.get(RECORD, b"")))
    except ValueError as error:
        raise DiscoveryError(suite.name, str(error), log) from error
    if evidence.nonce != nonce or any(line.get("nonce") != nonce for line in lines):
        raise DiscoveryError(suite.name, "the list of tests does not carry its nonce", log)
    if not lines or lines[-1].get("kind") != "end" or evidence.exit_code != 0:
        reason = f"unittest ended before it had listed the tests (exit code {evidence.exit_code})"
        raise DiscoveryError(suite.name, reason, log)
    return lines


def _discovered(suite: Suite, line: Mapping[str, object]) -> DiscoveredTest:
    file, number, module = line.get("file"), line.get("line"), line.get("module")
    return DiscoveredTest(
        suite=suite.name,
        test_id=str(line.get("id")),
        file=file if isinstance(file, str) else None,
        line=number if type(number) is int and 0 < number < 10**9 else None,
        selector=module if isinstance(module, str) else None,
    )


def _record(lines: Sequence[Mapping[str, object]], problem: str | None) -> FrameworkRecord:
    nonces = [line.get("nonce") for line in lines]
    nonce = nonces[0] if nonces and all(other == nonces[0] for other in nonces) else None
    last = lines[-1] if lines else {}
    code = last.get("exit_code")
    complete = problem is None and last.get("kind") == "end" and type(code) is int
    tests = [_evidence(line) for line in lines if line.get("kind") == "result"]
    errors = [line for line in lines if line.get("kind") == "load_error"]
    if errors and problem is None:
        problem = f"unittest could not load {errors[0].get('id')}: {errors[0].get('message')}"
        # Without any test, the reason is all that there is to tell.
        complete = complete and bool(tests)
    return FrameworkRecord(
        nonce=nonce if isinstance(nonce, str) else None,
        complete=complete,
        exit_code=code if complete and type(code) is int else None,
        tests=tests,
        problem=problem,
    )


def _evidence(line: Mapping[str, object]) -> TestEvidence:
    message, duration = line.get("message"), line.get("duration")
    sane = isinstance(duration, (int, float)) and abs(duration) < 10**9
    return TestEvidence(
        test_id=str(line.get("id")),
        outcome=_OUTCOMES.get(str(line.get("outcome")), Outcome.ERRORED),
        duration_seconds=float(duration) if sane and isinstance(duration, (int, float)) else None,
        message=message if isinstance(message, str) else None,
    )

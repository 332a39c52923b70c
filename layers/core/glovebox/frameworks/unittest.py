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
from glovebox.frameworks.python_signs import detect_unittest
from glovebox.frameworks.witness_record import (
    RECORD,
    common_nonce,
    end_code,
    line_number,
    listed_lines,
    record_lines,
    seconds,
)

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
        if evidence.timed_out:
            log = evidence.log.decode(errors="replace")
            raise DiscoveryError(suite.name, "listing the tests took too long", log)
        for line in listed_lines(suite, evidence, nonce, "unittest"):
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
        return _record(*record_lines(content))


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


def _discovered(suite: Suite, line: Mapping[str, object]) -> DiscoveredTest:
    file, module = line.get("file"), line.get("module")
    return DiscoveredTest(
        suite=suite.name,
        test_id=str(line.get("id")),
        file=file if isinstance(file, str) else None,
        line=line_number(line.get("line")),
        selector=module if isinstance(module, str) else None,
    )


def _record(lines: Sequence[Mapping[str, object]], problem: str | None) -> FrameworkRecord:
    code = end_code(lines)
    complete = problem is None and code is not None
    tests = [_evidence(line) for line in lines if line.get("kind") == "result"]
    errors = [line for line in lines if line.get("kind") == "load_error"]
    if errors and problem is None:
        problem = f"unittest could not load {errors[0].get('id')}: {errors[0].get('message')}"
        # Without any test, the reason is all that there is to tell.
        complete = complete and bool(tests)
    return FrameworkRecord(
        nonce=common_nonce(lines),
        complete=complete,
        exit_code=code if complete else None,
        tests=tests,
        problem=problem,
    )


def _evidence(line: Mapping[str, object]) -> TestEvidence:
    message = line.get("message")
    return TestEvidence(
        test_id=str(line.get("id")),
        outcome=_OUTCOMES.get(str(line.get("outcome")), Outcome.ERRORED),
        duration_seconds=seconds(line.get("duration")),
        message=message if isinstance(message, str) else None,
    )

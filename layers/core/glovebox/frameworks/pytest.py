"""pytest: exact ids, one process per group, a witness plugin instead of parsed output.

`--collect-only -q` is no stable interface (its output changes with `addopts`), and JUnit XML
loses the ids, so `payload/glovebox_pytest.py` reports both from pytest's own hooks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

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
from glovebox.frameworks.python_signs import detect_pytest
from glovebox.frameworks.witness_record import (
    RECORD,
    common_nonce,
    end_code,
    line_number,
    listed_lines,
    record_lines,
    seconds,
)

WITNESS = "glovebox_pytest.py"
SELECTORS = "selectors.json"
EXIT_NO_TESTS = 5
EXIT_USAGE = 4


class PytestFramework:
    """pytest 6 and later, as installed in the sandbox's image."""

    def detect(self, source: SourceView) -> Detection | None:
        return detect_pytest(source)

    def discover_command(self, suite: Suite) -> Command | None:
        return _command("discover", suite.tests or suite.paths)

    def read_discovery(self, suite: Suite, evidence: Evidence | None, nonce: str) -> Discovery:
        if evidence is None:
            raise DiscoveryError(suite.name, "no answer from the sandbox")
        log = evidence.log.decode(errors="replace")
        if suite.tests and evidence.exit_code == EXIT_USAGE:
            # pytest lists nothing where it does not know one of the ids. That one is told as
            # not found when it is attempted; the others are not to suffer for it.
            return Discovery([_listed(suite, test_id) for test_id in suite.tests])
        if evidence.timed_out:
            raise DiscoveryError(suite.name, "listing the tests took too long", log)
        lines = listed_lines(suite, evidence, nonce, "pytest")
        context: dict[str, str] = {}
        tests: list[DiscoveredTest] = []
        broken: dict[str, str] = {}
        for line in lines:
            if line.get("kind") == "session":
                context = {
                    k: v for k in ("rootdir", "inifile") if isinstance(v := line.get(k), str)
                }
            elif line.get("kind") == "test":
                tests.append(_discovered(suite, line))
            elif line.get("kind") == "collection_error":
                broken[str(line.get("id") or suite.name)] = str(line.get("message", ""))
        if evidence.exit_code not in (0, EXIT_NO_TESTS) and not broken:
            code = evidence.exit_code
            raise DiscoveryError(suite.name, f"pytest could not collect (exit code {code})", log)
        return Discovery(_unique(suite, tests, log), broken, context)

    def run_command(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], context: Mapping[str, str]
    ) -> Command:
        selectors = [attempt.selector or attempt.test_id for attempt in attempts]
        # Without these, pytest would look for both anew, from the arguments that it is given,
        # and ids count from the root folder.
        options = [f"--rootdir={context.get('rootdir', '.')}"]
        if "inifile" in context:
            options.append(f"--config-file={context['inifile']}")
        return _command("run", selectors, *options, "-p", "no:cacheprovider")

    def read_record(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], evidence: Evidence
    ) -> FrameworkRecord:
        content = evidence.files.get(RECORD)
        if content is None:
            return FrameworkRecord(None, complete=False, exit_code=None)
        return _record(*record_lines(content))


def _command(mode: str, selectors: Iterable[str], *options: str) -> Command:
    return Command(
        argv=(
            "python3",
            f"{FOLDER}/{WITNESS}",
            mode,
            f"{FOLDER}/{RECORD}",
            NONCE,
            f"{FOLDER}/{SELECTORS}",
            *options,
            *(("--collect-only", "-q") if mode == "discover" else ()),
        ),
        files={WITNESS: payload(WITNESS), SELECTORS: json.dumps(list(selectors)).encode()},
        results={RECORD: f"{FOLDER}/{RECORD}"},
        # json.dumps escapes everything else.
        results_are_ascii=True,
    )


def _listed(suite: Suite, test_id: str) -> DiscoveredTest:
    return DiscoveredTest(suite=suite.name, test_id=test_id, file=test_id.partition("::")[0])


def _discovered(suite: Suite, line: Mapping[str, object]) -> DiscoveredTest:
    test_id, selector = str(line.get("id")), line.get("selector")
    file = line.get("file")
    return DiscoveredTest(
        suite=suite.name,
        test_id=test_id,
        file=file if isinstance(file, str) else None,
        line=line_number(line.get("line")),
        selector=selector if isinstance(selector, str) and selector != test_id else None,
    )


def _unique(suite: Suite, tests: Sequence[DiscoveredTest], log: str) -> list[DiscoveredTest]:
    """pytest lists a test once for every argument that holds it; two that share an id and not
    a place cannot be told apart, and a result could not be either's."""
    by_id: dict[str, DiscoveredTest] = {}
    for test in tests:
        known = by_id.setdefault(test.test_id, test)
        if known != test:
            raise DiscoveryError(suite.name, f"two tests share the id {test.test_id!r}", log)
    return list(by_id.values())


def _record(lines: Sequence[Mapping[str, object]], problem: str | None) -> FrameworkRecord:
    code = end_code(lines)
    complete = problem is None and code is not None
    errors = [str(line.get("message")) for line in lines if line.get("kind") == "collection_error"]
    if errors and problem is None:
        problem = "pytest could not load it: " + errors[0]
    return FrameworkRecord(
        nonce=common_nonce(lines),
        complete=complete,
        exit_code=code if complete else None,
        tests=[_evidence(line) for line in lines if line.get("kind") == "result"],
        problem=problem,
    )


def _evidence(line: Mapping[str, object]) -> TestEvidence:
    outcomes = {
        "passed": Outcome.PASSED,
        "failed": Outcome.FAILED,
        "skipped": Outcome.SKIPPED,
    }
    message = line.get("message")
    return TestEvidence(
        test_id=str(line.get("id")),
        outcome=outcomes.get(str(line.get("outcome")), Outcome.ERRORED),
        duration_seconds=seconds(line.get("duration")),
        message=message if isinstance(message, str) else None,
    )

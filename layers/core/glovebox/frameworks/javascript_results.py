"""From the lines of a record to the endings of tests, and of files as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from glovebox.domain.evidence import TestEvidence
from glovebox.domain.outcome import Outcome
from glovebox.frameworks.title_path import Copies, parse_id
from glovebox.frameworks.titled_lines import file_and_titles
from glovebox.frameworks.witness_record import seconds

OUTCOMES = {"passed": Outcome.PASSED, "failed": Outcome.FAILED, "skipped": Outcome.SKIPPED}
MAX_NAMED = 20
"""Failed tests that a whole file's message names."""


def read_results(
    lines: Iterable[Mapping[str, object]], requested: Sequence[str]
) -> list[TestEvidence]:
    """Every requested test that the record tells of, and every requested file as a whole."""
    copies = Copies()
    tests: list[TestEvidence] = []
    for line in lines:
        if line.get("kind") == "result":
            file, titles = file_and_titles(line)
            tests.append(_evidence(line, copies.next_id(file, titles)))
    wanted = set(requested)
    asked = [test for test in tests if test.test_id in wanted]
    for text in requested:
        file, titles = parse_id(text)
        members = [] if titles else [t for t in tests if parse_id(t.test_id)[0] == file]
        if any(parse_id(test.test_id)[1] for test in members):
            # A file that registers no test tells of itself; any other one by its tests.
            asked.append(_whole_file(text, members))
    return asked


def _evidence(line: Mapping[str, object], text: str) -> TestEvidence:
    message = line.get("message")
    return TestEvidence(
        test_id=text,
        outcome=OUTCOMES.get(str(line.get("outcome")), Outcome.ERRORED),
        duration_seconds=seconds(line.get("duration")),
        message=message if isinstance(message, str) else None,
    )


def _whole_file(text: str, tests: Sequence[TestEvidence]) -> TestEvidence:
    """A file passes if one of its tests passed and none did anything else but be skipped."""
    outcomes = {test.outcome for test in tests}
    message = None
    if Outcome.FAILED in outcomes:
        outcome = Outcome.FAILED
        failed = [test for test in tests if test.outcome is Outcome.FAILED]
        named = [f"{test.test_id}: {test.message}" for test in failed[:MAX_NAMED]]
        message = f"{len(failed)} of {len(tests)} tests failed\n" + "\n".join(named)
    elif outcomes == {Outcome.SKIPPED}:
        outcome, message = Outcome.SKIPPED, f"all of its {len(tests)} tests are skipped"
    elif outcomes <= {Outcome.PASSED, Outcome.SKIPPED}:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.ERRORED
    took = sum(test.duration_seconds or 0.0 for test in tests)
    return TestEvidence(text, outcome, took, message)

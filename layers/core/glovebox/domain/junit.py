"""JUnit XML from a report, in the dialect that Jenkins, GitLab and CircleCI read.

Names are unique (GitLab keeps only the first of two), `file` and `line` are attributes of the
case, attempts before the last are Maven Surefire's `flakyFailure` and `rerunFailure`.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from glovebox.domain.outcome import Outcome
from glovebox.domain.report import AttemptReport, Report, TestReport

_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped, and controls that drive terminals."""
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")


def to_junit(report: Report) -> bytes:
    """The report as a JUnit XML document, UTF-8."""
    root = Element("testsuites", name=_clean(report.name), time=_seconds(report.duration_seconds))
    suites: dict[str, list[TestReport]] = {}
    for test in report.tests:
        suites.setdefault(test.suite, []).append(test)
    taken: set[tuple[str, str]] = set()
    for name, tests in suites.items():
        _add_suite(root, name, tests, report.started_at, taken)
    for attribute in ("tests", "failures", "errors", "skipped"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_suite(
    root: Element,
    name: str,
    tests: list[TestReport],
    started_at: str,
    taken: set[tuple[str, str]],
) -> None:
    results = [test.result for test in tests]
    suite = SubElement(
        root,
        "testsuite",
        name=_clean(name),
        tests=str(len(tests)),
        failures=str(sum(r in (Outcome.FAILED, Outcome.TIMED_OUT) for r in results)),
        errors=str(sum(r in (Outcome.ERRORED, Outcome.CANCELLED) for r in results)),
        skipped=str(results.count(Outcome.SKIPPED)),
        time=_seconds(sum(test.duration_seconds or 0 for test in tests)),
        timestamp=started_at.partition(".")[0],
    )
    for test in tests:
        _add_case(suite, test, taken)


def _add_case(suite: Element, test: TestReport, taken: set[tuple[str, str]]) -> None:
    classname, name = _names(test)
    while (classname, name) in taken:
        # Two ids may differ only in their suite, or in what XML or a dotted name cannot show.
        name = f"{name} [{test.key}]"
    taken.add((classname, name))
    case = SubElement(
        suite, "testcase", classname=classname, name=name, time=_seconds(test.duration_seconds)
    )
    if test.file is not None:
        case.set("file", _clean(test.file))
    if test.line is not None:
        case.set("line", str(test.line))
    _add_properties(case, test)
    _add_result(case, test)
    _add_earlier_attempts(case, test)
    if test.result not in (Outcome.PASSED, Outcome.SKIPPED) and test.attempts:
        log = test.attempts[-1].log
        if log is not None and log.text:
            SubElement(case, "system-out").text = _clean(log.text)


def _names(test: TestReport) -> tuple[str, str]:
    """`tests/test_a.py::TestX::test_y[1]` is test_y[1] of tests.test_a.TestX, as pytest says."""
    path, separator, rest = test.test_id.partition("::")
    if not separator:
        return _clean(test.suite), _clean(test.test_id)
    head, bracket, parameters = rest.partition("[")
    *classes, name = head.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    return _clean(".".join([module, *classes])), _clean(name + bracket + parameters)


def _add_properties(case: Element, test: TestReport) -> None:
    properties = SubElement(case, "properties")
    SubElement(properties, "property", name="attempts", value=str(len(test.attempts)))
    if test.flaky:
        SubElement(properties, "property", name="flaky", value="true")
    for attempt in test.attempts:
        if attempt.sandbox_id:
            value = _clean(attempt.sandbox_id)
            SubElement(properties, "property", name=f"sandbox.{attempt.number}", value=value)


def _add_result(case: Element, test: TestReport) -> None:
    tags = {
        Outcome.FAILED: "failure",
        Outcome.TIMED_OUT: "failure",
        Outcome.ERRORED: "error",
        Outcome.CANCELLED: "error",
        Outcome.SKIPPED: "skipped",
    }
    tag = tags.get(test.result)
    if tag is None:
        return
    message = _clean(test.message or test.result.value)
    element = SubElement(case, tag, message=message.partition("\n")[0])
    if tag != "skipped":
        element.set("type", test.result.value)
        element.text = message


def _add_earlier_attempts(case: Element, test: TestReport) -> None:
    tag = "flakyFailure" if test.result is Outcome.PASSED else "rerunFailure"
    for attempt in test.attempts[:-1]:
        if attempt.outcome in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.ERRORED):
            _add_attempt(case, tag, attempt)


def _add_attempt(case: Element, tag: str, attempt: AttemptReport) -> None:
    message = _clean(attempt.message or attempt.outcome.value)
    element = SubElement(case, tag, message=message.partition("\n")[0], type=attempt.outcome.value)
    element.text = message
    if attempt.log is not None and attempt.log.text:
        SubElement(element, "system-out").text = _clean(attempt.log.text)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", _ANSI.sub("", text))


def _seconds(value: float | None) -> str:
    return f"{value or 0:.3f}"

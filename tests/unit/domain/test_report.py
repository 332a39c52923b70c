"""The report counts what was planned, whatever was attempted, in whatever order it is told."""

from __future__ import annotations

import random
import unicodedata
from typing import Any

import pytest
from glovebox.domain.attempt import Attempt, AttemptState, Fault
from glovebox.domain.junit import to_junit
from glovebox.domain.log import Log
from glovebox.domain.outcome import Conclusion, Outcome, StopReason
from glovebox.domain.plan import PlannedTest
from glovebox.domain.report import Report, Summary, make_report
from glovebox.domain.result import conclude
from glovebox.domain.run import Run
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from pydantic import ValidationError

RUN = Run(run_id="r", name="n", door="api", created_at=100.0, started_at=101.0, parallelism_asked=1)


def a_test(test_id: str = "t.py::test_x") -> PlannedTest:
    return PlannedTest(suite="unit", test_id=test_id, file="t.py", line=3)


def an_attempt(
    outcome: Outcome | None, *, test: PlannedTest | None = None, **facts: Any
) -> Attempt:
    test = test or a_test()
    return Attempt(
        run_id="r",
        suite=test.suite,
        test_id=test.test_id,
        key=test.key,
        number=facts.pop("number", 1),
        round=1,
        state=AttemptState.FINISHED if outcome else AttemptState.RUNNING,
        outcome=outcome,
        sandbox_id=facts.pop("sandbox_id", "sb"),
        **facts,
    )


def reported(*attempts: Attempt, run: Run = RUN, broken: str | None = None) -> Report:
    return make_report(run, [a_test()], attempts, finished_at=110.0, broken=broken)


def test_a_test_without_an_attempt_is_errored_and_never_missing() -> None:
    report = reported()
    assert report.tests[0].result is Outcome.ERRORED
    assert report.conclusion is Conclusion.ERRORED


def test_a_test_without_an_attempt_in_a_cancelled_run_is_cancelled() -> None:
    report = reported(run=RUN.model_copy(update={"stop_reason": StopReason.CANCELLED}))
    assert report.tests[0].result is Outcome.CANCELLED
    assert report.conclusion is Conclusion.CANCELLED


def test_a_pass_after_a_lost_sandbox_is_not_called_flaky() -> None:
    lost = an_attempt(Outcome.ERRORED, fault=Fault.LOST)
    report = reported(lost, an_attempt(Outcome.PASSED, number=2))
    assert report.tests[0].flaky is False
    assert len(report.tests[0].attempts) == 2


def test_a_failure_outlives_a_retry_that_could_not_be_run() -> None:
    lost = an_attempt(Outcome.ERRORED, fault=Fault.LOST, number=2)
    assert reported(an_attempt(Outcome.FAILED), lost).tests[0].result is Outcome.FAILED


def test_an_attempt_that_never_ended_is_not_a_pass() -> None:
    assert reported(an_attempt(None)).tests[0].result is Outcome.ERRORED


def test_attempts_at_tests_that_were_not_planned_are_left_out() -> None:
    stranger = an_attempt(Outcome.PASSED, test=a_test("t.py::test_other"))
    assert reported(stranger).summary.passed == 0


def test_a_broken_run_whose_tests_all_passed_is_not_passed() -> None:
    report = reported(an_attempt(Outcome.PASSED), broken="the plan could not be settled")
    assert report.conclusion is Conclusion.ERRORED
    assert report.message == "the plan could not be settled"


def test_a_clock_that_steps_back_makes_no_negative_duration() -> None:
    report = make_report(RUN, [], [], finished_at=50.0)
    assert report.duration_seconds == 0


def test_a_summary_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match="2 tests planned, 1 accounted for"):
        Summary(total=2, passed=1)


def test_nothing_planned_is_no_tests() -> None:
    assert conclude([], None) is Conclusion.NO_TESTS


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([Outcome.PASSED, Outcome.SKIPPED], Conclusion.PASSED),
        ([Outcome.PASSED, Outcome.FAILED, Outcome.ERRORED], Conclusion.FAILED),
        ([Outcome.PASSED, Outcome.ERRORED], Conclusion.ERRORED),
        ([Outcome.PASSED, Outcome.TIMED_OUT], Conclusion.FAILED),
        ([Outcome.PASSED, Outcome.CANCELLED], Conclusion.CANCELLED),
    ],
)
def test_conclusions(results: list[Outcome], expected: Conclusion) -> None:
    assert conclude(results, None) is expected


attempts_of_three_tests = st.lists(
    st.builds(
        lambda test, number, outcome, fault: an_attempt(
            outcome,
            test=a_test(test),
            number=number,
            fault=fault if outcome is Outcome.ERRORED else None,
            sandbox_id=f"sb-{test}-{number}",
        ),
        st.sampled_from(["a", "b", "c", "unplanned"]),
        st.integers(1, 4),
        st.none() | st.sampled_from(list(Outcome)),
        st.sampled_from(list(Fault)),
    ),
    max_size=12,
    unique_by=lambda attempt: (attempt.key, attempt.number),
)


@given(attempts_of_three_tests, st.randoms(), st.none() | st.sampled_from(list(StopReason)))
def test_the_report_ignores_order_and_repeats(
    attempts: list[Attempt], chance: random.Random, reason: StopReason | None
) -> None:
    run = RUN.model_copy(update={"stop_reason": reason})
    tests = [a_test(name) for name in "abc"]
    first = make_report(run, tests, attempts, finished_at=110.0)
    shuffled = [*attempts, *chance.sample(attempts, len(attempts) // 2)]
    chance.shuffle(shuffled)
    again = make_report(run, tests, shuffled, finished_at=110.0)
    assert first.model_dump_json() == again.model_dump_json()
    assert first.summary.total == 3
    if first.conclusion is Conclusion.PASSED:
        assert all(t.result in (Outcome.PASSED, Outcome.SKIPPED) for t in first.tests)


def test_junit_carries_every_test_once_with_its_place_and_attempts() -> None:
    failed = an_attempt(
        Outcome.FAILED, message="no\x00\x1b[31m\x9b2J\x7f\x85", log=Log(text="\x1b]8;;x\x07out")
    )
    report = reported(failed, an_attempt(Outcome.PASSED, number=2))
    document = to_junit(report)
    xml = JUnitXml.fromstring(document)
    (suite,) = list(xml)
    (case,) = list(suite)
    assert (case.classname, case.name) == ("t", "test_x")
    assert (case._elem.get("file"), case._elem.get("line")) == ("t.py", "3")
    assert case._elem.find("flakyFailure") is not None
    assert b"\x1b" not in document
    text = document.decode()
    assert not [c for c in text if unicodedata.category(c) == "Cc" and c != "\n"], text
    assert b"\x00" not in document


def test_junit_names_are_unique_where_ids_differ_only_in_what_xml_cannot_show() -> None:
    tests = [a_test("t.py::x[\x01]"), a_test("t.py::x[\x02]"), a_test("t/py::x"), a_test("t.py::x")]
    xml = JUnitXml.fromstring(to_junit(make_report(RUN, tests, [], finished_at=110.0)))
    names = [(case.classname, case.name) for suite in xml for case in suite]
    assert len(set(names)) == 4
    assert xml.errors == 4


@given(st.text(max_size=60))
def test_junit_is_well_formed_whatever_a_test_prints(text: str) -> None:
    test = PlannedTest(suite="s", test_id=text or "x")
    attempt = an_attempt(Outcome.FAILED, test=test, message=text, log=Log(text=text))
    JUnitXml.fromstring(to_junit(make_report(RUN, [test], [attempt], finished_at=110.0)))


def test_no_two_cases_of_a_document_share_their_names_whatever_their_suites() -> None:
    def in_suite(suite: str, test_id: str) -> PlannedTest:
        return PlannedTest(suite=suite, test_id=test_id, file="t.py")

    twin = in_suite("b", "t.py::test_x")
    tests = [in_suite("a", "t.py::test_x"), twin, in_suite("c", f"t.py::test_x [{twin.key}]")]
    report = make_report(RUN, tests, [], finished_at=110.0)
    cases = [case for suite in JUnitXml.fromstring(to_junit(report)) for case in suite]
    assert len({(case.classname, case.name) for case in cases}) == len(cases) == 3

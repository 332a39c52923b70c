"""The whole way from a manifest to a report, over fakes, with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.errors import SandboxRefused, SandboxUnavailable, TooManyTests
from glovebox.domain.outcome import Conclusion, Outcome, StopReason
from glovebox.domain.report import Report, TestReport

from tests.unit.usecases.driver import Spine

SUITE = """
import os, sys, time, pytest

def test_passes(): pass
def test_fails(): assert 1 == 2, "one is not two"
def test_skips(): pytest.skip("not today")
@pytest.mark.xfail
def test_expected_to_fail(): assert False
@pytest.mark.parametrize("x", ["a b", "c/d", "[e]", "f'g\\"h", "é", "i::j"], ids=str)
def test_odd(x): pass
@pytest.fixture
def broken(): raise RuntimeError("no fixture")
def test_setup_breaks(broken): pass
"""


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    return Spine(tmp_path)


def by_id(report: Report) -> dict[str, TestReport]:
    return {test.test_id: test for test in report.tests}


def test_every_test_gets_its_own_sandbox_and_its_own_result(spine: Spine) -> None:
    report = spine.run({"test_a.py": SUITE})
    results = {name: test.result for name, test in by_id(report).items()}
    assert results["test_a.py::test_passes"] is Outcome.PASSED
    assert results["test_a.py::test_fails"] is Outcome.FAILED
    assert results["test_a.py::test_skips"] is Outcome.SKIPPED
    assert results["test_a.py::test_expected_to_fail"] is Outcome.SKIPPED
    assert results["test_a.py::test_setup_breaks"] is Outcome.FAILED
    odd = [result for name, result in results.items() if "test_odd" in name]
    assert odd == [Outcome.PASSED] * 6
    assert report.conclusion is Conclusion.FAILED
    assert report.summary.total == 11
    sandboxes = [test.attempts[0].sandbox_id for test in report.tests]
    assert len(set(sandboxes)) == 11
    assert not spine.sandboxes.live


def test_a_failure_carries_its_message_place_and_log(spine: Spine) -> None:
    test = by_id(spine.run({"test_a.py": SUITE}))["test_a.py::test_fails"]
    assert "one is not two" in (test.message or "")
    assert (test.file, test.line) == ("test_a.py", 5)
    assert test.attempts[0].log is not None
    assert "one is not two" in (test.attempts[0].log.text or "")
    assert test.attempts[0].exit_code == 1


def test_a_process_that_exits_before_its_result_is_not_passed(spine: Spine) -> None:
    report = spine.run({"test_a.py": "import os\ndef test_x(): os._exit(0)\n"})
    test = by_id(report)["test_a.py::test_x"]
    assert test.result is Outcome.ERRORED
    assert report.conclusion is Conclusion.ERRORED


def test_a_test_that_is_too_slow_is_stopped(spine: Spine) -> None:
    report = spine.run({"test_a.py": "import time\ndef test_x(): time.sleep(60)\n"}, timeout="1s")
    assert by_id(report)["test_a.py::test_x"].result is Outcome.TIMED_OUT
    assert report.conclusion is Conclusion.FAILED


def test_a_test_that_passes_on_retry_is_flaky(spine: Spine) -> None:
    code = "import os\ndef test_x(): assert os.environ['GLOVEBOX_ATTEMPT'] == '2'\n"
    report = spine.run({"test_a.py": code}, retries=1)
    test = report.tests[0]
    assert (test.result, test.flaky) == (Outcome.PASSED, True)
    assert [attempt.outcome for attempt in test.attempts] == [Outcome.FAILED, Outcome.PASSED]
    assert report.conclusion is Conclusion.PASSED
    assert report.summary.flaky == 1


def test_a_test_that_always_fails_uses_up_its_retries(spine: Spine) -> None:
    report = spine.run({"test_a.py": "def test_x(): assert False\n"}, retries=2)
    assert len(report.tests[0].attempts) == 3


def test_nothing_collected_is_no_tests(spine: Spine) -> None:
    assert spine.run({"test_a.py": "x = 1\n"}).conclusion is Conclusion.NO_TESTS


def test_an_empty_suite_beside_others_is_never_hidden_by_their_green(spine: Spine) -> None:
    suites = [
        {"name": "full", "framework": "pytest", "paths": ["full"]},
        {"name": "empty", "framework": "pytest", "paths": ["empty"]},
    ]
    files = {"full/test_a.py": "def test_x(): pass\n", "empty/test_b.py": "x = 1\n"}
    report = spine.drive(spine.start({"source": {"inline": {"files": files}}, "suites": suites}))
    assert report.conclusion is Conclusion.ERRORED
    assert by_id(report)["empty"].result is Outcome.ERRORED
    assert by_id(report)["full/test_a.py::test_x"].result is Outcome.PASSED


def test_a_file_that_cannot_be_loaded_is_an_errored_result_beside_the_others(
    spine: Spine,
) -> None:
    report = spine.run({"test_a.py": "def test_x(): pass\n", "test_b.py": "import nothing_here\n"})
    results = by_id(report)
    assert results["test_a.py::test_x"].result is Outcome.PASSED
    assert results["test_b.py"].result is Outcome.ERRORED
    assert "nothing_here" in (results["test_b.py"].message or "")


def test_exact_ids_run_alone_and_an_unknown_one_is_errored(spine: Spine) -> None:
    wanted = ["test_a.py::test_passes", "test_a.py::test_that_does_not_exist"]
    results = by_id(spine.run({"test_a.py": SUITE}, tests=wanted))
    assert list(results) == wanted
    assert results[wanted[0]].result is Outcome.PASSED
    assert results[wanted[1]].result is Outcome.ERRORED


def test_exact_ids_keep_their_place(spine: Spine) -> None:
    report = spine.run({"test_a.py": SUITE}, tests=["test_a.py::test_fails"])
    assert [(test.test_id, test.line) for test in report.tests] == [("test_a.py::test_fails", 5)]


def test_ids_count_from_pytests_root_wherever_its_configuration_lies(spine: Spine) -> None:
    files = {"sub/pytest.ini": "[pytest]\n", "sub/t/test_a.py": "def test_x(): pass\n"}
    report = spine.run(files, paths=["sub/t"])
    assert [test.test_id for test in report.tests] == ["t/test_a.py::test_x"]
    assert report.tests[0].file == "sub/t/test_a.py"
    assert report.conclusion is Conclusion.PASSED


def test_file_isolation_shares_a_sandbox_within_a_file_only(spine: Spine) -> None:
    files = {
        "test_a.py": "seen = []\ndef test_1(): seen.append(1)\ndef test_2(): assert seen\n",
        "test_b.py": "def test_3(): pass\n",
    }
    report = spine.run(files, isolation="file")
    sandboxes = [test.attempts[0].sandbox_id for test in report.tests]
    assert report.conclusion is Conclusion.PASSED
    assert sandboxes[0] == sandboxes[1] != sandboxes[2]


def test_suite_isolation_uses_one_sandbox(spine: Spine) -> None:
    report = spine.run({"test_a.py": SUITE}, isolation="suite")
    assert len({test.attempts[0].sandbox_id for test in report.tests}) == 1
    assert report.summary.passed == 7


def test_a_crash_in_a_shared_sandbox_passes_nobody(spine: Spine) -> None:
    code = "import os\ndef test_1(): pass\ndef test_2(): os._exit(0)\ndef test_3(): pass\n"
    report = spine.run({"test_a.py": code}, isolation="file")
    assert {test.result for test in report.tests} == {Outcome.ERRORED}


def test_a_command_passes_by_its_exit_code(spine: Spine) -> None:
    report = spine.run({"a.sh": "exit 0\n"}, framework="command", command=["sh", "a.sh"])
    assert report.conclusion is Conclusion.PASSED
    assert report.tests[0].test_id == "unit"


def test_a_command_fails_by_its_exit_code(spine: Spine) -> None:
    report = spine.run({"a.sh": "exit 7\n"}, framework="command", command=["sh", "a.sh"])
    assert report.tests[0].result is Outcome.FAILED
    assert report.tests[0].message == "exit code 7"


def test_ids_reach_a_command_as_data(spine: Spine, tmp_path: Path) -> None:
    hostile = ["; touch pwned", "$(touch pwned)", "`touch pwned`", "-rf", "a b", "é", "'\""]
    code = 'printf "%s" "$1" > got; [ ! -e pwned ] && [ "$(cat got)" = "$1" ]\n'
    report = spine.run(
        {"a.sh": code}, framework="command", command=["sh", "a.sh", "{test_id}"], tests=hostile
    )
    assert [test.test_id for test in report.tests] == hostile
    assert report.conclusion is Conclusion.PASSED


@pytest.mark.parametrize(
    ("junit", "exit_code", "expected"),
    [
        ('<testsuite><testcase name="a"/></testsuite>', 0, Outcome.PASSED),
        ('<testsuite><testcase name="a"><failure/></testcase></testsuite>', 1, Outcome.FAILED),
        ('<testsuite><testcase name="a"><failure/></testcase></testsuite>', 0, Outcome.ERRORED),
        ('<testsuite><testcase name="a"/></testsuite>', 1, Outcome.FAILED),
        ("<testsuite/>", 0, Outcome.ERRORED),
        ("<testsuite><testcase", 0, Outcome.ERRORED),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite><testcase/></testsuite>', 0, Outcome.ERRORED),
    ],
)
def test_a_commands_junit_file_must_agree_with_its_exit_code(
    spine: Spine, junit: str, exit_code: int, expected: Outcome
) -> None:
    files = {"a.sh": f"cp in.xml out.xml; exit {exit_code}\n", "in.xml": junit}
    report = spine.run(files, framework="command", command=["sh", "a.sh"], junit="out.xml")
    assert report.tests[0].result is expected


def test_a_junit_file_that_was_not_written_is_no_pass(spine: Spine) -> None:
    report = spine.run({"a": ""}, framework="command", command=["true"], junit="out.xml")
    assert report.tests[0].result is Outcome.ERRORED


def test_a_sandbox_that_cannot_be_had_at_first_is_asked_for_again(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    spine.sandboxes.failures = [SandboxUnavailable("busy")]
    spine.launcher()(spine.messages(answer, run_id)[0], lambda: 900.0)
    spine.settle(run_id, 1)
    spine.reduce(run_id)
    assert spine.report(run_id).conclusion is Conclusion.PASSED


def test_without_a_provider_every_test_is_errored_and_none_lost(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    spine.sandboxes.gone = True
    while answer.batches:
        for message in spine.messages(answer, run_id):
            spine.launcher()(message, lambda: 900.0)
        answer = spine.settle(run_id, answer.round)
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert report.conclusion is Conclusion.ERRORED
    assert "connection refused" in (report.tests[0].message or "")


def test_a_refusal_is_not_tried_again(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    spine.sandboxes.failures = [SandboxRefused("wrong key")]
    spine.launcher()(spine.messages(answer, run_id)[0], lambda: 900.0)
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    assert "wrong key" in (spine.report(run_id).tests[0].message or "")


def test_a_batch_that_nobody_drove_is_attempted_in_the_next_round(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    spine.plan(run_id)
    answer = spine.settle(run_id, 1)
    assert (answer.round, answer.batches) == (2, 1)
    spine.launcher()(spine.messages(answer, run_id)[0], lambda: 900.0)
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert report.conclusion is Conclusion.PASSED
    assert len(report.tests[0].attempts) == 1


def test_batches_that_are_never_driven_end_errored(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    rounds = 0
    while answer.batches:
        answer = spine.settle(run_id, answer.round)
        rounds += 1
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert rounds == 3
    assert report.tests[0].result is Outcome.ERRORED
    assert "lost" in (report.tests[0].message or "")


def test_a_message_that_is_delivered_twice_runs_once(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    message = spine.messages(spine.plan(run_id), run_id)[0]
    before = len(spine.sandboxes.requests)
    for _ in range(3):
        spine.launcher()(message, lambda: 900.0)
    assert len(spine.sandboxes.requests) == before + 1
    assert spine.workflow.answered == [message.token] * 3


def test_cancelling_before_the_launch_cancels_every_test(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    spine.runs.request_stop(run_id, StopReason.CANCELLED)
    spine.launcher()(spine.messages(answer, run_id)[0], lambda: 900.0)
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert report.conclusion is Conclusion.CANCELLED
    assert report.tests[0].result is Outcome.CANCELLED


def test_the_runs_time_limit_stops_what_is_under_way(spine: Spine) -> None:
    code = "import time\n" + "".join(f"def test_{i}(): time.sleep(20)\n" for i in range(6))
    unit = {"name": "unit", "framework": "pytest", "timeout": "60s"}
    files = {"inline": {"files": {"test_a.py": code}}}
    run_id = spine.start({"source": files, "suites": [unit], "timeout": "1h"})
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    deadline_at = spine.runs.run(run_id).deadline_at or 0.0
    spine.clock.skip(deadline_at - spine.clock.now() - 3)
    for message in spine.messages(answer, run_id):
        spine.launch(message)
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert report.conclusion is Conclusion.TIMED_OUT
    assert report.summary.passed == 0
    assert report.summary.cancelled > 0


def test_a_run_of_too_many_tests_ends_before_its_first(tmp_path: Path) -> None:
    spine = Spine(tmp_path, max_tests=2)
    code = "".join(f"def test_{i}(): pass\n" for i in range(3))
    unit = {"name": "unit", "framework": "pytest"}
    run_id = spine.start({"source": {"inline": {"files": {"test_a.py": code}}}, "suites": [unit]})
    spine.prepare(run_id)
    made = len(spine.sandboxes.requests)
    with pytest.raises(TooManyTests, match=r"3 tests were found.*at most 2"):
        spine.plan(run_id)
    assert len(spine.sandboxes.requests) == made + 1, "the one that lists the tests"
    assert not spine.sandboxes.live
    spine.reduce(run_id, broken="3 tests were found")
    assert spine.report(run_id).conclusion is Conclusion.ERRORED


def test_a_run_of_as_many_tests_as_it_may_have_runs(tmp_path: Path) -> None:
    code = "".join(f"def test_{i}(): pass\n" for i in range(2))
    report = Spine(tmp_path, max_tests=2).run({"test_a.py": code})
    assert report.summary.passed == 2


def test_fail_fast_stops_after_the_first_failure(spine: Spine) -> None:
    code = "".join(f"def test_{i:02}(): assert False\n" for i in range(30))
    report = spine.run({"test_a.py": code}, fail_fast=True, parallelism=1)
    assert report.conclusion is Conclusion.FAILED
    assert report.summary.cancelled > 20


def test_setup_prepares_every_sandbox(spine: Spine) -> None:
    code = "def test_x(): assert open('made').read() == 'by setup\\n'\n"
    report = spine.run({"test_a.py": code}, image={"setup": ["echo 'by setup' > made"]})
    assert report.conclusion is Conclusion.PASSED


def test_a_long_log_is_stored_beside_the_row(spine: Spine) -> None:
    report = spine.run({"test_a.py": "def test_x():\n    print('x' * 5000)\n    assert 0\n"})
    log = report.tests[0].attempts[0].log
    assert log is not None
    assert log.text is None
    assert b"x" * 5000 in spine.artifacts.objects[log.key or ""]


def test_reducing_again_gives_the_same_bytes_and_the_same_notification(spine: Spine) -> None:
    run_id = spine.start(_one_test())
    spine.drive(run_id)
    first = dict(spine.artifacts.objects)
    told = [spine.reduce(run_id) for _ in range(2)]
    assert told[0] == told[1]
    assert spine.artifacts.objects == first


def test_a_second_run_that_ends_otherwise_is_told_as_changed(spine: Spine) -> None:
    spine.drive(spine.start(_one_test(), "r1"))
    failing = {"test_a.py": "def test_x(): assert 0\n"}
    run_id = spine.start({**_one_test(), "source": {"inline": {"files": failing}}}, "r2")
    spine.drive(run_id)
    assert spine.reduce(run_id).changed is True


def _one_test() -> dict[str, object]:
    return {
        "source": {"inline": {"files": {"test_a.py": "def test_x(): pass\n"}}},
        "suites": [{"name": "unit", "framework": "pytest"}],
    }


def test_a_test_starts_with_its_signals_as_they_were(spine: Spine) -> None:
    code = """
import os, signal, pytest
def test_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 1)
def test_others():
    for name in ("SIGTERM", "SIGQUIT", "SIGHUP"):
        assert signal.getsignal(getattr(signal, name)) is signal.SIG_DFL
"""
    report = spine.run({"test_a.py": code})
    assert report.summary.passed == 2, report.tests

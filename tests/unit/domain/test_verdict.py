"""Law 1: no false pass. What counts as proof, and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from glovebox.domain.attempt import Fault
from glovebox.domain.evidence import Evidence, FrameworkRecord, TestEvidence, judge
from glovebox.domain.outcome import Outcome
from hypothesis import given
from hypothesis import strategies as st

NONCE = "n" * 32
PASSED = TestEvidence("t", Outcome.PASSED, 0.1)
PROOF = Evidence(nonce=NONCE, exit_code=0)
RECORD = FrameworkRecord(nonce=NONCE, complete=True, exit_code=0, tests=(PASSED,))


def outcome_of(evidence: Evidence, record: FrameworkRecord) -> Outcome:
    return judge(["t"], NONCE, evidence, record)["t"].outcome


def test_proof_in_full_is_a_pass() -> None:
    assert outcome_of(PROOF, RECORD) is Outcome.PASSED


@pytest.mark.parametrize(
    "evidence",
    [
        replace(PROOF, nonce=None),
        replace(PROOF, nonce="other"),
        replace(PROOF, exit_code=None),
        replace(PROOF, exit_code=1),
        replace(PROOF, exit_code=2),
        replace(PROOF, exit_code=137),
        replace(PROOF, exit_code=-9),
    ],
)
def test_a_passed_record_without_its_process_proves_nothing(evidence: Evidence) -> None:
    assert outcome_of(evidence, RECORD) is Outcome.ERRORED


@pytest.mark.parametrize(
    "record",
    [
        FrameworkRecord(None, complete=False, exit_code=None),
        replace(RECORD, nonce=None),
        replace(RECORD, nonce="other"),
        replace(RECORD, complete=False),
        replace(RECORD, exit_code=1),
        replace(RECORD, tests=()),
        replace(RECORD, tests=(PASSED, PASSED)),
        replace(RECORD, tests=(replace(PASSED, test_id="other"),)),
        replace(RECORD, tests=(replace(PASSED, outcome=Outcome.ERRORED),)),
        replace(RECORD, tests=(replace(PASSED, outcome=Outcome.CANCELLED),)),
        replace(RECORD, tests=(replace(PASSED, outcome=Outcome.TIMED_OUT),)),
    ],
)
def test_exit_code_zero_without_its_record_proves_nothing(record: FrameworkRecord) -> None:
    verdict = judge(["t"], NONCE, PROOF, record)["t"]
    assert verdict.outcome is Outcome.ERRORED
    assert verdict.fault is Fault.EVIDENCE
    assert verdict.message


def test_a_pass_does_not_survive_the_time_limit() -> None:
    assert outcome_of(replace(PROOF, timed_out=True), RECORD) is Outcome.TIMED_OUT


def test_a_pass_beside_a_failure_stands_when_the_exit_code_says_failed() -> None:
    record = replace(
        RECORD, exit_code=1, tests=(PASSED, TestEvidence("u", Outcome.FAILED, 0.1, "no"))
    )
    verdicts = judge(["t", "u"], NONCE, replace(PROOF, exit_code=1), record)
    assert verdicts["t"].outcome is Outcome.PASSED
    assert verdicts["u"].outcome is Outcome.FAILED


def test_a_recorded_failure_stands_whatever_the_exit_code() -> None:
    record = replace(RECORD, tests=(replace(PASSED, outcome=Outcome.FAILED),))
    assert outcome_of(PROOF, record) is Outcome.FAILED


@pytest.mark.parametrize(("code", "outcome"), [(101, Outcome.PASSED), (1, Outcome.ERRORED)])
def test_a_framework_has_its_own_exit_codes_for_failed(code: int, outcome: Outcome) -> None:
    failed = TestEvidence("other", Outcome.FAILED, 0.1)
    record = replace(RECORD, exit_code=code, tests=(PASSED, failed), failed_codes=(101,))
    assert outcome_of(replace(PROOF, exit_code=code), record) is outcome


@pytest.mark.parametrize("code", [0, 101])
def test_no_exit_code_for_failed_makes_up_for_a_result_that_says_passed(code: int) -> None:
    """And 0 never says failed, whatever a framework's own codes are."""
    alone = replace(RECORD, exit_code=code, failed_codes=(0, 101))
    beside = replace(alone, tests=(PASSED, TestEvidence("other", Outcome.FAILED, 0.1)))
    assert (outcome_of(replace(PROOF, exit_code=code), alone) is Outcome.PASSED) == (code == 0)
    assert (outcome_of(replace(PROOF, exit_code=code), beside) is Outcome.PASSED) == (code == 101)


def test_at_the_time_limit_the_first_silent_test_is_blamed() -> None:
    verdicts = judge(["t", "u", "v"], NONCE, replace(PROOF, timed_out=True), RECORD)
    assert verdicts["t"].outcome is Outcome.ERRORED
    assert verdicts["u"].outcome is Outcome.TIMED_OUT
    assert verdicts["v"].outcome is Outcome.ERRORED


def test_a_duration_from_the_sandbox_that_is_none_is_left_out() -> None:
    for seconds in (float("nan"), float("inf"), -1.0):
        record = replace(RECORD, tests=(replace(PASSED, duration_seconds=seconds),))
        assert judge(["t"], NONCE, PROOF, record)["t"].duration_seconds is None


nonces = st.sampled_from([NONCE, "other", "", None])
codes = st.sampled_from([None, 0, 1, 2, 5, 137, -9])
told = st.lists(
    st.builds(
        TestEvidence,
        test_id=st.sampled_from(["t", "u", "x"]),
        outcome=st.sampled_from(list(Outcome)),
        duration_seconds=st.none() | st.floats(),
        message=st.none() | st.text(max_size=20),
    ),
    max_size=4,
)


@given(nonces, codes, st.booleans(), nonces, st.booleans(), codes, told)
def test_every_requested_test_gets_one_verdict_and_none_passes_without_full_proof(
    nonce: str | None,
    code: int | None,
    timed_out: bool,
    inner: str | None,
    complete: bool,
    meant: int | None,
    tests: list[TestEvidence],
) -> None:
    evidence = Evidence(nonce=nonce, exit_code=code, timed_out=timed_out)
    record = FrameworkRecord(inner, complete=complete, exit_code=meant, tests=tests)
    verdicts = judge(["t", "u"], NONCE, evidence, record)
    assert set(verdicts) == {"t", "u"}
    for test_id, verdict in verdicts.items():
        assert (verdict.fault is not None) == (verdict.outcome is Outcome.ERRORED)
        if verdict.outcome is Outcome.PASSED:
            assert (nonce, inner, complete, timed_out) == (NONCE, NONCE, True, False)
            assert [t.outcome for t in tests if t.test_id == test_id] == [Outcome.PASSED]
            assert code == (1 if any(t.outcome is Outcome.FAILED for t in tests) else 0)
            assert meant in (None, code)

"""ctrf.json and summary.md: what is in them, whatever the tests are called and say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from glovebox.domain.attempt import Attempt, AttemptState
from glovebox.domain.ctrf import STATUS, to_ctrf
from glovebox.domain.documents import DOCUMENTS
from glovebox.domain.log import Log
from glovebox.domain.markdown import to_markdown
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import PlannedTest
from glovebox.domain.report import Report, make_report
from glovebox.domain.run import Run
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

SCHEMA = json.loads((Path(__file__).parent / "schemas/ctrf-schema-0.0.json").read_text())
RUN = Run(run_id="r", name="n", door="api", created_at=100.0, started_at=101.0, parallelism_asked=1)
HOSTILE = (
    "<script>alert(1)</script> @octocat | `code` ``` **b** [x](http://e) &lt; \x1b[31mred\x1b[0m "
    "\x00\x07 \u202egnp.exe \u2028 \ud800 #1 http://e.org"
)


def report_of(*endings: tuple[str, list[Outcome], str], words: str | None = None) -> Report:
    """A report of tests by id, with the outcomes of their attempts and what they printed."""
    tests, attempts = [], []
    for test_id, outcomes, printed in endings:
        test = PlannedTest(suite="unit", test_id=test_id, file="t.py", line=3)
        tests.append(test)
        for number, outcome in enumerate(outcomes, 1):
            facts: dict[str, Any] = {
                "outcome": outcome,
                "duration_seconds": 0.25 * number,
                "message": None if outcome is Outcome.PASSED else words or f"said no {number}",
                "log": Log(text=printed, bytes=len(printed), truncated=False),
                "sandbox_id": f"sb-{number}",
            }
            attempts.append(
                Attempt(
                    run_id="r",
                    suite="unit",
                    test_id=test_id,
                    key=test.key,
                    number=number,
                    round=number,
                    state=AttemptState.FINISHED,
                    **facts,
                )
            )
    return make_report(RUN, tests, attempts, finished_at=110.0)


SOME = report_of(
    ("t.py::test_good", [Outcome.PASSED], ""),
    ("t.py::test_bad", [Outcome.FAILED], "first\nlast\n"),
    ("t.py::test_flaky", [Outcome.FAILED, Outcome.PASSED], ""),
    ("t.py::test_lost", [Outcome.ERRORED], ""),
    ("t.py::test_slow", [Outcome.TIMED_OUT], ""),
    ("t.py::test_later", [Outcome.SKIPPED], ""),
)
TEXTS = st.text(max_size=60) | st.just(HOSTILE)
ENDINGS = st.lists(
    st.tuples(TEXTS.filter(bool), st.lists(st.sampled_from(list(Outcome)), max_size=3), TEXTS),
    max_size=6,
    unique_by=lambda ending: ending[0],
)


def ctrf_of(report: Report) -> Any:
    document = json.loads(to_ctrf(report))
    Draft7Validator(SCHEMA).validate(document)
    return document


def test_ctrf_says_what_the_report_says() -> None:
    results = ctrf_of(SOME)["results"]
    counted = {k: results["summary"][k] for k in ("tests", "passed", "failed", "skipped", "other")}
    assert counted == {"tests": 6, "passed": 2, "failed": 2, "skipped": 1, "other": 1}
    assert results["summary"]["flaky"] == 1
    assert results["summary"]["stop"] - results["summary"]["start"] == 9000
    tests = {test["name"]: test for test in results["tests"]}
    assert tests["t.py::test_slow"]["rawStatus"] == "timed_out"
    assert tests["t.py::test_bad"]["stdout"] == ["first", "last"]
    flaky = tests["t.py::test_flaky"]
    assert (flaky["flaky"], flaky["retries"], flaky["duration"]) == (True, 1, 500)
    assert [attempt["status"] for attempt in flaky["retryAttempts"]] == ["failed"]


@given(ENDINGS)
def test_any_report_is_valid_ctrf_and_counts_the_same(
    endings: list[tuple[str, list[Outcome], str]],
) -> None:
    report = report_of(*endings, words=HOSTILE)
    results = ctrf_of(report)["results"]
    statuses = [STATUS[test.result] for test in report.tests]
    assert [test["status"] for test in results["tests"]] == statuses
    words = ("passed", "failed", "skipped", "other", "pending")
    assert sum(results["summary"][word] for word in words) == len(report.tests)


def test_markdown_begins_with_what_did_not_pass() -> None:
    text = to_markdown(SOME)
    places = [text.index(word) for word in ("test\\_bad", "test\\_slow", "test\\_lost", "at first")]
    assert places == sorted(places)
    assert "| total | passed | failed | timed out | errored | skipped | flaky | time |" in text
    assert "t\\.py\\:3" in text
    assert "<details><summary>log</summary>" in text
    assert "test\\_good" not in text.partition("### Slowest")[0]


def blocks_and_rest(text: str) -> tuple[list[str], str]:
    """The fenced blocks of a Markdown text, and what stands outside of them."""
    fence = re.compile(r"^(`{3,})text\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
    return [block[1] for block in fence.findall(text)], fence.sub("", text)


@given(ENDINGS, TEXTS)
def test_nothing_that_a_test_says_is_markdown(
    endings: list[tuple[str, list[Outcome], str]], words: str
) -> None:
    text = to_markdown(report_of(*endings, words=words))
    _, outside = blocks_and_rest(text)
    outside = re.sub(r"\\.", "", outside)  # what is escaped
    outside = re.sub(r"</?details>|</?summary>", "", outside)
    assert not re.search(r"[<>@`\[\]&]", outside)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    text.encode()  # no half characters


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    report = report_of(("t", [Outcome.FAILED], "````\n# not a heading\n````"))
    blocks, outside = blocks_and_rest(to_markdown(report))
    assert any("# not a heading" in block for block in blocks)
    assert "# not a heading" not in outside


@given(st.integers(1000, 20_000), st.integers(0, 40))
def test_markdown_is_never_longer_than_its_limit_and_says_what_it_left_out(
    limit: int, failed: int
) -> None:
    endings = [(f"test_{n}", [Outcome.FAILED], "x" * 400) for n in range(failed)]
    text = to_markdown(report_of(*endings), limit)
    assert len(text) <= limit
    shown = text.count("### failed")
    assert shown == failed or "did not fit" in text
    blocks, outside = blocks_and_rest(text)
    assert "```" not in outside
    assert outside.count("<details>") == outside.count("</details>")
    assert len(blocks) >= shown


def test_every_document_of_a_report_is_the_same_bytes_again() -> None:
    again = Report.model_validate_json(SOME.model_dump_json())
    for kind in DOCUMENTS.values():
        assert kind.write(SOME) == kind.write(again)

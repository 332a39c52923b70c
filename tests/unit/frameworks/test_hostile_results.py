"""What a sandbox hands back as a result is written by the code under test: it may be anything,
and neither stops the reader nor passes."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from glovebox.domain.errors import DiscoveryError
from glovebox.domain.evidence import Evidence, FrameworkRecord, judge
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import PlannedAttempt
from glovebox.frameworks import junit_file
from glovebox.frameworks.json_lines import MAX_LINE_BYTES, MAX_RECORD_BYTES
from glovebox.frameworks.junit_file import JunitRefused, read_junit
from glovebox.frameworks.pytest import PytestFramework
from glovebox.frameworks.witness_record import RECORD
from hypothesis import given, settings
from hypothesis import strategies as st

NONCE = "0" * 32
SUITE = Suite.model_validate({"name": "unit", "framework": "pytest"})
PLANNED = [PlannedAttempt(test_id="t", key="k", number=1)]
PASSED = {"kind": "result", "id": "t", "outcome": "passed", "duration": 0.1, "nonce": NONCE}
END = {"kind": "end", "exit_code": 0, "nonce": NONCE}


def line(**changed: object) -> bytes:
    return json.dumps({**PASSED, **changed}).encode() + b"\n"


def whole(*lines: bytes) -> bytes:
    return b"".join(lines) + json.dumps(END).encode() + b"\n"


def evidence(content: bytes) -> Evidence:
    return Evidence(nonce=NONCE, exit_code=0, files={RECORD: content})


def read(content: bytes) -> FrameworkRecord:
    return PytestFramework().read_record(SUITE, PLANNED, evidence(content))


def verdict(content: bytes) -> Any:
    return judge(["t"], NONCE, evidence(content), read(content))["t"]


def test_the_plain_record_passes() -> None:
    assert verdict(whole(line())).outcome is Outcome.PASSED


NO_PASS: Mapping[str, bytes] = {
    "a line over its limit": whole(line(message="x" * MAX_LINE_BYTES)),
    "a line of 50 MB": b"x" * 50_000_000,
    "a record over its limit": whole(line(), *[line(id="o")] * (MAX_RECORD_BYTES // 80)),
    "JSON 100 000 deep": whole(line(), b"[" * 30_000 + b"]" * 30_000 + b"\n"),
    "objects 10 000 deep": whole(line(), b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n"),
    "no object": whole(line(), b"[1]\n"),
    "no JSON": whole(line(), b"\xff\xfe\n"),
    "a number of a million digits": whole(line(), b'{"a":' + b"9" * 60_000 + b"}\n"),
    "the test twice": whole(line(), line()),
    "the test twice, once failed": whole(line(), line(outcome="failed")),
    "no outcome": whole(line(outcome=None)),
    "an outcome in a list": whole(line(outcome=["passed"])),
    "an outcome that is none": whole(line(outcome="PASSED")),
    "a nonce in a list": whole(line(nonce=[NONCE])),
    "a nonce in an object": whole(line(nonce={"a": NONCE})),
    "another nonce": whole(line(nonce="1" * 32)),
    "an id in a list": whole(line(id=["t"])),
    "an id that only looks alike": whole(line(id="t\u200b")),
    "no end": line(),
    "an end in the midst": whole(line(), json.dumps(END).encode() + b"\n", line(id="o")) + line(),
    "cut in a line": whole(line())[:-5],
    "an end with a list for a code": line()
    + json.dumps({**END, "exit_code": [1]}).encode()
    + b"\n",
}


@pytest.mark.parametrize("what", NO_PASS)
def test_a_record_that_is_not_in_order_passes_nobody(what: str) -> None:
    assert verdict(NO_PASS[what]).outcome in (Outcome.ERRORED, Outcome.FAILED)


@pytest.mark.parametrize(
    "duration",
    [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1", b"1" + b"0" * 400, b"true", b'"1"', b"[]"],
)
def test_a_duration_that_is_none_is_left_out(duration: bytes) -> None:
    content = whole(line(duration="here").replace(b'"here"', duration))
    told = verdict(content)
    assert told.outcome is Outcome.PASSED
    assert told.duration_seconds is None or 0 <= told.duration_seconds <= 1


def test_half_a_surrogate_pair_becomes_what_a_row_can_hold() -> None:
    told = verdict(whole(line(message="a \ud800 b \U0001f600 é \udcff")))
    assert told.message == "a \\ud800 b \U0001f600 é \\udcff"


def test_a_message_that_spoils_all_evidence_is_bounded() -> None:
    error = {"kind": "collection_error", "id": "t", "message": "x" * 50_000, "nonce": NONCE}
    told = verdict(json.dumps(error).encode() + b"\n")
    assert told.message.startswith("pytest could not load it: xxx")
    assert len(told.message) < 5000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)  # the machine is shared
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kind", "id", "outcome", "message", "duration", "nonce", "exit_code"]),
            json_values
            | st.sampled_from(["result", "end", "collection_error", "passed", "t", NONCE]),
        )
        | json_values
    )
)
def test_no_record_stops_the_reader(lines: list[object]) -> None:
    content = b"".join(json.dumps(value).encode() + b"\n" for value in lines)
    assert isinstance(verdict(content).outcome, Outcome)
    try:
        PytestFramework().read_discovery(SUITE, evidence(content), NONCE)
    except DiscoveryError:
        return


DEEP = b"<testsuite>" * 300_000
JUNIT_REFUSED: Mapping[str, bytes] = {
    "60 MB": b"<testsuite>" + b" " * 60_000_000 + b"<testcase/></testsuite>",
    "300 000 levels": DEEP[:5_000_000],
    "a DTD": b"<!DOCTYPE testsuite><testsuite><testcase/></testsuite>",
    "an entity": b'<!DOCTYPE t [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>',
    "laughs": b'<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><testsuite>&b;</testsuite>',
    "a file of the host": b'<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b"<testsuite><testcase>&a;</testcase></testsuite>",
    "an entity that nobody declared": b"<testsuite><testcase name='&nbsp;'/></testsuite>",
    "two roots": b"<testsuite/><testsuite/>",
    "another root": b"<html><testsuite><testcase/></testsuite></html>",
    "a root that is a case": b"<testcase/>",
    "half of it": b"<testsuite><testcase/>",
    "nothing": b"",
    "no XML": b"\x00\x01",
    "an encoding that there is not": b"<?xml version='1.0' encoding='x-none'?><testsuite/>",
    "a NUL": b"<testsuite><testcase name='\x00'/></testsuite>",
}


@pytest.mark.parametrize("what", JUNIT_REFUSED)
def test_a_junit_file_that_is_more_than_a_report_is_refused(what: str) -> None:
    content = JUNIT_REFUSED[what]
    tracemalloc.start()
    try:
        with pytest.raises(JunitRefused):
            read_junit(content)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_million_cases_are_refused_by_their_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert junit_file.MAX_CASES == 100_000
    monkeypatch.setattr(junit_file, "MAX_CASES", 50)
    with pytest.raises(JunitRefused, match="more than 50 cases"):
        read_junit(b"<testsuite>" + b"<testcase/>" * 51 + b"</testsuite>")


def test_cases_take_up_no_memory_once_counted() -> None:
    case = b"<testcase name='x'><system-out>" + b"y" * 1000 + b"</system-out></testcase>"
    content = b"<testsuites><testsuite>" + case * 4000 + b"</testsuite></testsuites>"
    tracemalloc.start()
    try:
        assert read_junit(content).cases == 4000
        assert tracemalloc.get_traced_memory()[1] < len(content)
    finally:
        tracemalloc.stop()


@settings(deadline=None)  # the machine is shared
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_junit_file_stops_the_reader(content: bytes) -> None:
    for text in (content, b"<testsuite><testcase name='" + content + b"'/></testsuite>"):
        try:
            read_junit(text)
        except JunitRefused:
            continue

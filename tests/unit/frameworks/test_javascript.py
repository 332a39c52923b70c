"""What the JavaScript frameworks wrote, read: recorded by the real programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from glovebox.domain.errors import DiscoveryError
from glovebox.domain.evidence import Evidence, judge
from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Atom, PlannedAttempt
from glovebox.frameworks.contract import NONCE as NONCE_PLACE
from glovebox.frameworks.registry import framework_of

RECORDED = Path(__file__).parent / "recorded"
NONCE = "NONCE"
VERSIONS = {
    "node-20": "node:test",
    "node-22": "node:test",
    "jest-30": "jest",
    "vitest-4": "vitest",
    "vitest-5": "vitest",
    "mocha-12": "mocha",
    "playwright-1.65": "playwright",
}
LISTING = [name for name in VERSIONS if name != "node-22"]
ODD = [
    "a (b) [c] .* $",
    "é 日本",
    r"back\\slash",
    r"line\u{a}break",
    'it\'s "q" / s',
    "-rf",
    "$(id)",
]
JAVASCRIPT = sorted(set(VERSIONS.values()))


def suite(framework: str, tests: tuple[str, ...] | None = None) -> Suite:
    return Suite(name="unit", framework=FrameworkName(framework), tests=tests)


def evidence(record: bytes | None, code: int, nonce: str = NONCE, log: bytes = b"") -> Evidence:
    files = {} if record is None else {"record.jsonl": record}
    return Evidence(nonce=nonce, exit_code=code, log=log, files=files)


def recorded(name: str, mode: str) -> Evidence:
    content = (RECORDED / f"{name}-{mode}.jsonl").read_bytes()
    return evidence(content, json.loads(content.splitlines()[-1])["exit_code"])


def lines(*facts: dict[str, object], code: int = 0, nonce: str = NONCE) -> bytes:
    whole: list[dict[str, object]] = [{"kind": "session", "version": "1", "node": "v20.0.0"}]
    whole += facts
    whole.append({"kind": "end", "exit_code": code})
    return b"".join(json.dumps({**line, "nonce": nonce}).encode() + b"\n" for line in whole)


def result(outcome: str, *titles: str, **more: object) -> dict[str, object]:
    return {"kind": "result", "file": "a.js", "titles": titles, "outcome": outcome, **more}


def attempts(*ids: str) -> list[PlannedAttempt]:
    return [PlannedAttempt(test_id=text, key=text, number=1) for text in ids]


def outcome_of(framework: str, seen: Evidence, *ids: str) -> dict[str, tuple[Outcome, str | None]]:
    asked = suite(framework)
    record = framework_of(asked).read_record(asked, attempts(*ids), seen)
    verdicts = judge(ids, NONCE, seen, record)
    return {text: (verdict.outcome, verdict.message) for text, verdict in verdicts.items()}


@pytest.mark.parametrize("name", LISTING)
def test_a_list_holds_every_test_once_under_a_readable_id(name: str) -> None:
    asked = suite(VERSIONS[name])
    found = framework_of(asked).read_discovery(asked, recorded(name, "discover"), NONCE)
    ids = [test.test_id.partition(" > ")[2] for test in found.tests]
    assert len(ids) == len(set(ids))
    assert not found.broken
    assert {test.atom for test in found.tests} == {Atom.TEST}
    if VERSIONS[name] == "playwright":
        assert {text.partition(" > ")[0] for text in ids} == {"[small]", "[large]"}
        ids = [text.removeprefix("[small] > ") for text in ids if text.startswith("[small] > ")]
    else:
        assert {"twice", r"twice \#2"} <= set(ids)
    assert {"passes", "suite > passes", "suite > deep > fails", "suite passes"} <= set(ids)
    assert {"each 1", "each 2", "skipped", "todo", "hook > never runs"} <= set(ids)
    assert {f"{odd} > {odd}" for odd in ODD} <= set(ids)
    assert r"x \> y > x \> y" in ids


def test_where_node_js_lists_no_tests_the_atom_is_the_file() -> None:
    asked = suite("node:test")
    found = framework_of(asked).read_discovery(asked, recorded("node-22", "discover"), NONCE)
    assert [(test.test_id, test.atom) for test in found.tests] == [("sums.test.mjs", Atom.FILE)]
    (message,) = [
        message
        for outcome, message in outcome_of(
            "node:test", recorded("node-22", "run"), "sums.test.mjs"
        ).values()
        if outcome is Outcome.FAILED
    ]
    assert message is not None
    assert "6 of 22 tests failed" in message
    assert "deep down" in message


@pytest.mark.parametrize("name", sorted(VERSIONS))
def test_the_version_that_was_asked_travels_with_the_plan(name: str) -> None:
    asked = suite(VERSIONS[name])
    found = framework_of(asked).read_discovery(asked, recorded(name, "discover"), NONCE)
    assert name.partition("-")[2] in found.context["version"]
    assert found.context["node"].startswith("v")


@pytest.mark.parametrize("name", LISTING)
def test_every_listed_test_ends_as_the_framework_says(name: str) -> None:
    asked = suite(VERSIONS[name])
    found = framework_of(asked).read_discovery(asked, recorded(name, "discover"), NONCE)
    ids = [test.test_id for test in found.tests]
    ended = outcome_of(VERSIONS[name], recorded(name, "run"), *ids)
    told = [json.loads(line) for line in recorded(name, "run").files["record.jsonl"].splitlines()]
    native = Counter(line["outcome"] for line in told if line["kind"] == "result")
    assert Counter(str(outcome) for outcome, _ in ended.values()) == native
    by_title = {text.partition(" > ")[2]: outcome for text, outcome in ended.items()}
    prefix = "[small] > " if VERSIONS[name] == "playwright" else ""
    assert by_title[prefix + "passes"][0] is Outcome.PASSED
    assert by_title[prefix + "skipped"][0] is Outcome.SKIPPED
    assert by_title[prefix + "todo"][0] is Outcome.SKIPPED
    assert by_title[prefix + "each 1"][0] is Outcome.PASSED
    assert by_title[prefix + "each 2"][0] is Outcome.FAILED
    assert "deep down" in (by_title[prefix + "suite > deep > fails"][1] or "")
    if not prefix:
        assert by_title["twice"][0] is Outcome.PASSED
        assert by_title[r"twice \#2"] == (Outcome.FAILED, by_title[r"twice \#2"][1])


@pytest.mark.parametrize("framework", JAVASCRIPT)
def test_a_test_that_the_framework_did_not_find_has_not_passed(framework: str) -> None:
    ended = outcome_of(framework, evidence(lines(), 0), "a.js > gone")
    outcome, message = ended["a.js > gone"]
    assert outcome is Outcome.ERRORED
    assert "not found" in (message or "")


@pytest.mark.parametrize("framework", JAVASCRIPT)
def test_a_crash_before_the_report_proves_nothing(framework: str) -> None:
    for seen in (
        evidence(None, 0),
        evidence(lines({"kind": "problem", "message": "it ended"}), 0),
        evidence(lines(result("passed", "t"))[:-40], 0),
        evidence(lines(result("passed", "t"), nonce="another"), 0),
        evidence(lines(result("passed", "t"), code=0), 1),
        evidence(lines(result("passed", "t"), code=3), 3),
    ):
        assert outcome_of(framework, seen, "a.js > t")["a.js > t"][0] is Outcome.ERRORED


@pytest.mark.parametrize("framework", JAVASCRIPT)
def test_a_file_that_does_not_load_is_told_with_its_reason(framework: str) -> None:
    line: dict[str, object] = {"kind": "broken", "file": "a.js", "message": "SyntaxError: no"}
    asked = suite(framework)
    found = framework_of(asked).read_discovery(asked, evidence(lines(line, code=1), 1), NONCE)
    assert dict(found.broken) == {"a.js": "SyntaxError: no"}
    outcome, message = outcome_of(framework, evidence(lines(line, code=1), 1), "a.js > t")[
        "a.js > t"
    ]
    assert outcome is Outcome.ERRORED
    assert "SyntaxError: no" in (message or "")


def test_tests_left_out_by_a_hook_that_failed_are_not_skipped() -> None:
    line: dict[str, object] = {"kind": "broken", "file": "a.js", "message": "hook: no database"}
    seen = evidence(lines(result("skipped", "t"), line, code=1), 1)
    outcome, message = outcome_of("vitest", seen, "a.js > t")["a.js > t"]
    assert outcome is Outcome.ERRORED
    assert "no database" in (message or "")


@pytest.mark.parametrize("framework", JAVASCRIPT)
@pytest.mark.parametrize(
    ("record", "code", "log", "reason"),
    [
        (None, 127, b"No such file", "no Node.js"),
        (lines({"kind": "problem", "message": "jest is not installed"}, code=1), 1, b"", "jest is"),
        (lines(code=1), 1, b"a plugin is missing", "exit code 1"),
        (lines(nonce="another"), 0, b"", "nonce"),
        (lines()[:-20], 0, b"", "middle of a line"),
        (lines(code=1), 0, b"", "is not the process's"),
    ],
)
def test_a_list_that_proves_nothing_is_an_error(
    framework: str, record: bytes | None, code: int, log: bytes, reason: str
) -> None:
    asked = suite(framework)
    with pytest.raises(DiscoveryError) as refused:
        framework_of(asked).read_discovery(asked, evidence(record, code, log=log), NONCE)
    assert reason in refused.value.reason
    assert refused.value.log == log.decode()


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["passed", "passed"], Outcome.PASSED),
        (["passed", "skipped"], Outcome.PASSED),
        (["skipped", "skipped"], Outcome.SKIPPED),
        (["passed", "failed"], Outcome.FAILED),
        (["passed", "nonsense"], Outcome.ERRORED),
        ([], Outcome.ERRORED),
    ],
)
def test_a_whole_file_ends_as_its_tests_do(outcomes: list[str], expected: Outcome) -> None:
    code = int("failed" in outcomes)
    told = [result(outcome, f"t{index}") for index, outcome in enumerate(outcomes)]
    seen = evidence(lines(*told, code=code), code)
    assert outcome_of("jest", seen, "a.js")["a.js"][0] is expected


@pytest.mark.parametrize("framework", JAVASCRIPT)
def test_ids_travel_as_data(framework: str) -> None:
    asked = suite(framework)
    hostile = r"a b.js > $(touch x) > x \> y `id` \#2"
    command = framework_of(asked).run_command(asked, attempts(hostile), {})
    assert not any("touch" in element for element in command.argv)
    assert NONCE_PLACE in command.argv
    request = json.loads(command.files["request.json"])
    assert request["tests"] == [
        {"file": "a b.js", "titles": ["$(touch x)", "x > y `id`"], "copy": 2}
    ]


@pytest.mark.parametrize("framework", JAVASCRIPT)
def test_ids_that_the_manifest_lists_need_no_list(framework: str) -> None:
    asked = suite(framework, ("a.js > t", "b.js"))
    assert framework_of(asked).discover_command(asked) is None
    found = framework_of(asked).read_discovery(asked, None, "")
    assert [(test.test_id, test.file, test.atom) for test in found.tests] == [
        ("a.js > t", "a.js", Atom.TEST),
        ("b.js", "b.js", Atom.FILE),
    ]

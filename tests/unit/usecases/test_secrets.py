"""Secrets reach the processes of tests and nothing else; without them there is no sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glovebox.domain.attempt import Fault
from glovebox.domain.outcome import Conclusion, Outcome
from glovebox.domain.plan import Batch
from glovebox.usecases.launch import LaunchMessage
from pydantic import ValidationError

from tests.unit.usecases.driver import Spine

VALUE = "postgres://ann:hunter22@db/x"
TEST = """
import os
assert "GLOVEBOX_RUN_ID" in os.environ or "DB_URL" not in os.environ, "discovery has it"
def test_x(): assert os.environ["DB_URL"][::-1] == "%s"
"""


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    spine = Spine(tmp_path)
    spine.secrets.values = {"DB_URL": VALUE}
    return spine


def manifest(code: str, **more: Any) -> dict[str, Any]:
    suite = {"name": "unit", "framework": "pytest", "timeout": "30s", **more.pop("suite", {})}
    files = {"test_a.py": code}
    return {"source": {"inline": {"files": files}}, "suites": [suite], "secrets": ["DB_URL"]} | more


def kept(spine: Spine) -> str:
    """All that a run leaves: objects, rows, answers."""
    objects = [content.decode(errors="replace") for content in spine.artifacts.objects.values()]
    rows = [spine.runs.run("r1"), *spine.runs.attempts("r1")]
    return "".join([*objects, *(row.model_dump_json() for row in rows)])


def test_a_secret_reaches_the_test_and_neither_set_up_nor_discovery(spine: Spine) -> None:
    code = TEST % VALUE[::-1]
    setup = {"setup": ['[ -z "$DB_URL" ]']}
    report = spine.drive(spine.start(manifest(code, image=setup)))
    assert report.conclusion is Conclusion.PASSED, report.tests
    assert VALUE not in kept(spine)
    assert spine.secrets.asked == ["DB_URL"]


def test_the_batch_carries_names_only(spine: Spine) -> None:
    run_id = spine.start(manifest("def test_x(): pass\n"))
    spine.prepare(run_id)
    [message] = spine.messages(spine.plan(run_id), run_id)
    batch = Batch.model_validate_json(spine.artifacts.objects[message.key])
    assert batch.secrets == ("DB_URL",)
    assert spine.secrets.asked == []


@pytest.mark.parametrize("characters", [100, 5000, 300_000])
def test_what_a_test_tells_of_a_secret_is_masked(spine: Spine, characters: int) -> None:
    code = (
        "import os\nvalue = os.environ.get('DB_URL', '')\n"
        f"def test_x():\n    print(value * ({characters} // 28))\n"
        "    raise RuntimeError('cannot reach ' + value)\n"
    )
    report = spine.drive(spine.start(manifest(code)))
    [test] = report.tests
    assert test.message == "RuntimeError: cannot reach ***"
    log = test.attempts[0].log
    assert log is not None
    shown = log.text or spine.artifacts.objects[log.key or ""].decode()
    assert "cannot reach ***" in shown
    assert log.bytes > characters
    assert "hunt" not in kept(spine)
    assert "@db/" not in kept(spine)


@pytest.mark.parametrize(
    "body",
    ['{"run_id": "r", "token": "BAIT-token"}', '{"token": "BAIT-token"', '["BAIT-token"]'],
)
def test_a_message_that_cannot_be_read_is_complained_of_without_its_token(body: str) -> None:
    with pytest.raises(ValidationError) as refused:
        LaunchMessage.model_validate_json(body)
    assert "BAIT" not in str(refused.value)


def test_a_missing_secret_errors_every_test_without_a_sandbox_and_only_once(spine: Spine) -> None:
    spine.secrets.values = {}
    code = "import pytest\n@pytest.mark.parametrize('x', range(6))\ndef test_x(x): pass\n"
    run_id = spine.start(manifest(code, suite={"retries": 2}))
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    before = len(spine.sandboxes.requests)
    for message in spine.messages(answer, run_id):
        spine.launcher()(message, lambda: 900.0)
    assert len(spine.sandboxes.requests) == before
    assert len(spine.secrets.asked) == answer.batches
    assert spine.settle(run_id, 1).batches == 0
    spine.reduce(run_id)
    report = spine.report(run_id)
    assert report.conclusion is Conclusion.ERRORED
    assert {test.result for test in report.tests} == {Outcome.ERRORED}
    assert len(report.tests) == 6
    assert all("GLOVEBOX_SECRET_DB_URL" in (test.message or "") for test in report.tests)
    assert {a.fault for a in spine.runs.attempts(run_id)} == {Fault.CONFIGURATION}
    assert spine.workflow.answered


def test_a_store_that_is_away_is_asked_again_and_not_for_ever(spine: Spine) -> None:
    spine.secrets.down = True
    run_id = spine.start(manifest("def test_x(): pass\n"))
    spine.prepare(run_id)
    answer = spine.plan(run_id)
    before = len(spine.sandboxes.requests)
    rounds = 0
    while answer.batches:
        rounds += 1
        for message in spine.messages(answer, run_id):
            spine.launcher()(message, lambda: 900.0)
        answer = spine.settle(run_id, answer.round)
    spine.reduce(run_id)
    assert len(spine.sandboxes.requests) == before
    assert 1 < rounds < 5
    assert "DB_URL: cannot be read now" in (spine.report(run_id).tests[0].message or "")


def test_a_store_that_comes_back_costs_nothing_but_a_round(spine: Spine) -> None:
    spine.secrets.down = True
    run_id = spine.start(manifest("def test_x(): pass\n"))
    spine.prepare(run_id)
    for message in spine.messages(spine.plan(run_id), run_id):
        spine.launcher()(message, lambda: 900.0)
    spine.secrets.down = False
    answer = spine.settle(run_id, 1)
    for message in spine.messages(answer, run_id):
        spine.launcher()(message, lambda: 900.0)
    spine.reduce(run_id)
    assert spine.report(run_id).conclusion is Conclusion.PASSED


def test_a_sandboxs_own_words_are_masked_as_well(spine: Spine) -> None:
    """What a hostile process puts in the place of its answer ends in a message."""
    code = (
        "import os, pathlib, signal\n"
        "def test_x():\n"
        "    here = pathlib.Path('../.glovebox/attempt')\n"
        "    (here / 'answer').write_text('glovebox odd ' + os.environ['DB_URL'] + '\\n')\n"
        "    (here / 'bodies').touch(); (here / 'done').touch()\n"
        "    stat = pathlib.Path(f'/proc/{os.getppid()}/stat').read_text()\n"
        "    os.kill(int(stat.rpartition(')')[2].split()[1]), signal.SIGKILL)\n"
    )
    report = spine.drive(spine.start(manifest(code)))
    messages = {attempt.message for attempt in report.tests[0].attempts}
    assert messages == {"sandbox lost: the process never answered: odd ***"}
    assert VALUE not in kept(spine)

"""What a test can forge (docs/report.md): its own result, and those that share its sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.outcome import Outcome

from tests.unit.usecases.driver import Spine

FORGER = """
import json, os, pathlib

def test_forger():
    here = pathlib.Path(os.getcwd()).parent / ".glovebox/attempt"
    argv = (here / "argv").read_bytes().split(b"\\0")
    nonce = argv[4].decode()
    names = [f"test_a.py::test_{name}" for name in ("forger", "fails", "never_was")]
    lines = [{"kind": "result", "id": n, "outcome": "passed", "nonce": nonce} for n in names]
    lines.append({"kind": "end", "exit_code": 0, "nonce": nonce})
    text = "".join(json.dumps(line) + "\\n" for line in lines)
    pathlib.Path(argv[3].decode()).write_text(text)
    os._exit(0)

def test_fails():
    assert False
"""


@pytest.mark.parametrize(
    ("isolation", "neighbour"), [("test", Outcome.FAILED), ("file", Outcome.PASSED)]
)
def test_a_test_can_forge_the_results_of_its_own_sandbox_and_no_others(
    tmp_path: Path, isolation: str, neighbour: Outcome
) -> None:
    report = Spine(tmp_path).run({"test_a.py": FORGER}, isolation=isolation)
    results = {test.test_id.partition("::test_")[2]: test.result for test in report.tests}
    # Whoever writes the test may as well write `pass`. A test that was not planned is nobody's.
    assert results == {"forger": Outcome.PASSED, "fails": neighbour}


def test_a_record_with_the_nonce_of_another_attempt_proves_nothing(tmp_path: Path) -> None:
    code = FORGER.replace("argv[4].decode()", "'0' * 32")
    report = Spine(tmp_path).run({"test_a.py": code}, tests=["test_a.py::test_forger"])
    assert report.tests[0].result is Outcome.ERRORED

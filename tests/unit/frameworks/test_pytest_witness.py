"""The witness stands in for `python -m pytest`: what it changes, the tests must not notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from glovebox.frameworks.contract import payload
from glovebox.frameworks.pytest import SELECTORS, WITNESS
from glovebox.frameworks.witness_record import RECORD

NONCE = "0" * 32


def run_witness(
    folder: Path, files: dict[str, str], *selectors: str
) -> tuple[list[dict[str, Any]], str]:
    """The record of a run of these files, and what it printed."""
    source = folder / "src"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text)
    (folder / WITNESS).write_bytes(payload(WITNESS))
    (folder / SELECTORS).write_text(json.dumps(selectors))
    command = [sys.executable, "-S", str(folder / WITNESS), "run", str(folder / RECORD), NONCE]
    ended = subprocess.run(
        [*command, str(folder / SELECTORS), "--rootdir=.", "-p", "no:cacheprovider"],
        cwd=source,
        env={
            "PYTHONPATH": next(path for path in sys.path if path.endswith("site-packages")),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    record = [json.loads(line) for line in (folder / RECORD).read_text().splitlines()]
    return record, ended.stdout


def test_garbage_is_collected_as_ever_from_the_first_conftest_on(tmp_path: Path) -> None:
    made = "class Cycle: pass\nCYCLE = Cycle()\nCYCLE.itself = CYCLE\n"
    conftest = "import gc, weakref\nENABLED = gc.isenabled()\n" + made
    test = """\
import gc, weakref, conftest

def test_the_collector_is_on():
    assert conftest.ENABLED and gc.isenabled()

def test_what_the_suite_made_is_known_and_collected():
    assert conftest.CYCLE in gc.get_objects()
    known = weakref.ref(conftest.CYCLE)
    del conftest.CYCLE
    gc.collect()
    assert known() is None
"""
    record, _ = run_witness(tmp_path, {"conftest.py": conftest, "test_a.py": test}, "test_a.py")
    assert [(line["kind"], line.get("outcome")) for line in record] == [
        ("result", "passed"),
        ("result", "passed"),
        ("end", None),
    ]


def test_what_pytest_is_made_of_is_left_out_of_the_search(tmp_path: Path) -> None:
    test = "import gc\ndef test_x(): assert gc.get_freeze_count() > 10_000\n"
    record, _ = run_witness(tmp_path, {"test_a.py": test}, "test_a.py")
    assert record[0]["outcome"] == "passed"


def test_garbage_that_complains_as_it_goes_is_still_told(tmp_path: Path) -> None:
    test = """\
class Complains:
    def __del__(self): raise RuntimeError("on purpose")

def test_x():
    made = Complains()
    made.itself = made
"""
    record, output = run_witness(tmp_path, {"test_a.py": test}, "test_a.py")
    assert record[0]["outcome"] == "passed"
    assert "RuntimeError: on purpose" in output

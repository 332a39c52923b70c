"""`--report DIR`: the reports and the logs of what did not pass, as files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from glovebox.domain.outcome import Outcome
from glovebox.domain.report import Report

from glovebox_cli.logs import LogReader

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
_OURS = re.compile(r"[0-9]{4,}-[A-Za-z0-9._-]*\.txt")
_GOOD = (Outcome.PASSED, Outcome.SKIPPED)


@dataclass(frozen=True)
class Written:
    """What was written, for the ending to name."""

    files: tuple[Path, ...] = ()
    logs: dict[tuple[str, int], Path] = field(default_factory=dict)
    """By key of the test and number of the attempt."""


def write_report(
    folder: Path, report: Report, raw: bytes, junit: bytes, logs: LogReader
) -> Written:
    """Write report.json, junit.xml and logs/. Raises OSError."""
    log_folder = folder / "logs"
    log_folder.mkdir(parents=True, exist_ok=True)
    if (folder / "report.json").exists():
        _remove_old_logs(log_folder)
    written: dict[tuple[str, int], Path] = {}
    for test in report.tests:
        for attempt in test.attempts:
            if attempt.outcome in _GOOD:
                continue
            name = f"{len(written) + 1:04d}-{safe_name(test.suite, test.test_id)}-{attempt.number}"
            path = log_folder / f"{name}.txt"
            content = logs.read(test, attempt)
            path.write_bytes(content.encode(errors="replace"))
            written[test.key, attempt.number] = path
    (folder / "junit.xml").write_bytes(junit)
    # Last, so that whoever finds it finds the rest as well.
    (folder / "report.json").write_bytes(raw)
    return Written((folder / "report.json", folder / "junit.xml"), written)


def safe_name(suite: str, test_id: str) -> str:
    """A test as a file name: the id is foreign text and must not choose a folder."""
    words = _UNSAFE.sub("_", f"{suite}-{test_id}").strip("._-")
    # The end of an id tells more than its folder.
    return words[-_LONGEST_NAME:].lstrip("._-") or "test"


def _remove_old_logs(log_folder: Path) -> None:
    """A failure of the run before must not lie beside this run's report."""
    for path in log_folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()

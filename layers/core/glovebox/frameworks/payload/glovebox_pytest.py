"""pytest with a witness: runs inside a sandbox, writes what pytest did as JSON lines.

    python glovebox_pytest.py discover|run OUT NONCE SELECTORS [pytest arguments ...]

SELECTORS is a file with a JSON array: what to collect or run, as pytest's arguments.

Stands in for `python -m pytest`: same sys.path, same exit code. The record is one line per
finished test, written as it happens, and a closing line; each carries NONCE. Nothing of
Glovebox is put into the environment or on sys.path.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

MAX_MESSAGE = 8000  # characters of a failure's text that travel in the record
CUT = "\u2026"  # where a text was cut: a secret's half is looked for beside it


class Record:
    """Appends JSON lines to the record file."""

    def __init__(self, path: str, nonce: str) -> None:
        self._nonce = nonce
        # Line buffered: what a killed process wrote before stays readable.
        self._file = open(  # noqa: SIM115 - open until the process ends
            path, "w", encoding="utf-8", errors="backslashreplace", buffering=1
        )
        self._process = os.getpid()

    def write(self, **facts: Any) -> None:
        # A forked child that runs on into pytest's hooks must not testify for its parent.
        if os.getpid() == self._process:
            self._file.write(json.dumps(dict(facts, nonce=self._nonce)) + "\n")


class GarbageCollection:
    """Spares a short test a sixth of its time: pytest itself is never searched for garbage.

    Importing it makes none, and pytest itself collects five times at its end. From the first
    conftest on the collector is on as ever, for everything that is made from there on.
    """

    def __init__(self) -> None:
        gc.disable()

    def pytest_load_initial_conftests(self) -> None:
        gc.freeze()
        gc.enable()


class Discoverer:
    """Lists what pytest collected, and what it could not collect."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._record.write(
                kind="collection_error",
                id=report.nodeid,
                message=last_words(report),
            )

    def pytest_collection_finish(self, session: Any) -> None:
        config = session.config
        inifile = getattr(config, "inipath", None)
        self._record.write(
            kind="session",
            rootdir=os.path.relpath(str(config.rootpath)),
            inifile=None if inifile is None else os.path.relpath(str(inifile)),
        )
        for item in session.items:
            path, line, _ = item.location
            names = item.nodeid.partition("::")[2]
            file = os.path.relpath(str(item.path))
            self._record.write(
                kind="test",
                id=item.nodeid,
                # Ids count from pytest's root folder, arguments from the current one.
                selector=file + "::" + names if names else file,
                file=os.path.relpath(os.path.join(str(config.rootpath), path)),
                line=None if line is None else line + 1,
            )


class Witness:
    """Records how each test ended, from every report that pytest makes of it."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._reports: dict[str, list[Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._reports.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        reports = self._reports.pop(nodeid, [])
        outcome, message = conclude(reports)
        self._record.write(
            kind="result",
            id=nodeid,
            outcome=outcome,
            message=message,
            duration=sum((r.duration for r in reports if not is_subtest(r)), 0.0),
        )

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._record.write(
                kind="collection_error",
                id=report.nodeid,
                message=last_words(report),
            )


def is_subtest(report: Any) -> bool:
    """Whether a report is of a part of a test (unittest's subTest, pytest's subtests)."""
    return getattr(report, "context", None) is not None


def conclude(reports: list[Any]) -> tuple[str, str | None]:
    """Passed only if the call passed, nothing failed and the teardown passed."""
    failed = [r for r in reports if r.failed]
    if failed:
        where = "" if failed[0].when == "call" else failed[0].when + ": "
        return "failed", where + first_words(failed[0])
    whole = [r for r in reports if not is_subtest(r)]
    skipped = [r for r in whole if r.skipped]
    if skipped:
        return "skipped", skip_reason(skipped[0])
    phases = {r.when for r in whole if r.passed}
    if phases >= {"setup", "call", "teardown"}:
        return "passed", None
    return "errored", "pytest reported only: " + ", ".join(sorted(phases))


def first_words(report: Any) -> str:
    """The crash line, or else the text of the failure."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    text = getattr(crash, "message", None) or str(report.longrepr)
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + CUT


def last_words(report: Any) -> str:
    """The end of a report, where it says what went wrong."""
    text = str(report.longrepr)
    return text if len(text) <= MAX_MESSAGE else CUT + text[-MAX_MESSAGE:]


def skip_reason(report: Any) -> str:
    """Why a test was skipped or failed as expected."""
    if hasattr(report, "wasxfail"):
        return "expected to fail: " + str(report.wasxfail)
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else str(longrepr)
    prefix = "Skipped: "
    return reason[len(prefix) :] if reason.startswith(prefix) else reason


def main(arguments: list[str]) -> int:
    """Run pytest; its exit code is ours."""
    mode, out, nonce, selectors = arguments[:4]
    collection = GarbageCollection()
    import pytest

    with open(selectors, encoding="utf-8") as file:
        options = arguments[4:] + json.load(file)

    # As `python -m pytest` has it: the current folder first, and pytest's own name in argv.
    sys.path[0] = os.getcwd()
    sys.argv = [os.path.join(os.path.dirname(pytest.__file__), "__main__.py"), *options]
    record = Record(out, nonce)
    plugin: object = Discoverer(record) if mode == "discover" else Witness(record)
    code = int(pytest.main(options, plugins=[plugin, collection]))
    record.write(kind="end", exit_code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

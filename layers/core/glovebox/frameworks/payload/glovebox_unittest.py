"""unittest with a witness: runs inside a sandbox, writes what unittest did as JSON lines.

    python glovebox_unittest.py discover|run OUT NONCE SELECTORS

SELECTORS is a JSON file: for discover `{"paths": [...]}`; for run `{"tops": [...], "tests":
[[id, module or null], ...]}`. Stands in for `python -m unittest`: same sys.path, exit code 0 or 1.
The record is one line per finished test and a closing line; each carries NONCE.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import time
import unittest
from collections.abc import Iterable, Iterator, Sequence
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
        # A forked child must not testify for its parent.
        if os.getpid() == self._process:
            self._file.write(json.dumps(dict(facts, nonce=self._nonce)) + "\n")


class Loader(unittest.TestLoader):
    """Remembers which module each test was loaded from: its id names its class's module."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[int, str] = {}
        self._kept: list[Any] = []  # an address is a name only as long as its object lives

    def loadTestsFromModule(self, module: Any, *args: Any, **options: Any) -> unittest.TestSuite:
        suite = super().loadTestsFromModule(module, *args, **options)
        for test in leaves(suite):
            self._kept.append(test)
            self.origins.setdefault(id(test), module.__name__)
        return suite


def leaves(suite: Iterable[Any]) -> Iterator[Any]:
    """Every test of a suite, in order."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from leaves(test)
        elif test is not None:
            yield test


class Witness(unittest.TextTestResult):
    """Records how each test ended. The last line is held back until the next test starts: the
    fixtures of its class and module are taken down in between, and may fail."""

    record: Record
    requested: Sequence[Any] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told: dict[str, tuple[str, str | None]] = {}
        self._held: dict[str, Any] | None = None
        self._done: set[int] = set()
        self._began = 0.0

    def startTest(self, test: Any) -> None:
        self.release()
        super().startTest(test)
        self._told = {}
        self._began = time.monotonic()

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        outcome, message = (
            self._told.get("failed")
            or self._told.get("skipped")
            or (self._told.get("passed") or ("errored", "unittest reported no ending"))
        )
        self._hold(test, outcome, message, time.monotonic() - self._began)

    def _hold(self, test: Any, outcome: str, message: str | None, duration: float) -> None:
        self.release()
        self._done.add(id(test))
        told = {"outcome": outcome, "message": message, "duration": duration}
        self._held = {"id": test.id(), **told}

    def release(self) -> None:
        if self._held is not None:
            self.record.write(kind="result", **self._held)
            self._held = None

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._told["passed"] = ("passed", None)

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._fail(test, words(err))

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._fail(test, words(err))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fail(test, words(err))

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._fail(test, "passed, and was expected to fail")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._told.setdefault("skipped", ("skipped", "expected to fail: " + words(err)))

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        if is_fixture(test):
            self._fixture_ended(test, "skipped", reason)
        else:
            self._told.setdefault("skipped", ("skipped", reason))

    def _fail(self, test: Any, message: str) -> None:
        if is_fixture(test):
            self._fixture_ended(test, "failed", message)
        else:
            self._told.setdefault("failed", ("failed", message))

    def _fixture_ended(self, holder: Any, outcome: str, message: str) -> None:
        """setUpClass ended every test of its class; tearDownClass the one that ran last."""
        fixture, _, rest = holder.description.partition(" (")
        owner = rest[:-1]
        if fixture.startswith("tearDown"):
            if outcome == "failed" and self._held is not None:
                self._held.update(outcome="failed", message=fixture + ": " + message)
            return
        for test in self.requested:
            kind = type(test)
            names = (kind.__module__, kind.__module__ + "." + kind.__qualname__)
            if owner in names and id(test) not in self._done:
                self._hold(test, outcome, fixture + ": " + message, 0.0)


def is_fixture(test: Any) -> bool:
    """Whether this stands for a fixture of a class or module, as unittest tells its failure."""
    return type(test).__name__ == "_ErrorHolder"


def words(err: Any) -> str:
    """The exception's own line."""
    return cut("%s: %s" % (err[0].__name__, err[1]))


def cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + CUT


def top_of(folder: str) -> str:
    """The folder that holds the outermost package around this one, or the folder itself."""
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def discover(record: Record, paths: Sequence[str]) -> None:
    """List the tests below each path, as `python -m unittest discover` would."""
    loader = Loader()
    tops: list[str] = []
    suites: list[unittest.TestSuite] = []
    for path in paths or ["."]:
        path = os.path.abspath(path)
        if not os.path.exists(path):
            record.write(
                kind="load_error", id=os.path.relpath(path), message="there is no such path"
            )
            continue
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        top = top_of(folder)
        if top not in tops:
            tops.append(top)
        if top not in sys.path:
            sys.path.insert(0, top)
        if folder == path:
            loader._top_level_dir = None  # type: ignore[attr-defined]  # it keeps the first one otherwise
            suites.append(loader.discover(path, top_level_dir=top))
        else:
            name = os.path.splitext(os.path.relpath(path, top))[0].replace(os.sep, ".")
            suites.append(load(loader, name, record))
    record.write(kind="session", tops=json.dumps([os.path.relpath(top) for top in tops]))
    for test in (test for suite in suites for test in leaves(suite)):
        if type(test).__name__ == "_FailedTest":
            record.write(
                kind="load_error", id=test._testMethodName, message=cut(str(test._exception))
            )
            continue
        module = loader.origins.get(id(test))
        if type(test).__name__ == "ModuleSkipped":
            module = test._testMethodName
        file, line = place(test, module)
        record.write(kind="test", id=test.id(), module=module, file=file, line=line)


def place(test: Any, module: str | None) -> tuple[str | None, int | None]:
    """File of the module that the test was loaded from, and its line where it is in that file."""
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if file is None:
        return None, None
    line = None
    method = getattr(test, getattr(test, "_testMethodName", ""), None)
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    if code is not None and os.path.abspath(code.co_filename) == os.path.abspath(file):
        line = code.co_firstlineno
    return os.path.relpath(file), line


def load(loader: Loader, name: str, record: Record, ids: Sequence[str] = ()) -> unittest.TestSuite:
    """The tests of a module; none where it cannot be loaded, which the record then says."""
    try:
        return loader.loadTestsFromModule(importlib.import_module(name))
    except unittest.SkipTest as skipped:
        for test_id in ids:
            record.write(kind="result", id=test_id, outcome="skipped", message=str(skipped))
    except BaseException as error:  # SystemExit too: no test was run
        message = "%s: %s" % (type(error).__name__, error)
        record.write(kind="load_error", id=name, message=cut(message))
    return unittest.TestSuite()


def chosen(record: Record, wanted: Sequence[tuple[str, str | None]]) -> list[Any]:
    """The tests with these ids, grouped by the module that holds them."""
    loader = Loader()
    by_module: dict[str, list[str]] = {}
    suite: list[Any] = []
    for test_id, module in wanted:
        by_module.setdefault(module or module_of(test_id), []).append(test_id)
    for module, ids in by_module.items():
        suite += [t for t in leaves(load(loader, module, record, ids)) if t.id() in ids]
    return suite


def module_of(test_id: str) -> str:
    """The module in an id that the manifest lists: all but class and method."""
    return test_id.rsplit(".", 2)[0]


def main(arguments: Sequence[str]) -> int:
    mode, out, nonce, selectors = arguments
    with open(selectors, encoding="utf-8") as file:
        asked = json.load(file)
    # As `python -m unittest` has it: the current folder first, and unittest's own name in argv.
    sys.path[0] = os.getcwd()
    sys.argv = [os.path.join(os.path.dirname(unittest.__file__), "__main__.py")]
    record = Record(out, nonce)
    if mode == "discover":
        discover(record, asked["paths"])
        record.write(kind="end", exit_code=0)
        return 0
    for top in asked["tops"]:
        if os.path.abspath(top) not in sys.path:
            sys.path.insert(0, os.path.abspath(top))
    tests = chosen(record, asked["tests"])
    Witness.record, Witness.requested = record, tests
    warnings = None if sys.warnoptions else "default"
    runner = unittest.TextTestRunner(verbosity=2, resultclass=Witness, warnings=warnings)
    result: Any = runner.run(unittest.TestSuite(list(tests)))
    result.release()
    code = 0 if result.wasSuccessful() else 1
    record.write(kind="end", exit_code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

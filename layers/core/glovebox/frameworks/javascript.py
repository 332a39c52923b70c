"""What the JavaScript frameworks share: how their programs are started, their records read.

`payload/glovebox_node.cjs` runs in the sandbox. It starts the program that is installed below
`node_modules` (nothing is downloaded), and writes each test's file, titles and ending as a line
with the attempt's nonce: exit code 0 is what most of these programs end with when nothing ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from glovebox.domain.errors import DiscoveryError
from glovebox.domain.evidence import Evidence, FrameworkRecord
from glovebox.domain.manifest import Suite
from glovebox.domain.outcome import Outcome
from glovebox.domain.plan import Atom, DiscoveredTest, PlannedAttempt
from glovebox.frameworks.contract import FOLDER, NONCE, Command, Discovery, payload
from glovebox.frameworks.javascript_results import read_results
from glovebox.frameworks.title_path import Copies, copy_of, parse_id, titled_id
from glovebox.frameworks.titled_lines import file_and_titles
from glovebox.frameworks.witness_record import (
    RECORD,
    common_nonce,
    end_code,
    line_number,
    listed_lines,
    record_lines,
)

PROGRAM = "glovebox_node.cjs"
REQUEST = "request.json"
NO_SUCH_PROGRAM = 127


class JavaScriptFramework:
    """A framework that Node.js runs. Ids are a file and a path of titles: see `title_path`."""

    word: str
    """Which adapter in `payload` speaks with it."""
    files: tuple[str, ...]
    """What of `payload` travels beside the shared program."""

    def discover_command(self, suite: Suite) -> Command | None:
        """Lists what is below `paths`; ids that the manifest lists need no list."""
        return None if suite.tests else self._command("discover", paths=suite.paths)

    def read_discovery(self, suite: Suite, evidence: Evidence | None, nonce: str) -> Discovery:
        """The tests, numbered where several of a file share their titles."""
        if suite.tests:
            return Discovery([_named(suite, text) for text in suite.tests])
        if evidence is None:
            raise DiscoveryError(suite.name, "no answer from the sandbox")
        log = evidence.log.decode(errors="replace")
        if evidence.timed_out:
            raise DiscoveryError(suite.name, "listing the tests took too long", log)
        if evidence.exit_code == NO_SUCH_PROGRAM and not evidence.files.get(RECORD):
            raise DiscoveryError(suite.name, "there is no Node.js in the sandbox's image", log)
        lines = listed_lines(suite, evidence, nonce, self.word)
        return self._read_list(suite, lines, evidence, log)

    def _read_list(
        self, suite: Suite, lines: Sequence[dict[str, object]], evidence: Evidence, log: str
    ) -> Discovery:
        copies = Copies()
        tests: list[DiscoveredTest] = []
        broken: dict[str, str] = {}
        context: dict[str, str] = {}
        for line in lines:
            kind = line.get("kind")
            if kind == "session":
                context = {k: v for k in ("version", "node") if isinstance(v := line.get(k), str)}
            elif kind == "problem":
                raise DiscoveryError(suite.name, str(line.get("message")), log)
            elif kind == "test":
                file, titles = file_and_titles(line)
                tests.append(_found(suite, copies.next_id(file, titles), file, titles, line))
            elif kind == "broken":
                broken[titled_id(str(line.get("file")), ())] = str(line.get("message", ""))
        if evidence.exit_code != 0 and not broken:
            reason = f"{self.word} could not list the tests (exit code {evidence.exit_code})"
            raise DiscoveryError(suite.name, reason, log)
        return Discovery(tests, broken, context)

    def run_command(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], context: Mapping[str, str]
    ) -> Command:
        """Runs exactly these tests, and those that share all titles with one of them."""
        tests = [_request(attempt.test_id) for attempt in attempts]
        return self._command("run", tests=tests)

    def read_record(
        self, suite: Suite, attempts: Sequence[PlannedAttempt], evidence: Evidence
    ) -> FrameworkRecord:
        """The tests that were asked for. What else failed, the exit code leaves out too."""
        content = evidence.files.get(RECORD)
        if content is None:
            return FrameworkRecord(None, complete=False, exit_code=None)
        lines, problem = record_lines(content)
        code = end_code(lines)
        tests = read_results(lines, [attempt.test_id for attempt in attempts])
        blamed = any(test.outcome is Outcome.FAILED for test in tests)
        # What did not load explains why a test is missing, or an exit code that no test explains.
        explains = not tests or (code != 0 and not blamed)
        kinds = ("problem", "broken") if explains else ("problem",)
        problem = problem or _first_problem(lines, kinds)
        complete = problem is None and code is not None
        return FrameworkRecord(
            nonce=common_nonce(lines),
            complete=complete,
            exit_code=code if complete else None,
            tests=tests,
            problem=problem,
        )

    def _command(
        self, mode: str, paths: Sequence[str] = (), tests: Sequence[Mapping[str, object]] = ()
    ) -> Command:
        request = json.dumps({"paths": list(paths), "tests": list(tests)}).encode()
        program, record = f"{FOLDER}/{PROGRAM}", f"{FOLDER}/{RECORD}"
        return Command(
            argv=("node", program, self.word, mode, record, NONCE, f"{FOLDER}/{REQUEST}"),
            files={REQUEST: request} | {name: payload(name) for name in (PROGRAM, *self.files)},
            results={RECORD: record},
            # The program escapes everything else.
            results_are_ascii=True,
        )


def _request(text: str) -> dict[str, object]:
    file, titles = parse_id(text)
    return {"file": file, "titles": titles, "copy": copy_of(text)}


def _named(suite: Suite, text: str) -> DiscoveredTest:
    file, titles = parse_id(text)
    return _found(suite, text, file, titles, {})


def _found(
    suite: Suite, text: str, file: str, titles: Sequence[str], line: Mapping[str, object]
) -> DiscoveredTest:
    return DiscoveredTest(
        suite=suite.name,
        test_id=text,
        file=file,
        line=line_number(line.get("line")),
        atom=Atom.TEST if titles else Atom.FILE,
    )


def _first_problem(lines: Sequence[Mapping[str, object]], kinds: Sequence[str]) -> str | None:
    for line in lines:
        if line.get("kind") in kinds:
            place = f"{line['file']}: " if line.get("file") else ""
            return f"{place}{line.get('message')}"
    return None

"""The laboratory, from outside: its stack, the runs on it, and what was seen of them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from glovebox.domain.outcome import Outcome

from tests.faults.invariants import violations
from tests.faults.lab import bad_queue
from tests.faults.lab.counter import PROBE, Execution, ExecutionCounter
from tests.faults.lab.shared import FAULT_VARIABLE
from tests.faults.lab.tree import ROOT
from tests.faults.witness import StackWitness
from tests.faults.world import World

LOOK_SECONDS = 0.25
TRUTH = {"good": Outcome.PASSED, "bad": Outcome.FAILED}


@dataclass
class Laboratory:
    """A running stack that can be told to break; a context manager."""

    folder: Path
    lives: dict[str, list[float]] = field(default_factory=dict)
    """First and last moment at which a sandbox was seen alive."""
    _finished: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.counter = ExecutionCounter(self._began)
        self.counter.__enter__()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lab.serve", str(self.folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the laboratory ended with {self._process.wait(10)}"
        self.endpoints = json.loads(line)
        self.witness = StackWitness(self.endpoints)
        self.witness.listen()
        self.witness.follow()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watcher.join()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self.counter.__exit__(kind, error, trace)

    def start(
        self,
        fault: str = "",
        *,
        tests: Sequence[str] = tuple(TRUTH),
        seconds: float = 0.4,
        parallelism: int = 1,
        name: str = "lab",
    ) -> str:
        """Start a run of tests that end as their names begin; returns its id."""
        env = {"LAB_PORT": str(self.counter.port), "LAB_SECONDS": f"{seconds}"}
        suite = {
            "name": "unit",
            "framework": "command",
            "command": ["bash", "probe.sh", "{test_id}"],
            "tests": list(tests),
            "timeout": f"{int(seconds) + 2}s",
        }
        manifest = {
            "version": 1,
            "name": name,
            "source": {"inline": {"files": {"probe.sh": PROBE}}},
            "suites": [suite],
            "env": {**env, FAULT_VARIABLE: fault} if fault else env,
            "network": True,
            "parallelism": parallelism,
            "timeout": "5m",
        }
        url = f"{self.endpoints['api_url']}/runs"
        answer = httpx.post(url, json={"manifest": manifest}, timeout=30)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def wait(self, run_id: str, seconds: float = 150) -> None:
        """Until the run has finished."""
        with self._changed:
            ended = self._changed.wait_for(lambda: run_id in self._finished, seconds)
        assert ended, f"{run_id} did not finish: {self.journal(run_id)}"

    @contextmanager
    def bad_queue(
        self, *, throttled: float = 0, twice: float = 0, late: float = 0
    ) -> Iterator[None]:
        """For a while: shares of refused invocations and of messages delivered twice at once, and
        the most seconds that a message is held up."""
        knobs = self.folder / "records" / bad_queue.FILE_NAME
        knobs.write_text(json.dumps({"throttled": throttled, "twice": twice, "late": late}))
        try:
            yield
        finally:
            knobs.unlink()

    def throttled(self) -> int:
        """How many invocations were refused so far."""
        path = self.folder / "records" / "throttled"
        return path.stat().st_size if path.exists() else 0

    def world(self, *run_ids: str) -> World:
        """These runs, or all, with how often their attempts were executed."""
        world = self.witness.look(run_ids or None)
        counts = self.counter.counts()
        named = {view.run.run_id for view in world.runs}
        return replace(world, executions={e: n for e, n in counts.items() if e[0] in named})

    def settled_world(self, seconds: float = 60) -> World:
        """The whole world once nothing is wrong with it, or as it is when time is up."""
        until = time.monotonic() + seconds
        while True:
            world = self.world()
            if time.monotonic() > until or not violations(world, over=True, truth=TRUTH):
                return world
            time.sleep(LOOK_SECONDS)

    def journal(self, run_id: str | None = None, event: str | None = None) -> list[dict[str, Any]]:
        """What the functions noted, of a run, of a kind."""
        path = self.folder / "records" / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        noted: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [
            line
            for line in noted
            if line["run_id"] == (run_id or line["run_id"])
            and line["event"] == (event or line["event"])
        ]

    def detection_seconds(self, run_id: str) -> float | None:
        """From the fault to the moment at which the round was settled without its launcher."""
        struck = self.journal(run_id, "struck")
        settled: list[float] = [line["at"] for line in self.journal(run_id, "settle")]
        after = [at for at in settled if struck and at > struck[0]["at"]]
        return float(after[0] - struck[0]["at"]) if after else None

    def orphan_seconds(self, run_id: str) -> float:
        """How long the sandboxes of the launcher that was struck lived on, all together."""
        struck = self.journal(run_id, "struck")
        if not struck:
            return 0.0
        began = struck[0]["at"]
        before = [line for line in self.journal(run_id, "created") if line["at"] <= began]
        lives: Mapping[str, list[float]] = self.lives
        seen = [lives[line["sandbox_id"]][1] for line in before if line["sandbox_id"] in lives]
        return float(sum(max(0.0, last - began) for last in seen))

    def _began(self, execution: Execution) -> None:
        run_id, _, number = execution
        (self.folder / "records" / f"started-{run_id}-{number}").touch()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            now = time.time()
            for sandbox in self.witness.sandboxes():
                self.lives.setdefault(sandbox.sandbox_id, [now, now])[1] = now
            finished = set(self.witness.finished_run_ids())
            with self._changed:
                self._finished = finished
                self._changed.notify_all()

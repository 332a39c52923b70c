"""Drives a run through all its use cases as the state machine does, over fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glovebox.domain import keys
from glovebox.domain.plan import RoundAnswer
from glovebox.domain.report import Report
from glovebox.ports import Runs
from glovebox.usecases.accept import AcceptManifest
from glovebox.usecases.launch import LaunchBatch, LaunchMessage
from glovebox.usecases.plan import PlanRun
from glovebox.usecases.prepare import PrepareRun
from glovebox.usecases.reduce import ReduceRun
from glovebox.usecases.settle import SettleRound

from tests.fakes import (
    FolderSandboxes,
    MemoryArtifacts,
    MemoryLaunchQueue,
    MemoryPace,
    MemoryRuns,
    MemorySecrets,
    MemoryWorkflow,
    RealClock,
    token_maker,
)

LIMIT = 10**9


class Spine:
    """All use cases over one set of fakes."""

    def __init__(
        self,
        folder: Path,
        *,
        seconds_left: float = 900.0,
        quick_images: bool = False,
        max_tests: int = 100_000,
        runs: Runs | None = None,
    ) -> None:
        self.sandboxes = FolderSandboxes(folder)
        self.runs: Runs = runs if runs is not None else MemoryRuns()
        self.artifacts = MemoryArtifacts()
        self.workflow = MemoryWorkflow()
        self.queue = MemoryLaunchQueue()
        self.secrets = MemorySecrets()
        self.clock = RealClock()
        self.pace = MemoryPace()
        self.token = token_maker()
        self.seconds_left = seconds_left
        shared = (self.runs, self.artifacts, self.clock)
        self.accept = AcceptManifest(self.runs, self.artifacts, self.workflow, self.clock)
        self.prepare = PrepareRun(self.sandboxes, *shared, self.token)
        baking = (self.sandboxes, quick_images)
        self.plan = PlanRun(self.sandboxes, *shared, self.token, 4, *baking, max_tests)
        self.settle = SettleRound(self.sandboxes, *shared, *baking)
        self.reduce = ReduceRun(*shared)

    def launcher(self) -> LaunchBatch:
        return LaunchBatch(
            self.sandboxes,
            self.runs,
            self.artifacts,
            self.workflow,
            self.queue,
            self.clock,
            self.token,
            self.pace,
            self.secrets,
        )

    def start(self, manifest: dict[str, Any], run_id: str = "r1") -> str:
        text = json.dumps({"version": 1, "name": "n", **manifest})
        self.accept(text, file="m.json", run_id=run_id, door="api", owner="me")
        return run_id

    def messages(self, answer: RoundAnswer, run_id: str) -> list[LaunchMessage]:
        tickets = json.loads(self.artifacts.get(answer.batches_key, limit=LIMIT))
        assert len(tickets) == answer.batches
        return [
            LaunchMessage(
                run_id=run_id, batch_id=t["batch_id"], key=t["key"], token=f"token-{t['batch_id']}"
            )
            for t in tickets
        ]

    def turn(self, message: LaunchMessage) -> None:
        """One launcher, whose time really runs out."""
        ends_at = self.clock.monotonic() + self.seconds_left
        self.launcher()(message, lambda: ends_at - self.clock.monotonic())

    def launch(self, message: LaunchMessage) -> int:
        """Drive a batch through all its turns; returns how many there were."""
        self.turn(message)
        turns = 1
        while self.queue.sent:
            body, delay = self.queue.sent.pop()
            self.clock.skip(delay)
            self.turn(LaunchMessage.model_validate_json(body))
            turns += 1
            assert turns < 100, "the batch is handed on for ever"
        return turns

    def drive(self, run_id: str) -> Report:
        """Prepare → Plan → (Launch → Settle)* → Reduce."""
        self.prepare(run_id)
        answer = self.plan(run_id)
        while answer.batches:
            assert answer.round < 10, "the rounds never end"
            for message in self.messages(answer, run_id):
                self.launch(message)
            answer = self.settle(run_id, answer.round)
        self.reduce(run_id)
        return self.report(run_id)

    def report(self, run_id: str) -> Report:
        content = self.artifacts.get(keys.report_key(run_id, "report.json"), limit=LIMIT)
        return Report.model_validate_json(content)

    def run(self, files: dict[str, str], **suite: Any) -> Report:
        """Run inline files as one suite, from the manifest to the report."""
        names = ("fail_fast", "parallelism", "image", "timeout_of_run")
        top: dict[str, Any] = {name: suite.pop(name) for name in names if name in suite}
        if "timeout_of_run" in top:
            top["timeout"] = top.pop("timeout_of_run")
        whole = {"name": "unit", "framework": "pytest", "timeout": "30s", **suite}
        run_id = self.start({"source": {"inline": {"files": files}}, "suites": [whole], **top})
        return self.drive(run_id)

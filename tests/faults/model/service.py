"""The service, as far as AWS runs it: state machines, queues, tokens, over the real use cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from glovebox.domain.plan import RoundAnswer
from glovebox.usecases.accept import AcceptManifest
from glovebox.usecases.launch import LaunchBatch, LaunchMessage
from glovebox.usecases.plan import PlanRun
from glovebox.usecases.prepare import PrepareRun
from glovebox.usecases.reduce import Notification, ReduceRun
from glovebox.usecases.settle import SettleRound
from glovebox.usecases.sweep import SweepRuns

from tests.fakes import (
    FakeClock,
    MemoryArtifacts,
    MemoryPace,
    MemoryRuns,
    MemorySecrets,
    token_maker,
)
from tests.faults.interposed import Around, interposed
from tests.faults.model.processes import Process
from tests.faults.model.sandboxes import InstantSandboxes

LIMIT = 10**9
LAMBDA_SECONDS = 900.0


class Workflow:
    """Tokens that the Map waits for, and executions."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.driven: set[str] = set()

    def start(self, run_id: str) -> None:
        self.driven.add(run_id)

    def is_driven(self, run_id: str) -> bool:
        return run_id in self.driven

    def succeed(self, token: str) -> None:
        self.waiting.discard(token)

    def heartbeat(self, token: str) -> bool:
        return token in self.waiting


class Queue:
    """Launch messages: every one may be received again at any time, for ever."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.fresh: list[str] = []
        """Those that nobody has received yet."""

    def send(self, body: str, *, delay_seconds: int) -> None:
        self.bodies.append(body)
        self.fresh.append(body)


class Topic:
    """What subscribers are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def publish(self, message: str, attributes: dict[str, str]) -> None:
        self.told.append(message)


@dataclass
class Execution:
    """The state machine of one run. AWS keeps it going; only what it invokes can fail."""

    run_id: str
    state: str = "prepare"
    invocation: Process | None = None
    answer: RoundAnswer | None = None
    tokens: set[str] = field(default_factory=set)
    broken: str | None = None
    failures: int = 0


class Service:
    """All of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.runs = MemoryRuns()
        self.artifacts = MemoryArtifacts()
        self.sandboxes = InstantSandboxes(self.clock)
        self.workflow = Workflow()
        self.queue = Queue()
        self.pace = MemoryPace(clock=self.clock)
        self.secrets = MemorySecrets()
        self.token = token_maker()
        self.topic = Topic()
        self.notices = self.topic.told
        self.executions: dict[str, Execution] = {}
        self.processes: list[Process] = []

    def submit(self, run_id: str, manifest: dict[str, Any]) -> None:
        """Accept a manifest."""
        accept = AcceptManifest(self.runs, self.artifacts, self.workflow, self.clock)
        accept(json.dumps(manifest), file="m.json", run_id=run_id, door="api", owner="me")
        self.executions[run_id] = Execution(run_id)

    # -- invocations

    def _start(self, name: str, work: Callable[[Ports], Any]) -> Process:
        process = Process(name, lambda around: work(Ports(self, around)))
        self.processes.append(process)
        return process

    def deliver(self, body: str, seconds: float = LAMBDA_SECONDS) -> Process:
        """A launch message reaches a launcher that has so many seconds, and loses some at every
        look at the clock."""
        message = LaunchMessage.model_validate_json(body)
        return self._start(
            f"launcher {message.batch_id}.{message.turn}",
            lambda ports: self.launch_here(body, ports, seconds),
        )

    def launch_here(self, body: str, ports: Ports, seconds: float = LAMBDA_SECONDS) -> None:
        """The same, in the process that these ports belong to."""
        if body in self.queue.fresh:
            self.queue.fresh.remove(body)
        left = [seconds]

        def seconds_left() -> float:
            left[0] -= 1.0
            return max(0.0, left[0])

        ports.launch()(LaunchMessage.model_validate_json(body), seconds_left)

    def reduce(self, run_id: str, broken: str | None = None) -> Process:
        """A reducer."""
        return self._start(f"reducer {run_id}", lambda ports: self._tell(ports, run_id, broken))

    def _tell(self, ports: Ports, run_id: str, broken: str | None) -> Notification:
        told = ports.reduce()(run_id, broken)
        self.notices.append(told.message)
        return told

    def sweep(self) -> Process:
        """A sweeper."""
        return self._start("sweeper", lambda ports: ports.sweep()(lambda: LAMBDA_SECONDS))

    # -- the state machine

    def advance(self, execution: Execution) -> None:
        """Take the state machine's next step, if there is one to take now."""
        running = execution.invocation
        if running is not None and not running.ended:
            return
        if running is not None:
            execution.invocation = None
            self._after(execution, running)
        elif execution.state == "map":
            if not execution.tokens & self.workflow.waiting:
                execution.state = "settle"
        elif execution.state != "over":
            execution.invocation = self._invoke(execution)

    def _invoke(self, execution: Execution) -> Process:
        run_id, state = execution.run_id, execution.state
        if state == "prepare":
            return self._start(f"prepare {run_id}", lambda ports: ports.prepare()(run_id))
        if state == "plan":
            return self._start(f"plan {run_id}", lambda ports: ports.plan()(run_id))
        if state == "settle":
            assert execution.answer is not None
            number = execution.answer.round
            return self._start(f"settle {run_id}", lambda ports: ports.settle()(run_id, number))
        return self.reduce(run_id, execution.broken)

    def _after(self, execution: Execution, ended: Process) -> None:
        state = execution.state
        if ended.error is not None:
            execution.failures += 1
            # A crash is tried again, and so is every failure of the reducer.
            if state != "reduce" and (not ended.crashed or execution.failures > 3):
                execution.state, execution.broken = "reduce", str(ended.error)
        elif state == "prepare":
            execution.state = "plan"
        elif state == "reduce":
            execution.state = "over"
            self.workflow.driven.discard(execution.run_id)
        else:
            execution.answer = ended.answer
            execution.state = "map" if ended.answer.batches else "reduce"
            self._launch(execution)

    def _launch(self, execution: Execution) -> None:
        assert execution.answer is not None
        execution.tokens = set()
        if not execution.answer.batches:
            return
        for ticket in json.loads(self.artifacts.get(execution.answer.batches_key, limit=LIMIT)):
            token = self.token()
            execution.tokens.add(token)
            self.workflow.waiting.add(token)
            body = {"run_id": execution.run_id, "batch_id": ticket["batch_id"], "token": token}
            self.queue.send(json.dumps({**body, "key": ticket["key"]}), delay_seconds=0)

    def time_out_map(self, execution: Execution) -> None:
        """Nobody answered in time: the round is settled without."""
        if execution.state == "map":
            self.workflow.waiting -= execution.tokens

    def abort(self, execution: Execution) -> None:
        """Somebody stops the state machine itself; what it has invoked goes on."""
        execution.state, execution.invocation = "over", None
        self.workflow.waiting -= execution.tokens
        self.workflow.driven.discard(execution.run_id)


class Ports:
    """What one process sees of the outside."""

    def __init__(self, service: Service, around: Around) -> None:
        self._clock, self._token = service.clock, service.token
        self._runs = interposed("runs", service.runs, around)
        self._artifacts = interposed("artifacts", service.artifacts, around)
        self._sandboxes = interposed("sandboxes", service.sandboxes, around)
        self._workflow = interposed("workflow", service.workflow, around)
        self._queue = interposed("queue", service.queue, around)
        self._pace = interposed("pace", service.pace, around)
        self._secrets = interposed("secrets", service.secrets, around)
        self._notices = interposed("notices", service.topic, around)

    def launch(self) -> LaunchBatch:
        return LaunchBatch(
            self._sandboxes,
            self._runs,
            self._artifacts,
            self._workflow,
            self._queue,
            self._clock,
            self._token,
            self._pace,
            self._secrets,
        )

    def prepare(self) -> PrepareRun:
        return PrepareRun(self._sandboxes, self._runs, self._artifacts, self._clock, self._token)

    def plan(self) -> PlanRun:
        return PlanRun(
            self._sandboxes,
            self._runs,
            self._artifacts,
            self._clock,
            self._token,
            8,
            self._sandboxes,
            False,
            1000,
        )

    def settle(self) -> SettleRound:
        return SettleRound(
            self._sandboxes, self._runs, self._artifacts, self._clock, self._sandboxes, False
        )

    def reduce(self) -> ReduceRun:
        return ReduceRun(self._runs, self._artifacts, self._clock)

    def sweep(self) -> SweepRuns:
        return SweepRuns(self._runs, self._workflow, self._clock, self.reduce(), self._notices)

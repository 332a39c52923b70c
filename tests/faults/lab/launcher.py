"""The launcher as it is, on the laboratory's times, with a fault at a point between two effects.

A run says its fault in its manifest's environment, as `point/kind`. It strikes once: at the first
delivery that comes to the point.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from glovebox.domain.plan import Batch
from glovebox.ports import Claim, CommandAnswer
from glovebox.usecases.launch import LaunchBatch

from functions.launcher import app
from tests.faults.lab.shared import FAULT_VARIABLE, folder, is_first, note, shorten_times

PAUSE_SECONDS = 7
"""Longer than the Map waits for a sign of life: who wakes then has been given up."""
MIB = 1024 * 1024
shorten_times()


class InjectedFault(Exception):
    """What the kind `exception` raises: nothing in the product expects it."""


class Fault:
    """The fault of the run whose batch this process drives now."""

    def __init__(self) -> None:
        self.run_id = ""
        self.mute = False
        """Whether heartbeats are not sent, though whoever sends them goes on."""
        self._wanted = ""

    def begin(self, record: Mapping[str, Any]) -> None:
        """Learn the run and its fault from a launch message."""
        message = json.loads(record["body"])
        self.mute = False
        self.run_id = message["run_id"]
        content = app.wired().artifacts.get(message["key"], limit=10**7)
        self._wanted = Batch.model_validate_json(content).env.get(FAULT_VARIABLE, "")
        received = record["attributes"]["ApproximateReceiveCount"]
        note("delivered", self.run_id, batch=message["batch_id"], received=received)

    def is_wanted(self, point: str) -> bool:
        """Whether it is to strike at this point."""
        return self._wanted.partition("/")[0] == point

    def at(self, point: str) -> None:
        """Strike, if this is the point and it has not struck before."""
        if self.is_wanted(point) and is_first(f"struck-{self.run_id}"):
            kind = self._wanted.partition("/")[2]
            note("struck", self.run_id, point=point, kind=kind, pid=os.getpid())
            strike(kind)


def strike(kind: str) -> None:
    """Break this process in one of the ways there are."""
    if kind == "crash":
        os._exit(137)
    elif kind == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind == "pause":
        # Somebody else has to wake a process that is stopped.
        wake = f"sleep {PAUSE_SECONDS}; kill -CONT {os.getpid()}"
        subprocess.Popen(["sh", "-c", wake], start_new_session=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind == "memory":
        _use_up_memory()
    elif kind == "mute":
        fault.mute = True
    else:
        raise InjectedFault(kind)


def _use_up_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no further imports while breaking
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 16 * MIB, hard))
    held = []
    while True:
        held.append(bytearray(4 * MIB))


def _give_memory_back() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


fault = Fault()


class _Around:
    """A port: everything goes through to the real one."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FaultyRuns(_Around):
    def claim_batch(self, *arguments: Any, **named: Any) -> Claim:
        claim: Claim = self._real.claim_batch(*arguments, **named)
        if claim is Claim.OURS:
            fault.at("claimed")
        return claim

    def open_attempts(self, attempts: Any) -> None:
        self._real.open_attempts(attempts)
        fault.at("id_saved")

    def close_attempts(self, attempts: Any) -> None:
        self._real.close_attempts(attempts)
        fault.at("result_saved")


class FaultySandbox(_Around):
    def upload(self, path: str, content: bytes) -> None:
        self._real.upload(path, content)
        fault.at("uploaded")

    def run(self, command: str, *, env: Mapping[str, str], timeout_seconds: float) -> CommandAnswer:
        answers: list[CommandAnswer] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(self._real.run(command, env=env, timeout_seconds=timeout_seconds))
            except BaseException as error:
                errors.append(error)

        running = threading.Thread(target=run, daemon=True)
        running.start()
        if fault.is_wanted("started"):
            _wait_for_the_test(env)
            fault.at("started")
        running.join()
        if errors:
            raise errors[0]
        fault.at("finished")
        return answers[0]


def _wait_for_the_test(env: Mapping[str, str]) -> None:
    """Until a test of this run has told the counter that it runs."""
    started = folder() / f"started-{env['GLOVEBOX_RUN_ID']}-{env['GLOVEBOX_ATTEMPT']}"
    until = time.monotonic() + 10
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.02)


class FaultySandboxes(_Around):
    def create(self, request: Any) -> FaultySandbox:
        sandbox = FaultySandbox(self._real.create(request))
        note("created", fault.run_id, sandbox_id=sandbox.sandbox_id)
        fault.at("created")
        return sandbox

    def attach(self, sandbox_id: str) -> FaultySandbox:
        return FaultySandbox(self._real.attach(sandbox_id))

    def kill(self, sandbox_id: str) -> None:
        self._real.kill(sandbox_id)
        fault.at("killed")


class FaultyWorkflow(_Around):
    def heartbeat(self, token: str) -> bool:
        return fault.mute or bool(self._real.heartbeat(token))

    def succeed(self, token: str) -> None:
        self._real.succeed(token)
        note("answered", fault.run_id)
        fault.at("token_sent")


class FaultyQueue(_Around):
    def send(self, body: str, *, delay_seconds: int) -> None:
        self._real.send(body, delay_seconds=delay_seconds)
        fault.at("handed_on")


_product = app.wired


@cache
def wired() -> LaunchBatch:
    """The product's use case, its ports wrapped."""
    launch = _product()
    launch.sandboxes = FaultySandboxes(launch.sandboxes)
    launch.runs = FaultyRuns(launch.runs)
    launch.workflow = FaultyWorkflow(launch.workflow)
    launch.queue = FaultyQueue(launch.queue)
    return launch


app.wired = wired
_answer = LambdaRuntimeClient.post_invocation_result


def answer_and_strike(self: LambdaRuntimeClient, *arguments: Any, **named: Any) -> Any:
    """The runtime's own answer to the queue, and what may happen right after it."""
    done = _answer(self, *arguments, **named)
    fault.at("acked")
    return done


LambdaRuntimeClient.post_invocation_result = answer_and_strike


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """Drive the batch, until the fault strikes."""
    (record,) = event["Records"]
    fault.begin(record)
    fault.at("received")
    try:
        return app.lambda_handler(event, context)
    finally:
        _give_memory_back()

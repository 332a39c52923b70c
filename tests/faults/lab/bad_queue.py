"""What SQS and Lambda may do to a launch message: refuse the invocation, deliver twice at the
same moment, deliver late and so in another order. How much of it, a file says; changes count
from the next message on.
"""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from glovebox_local.delivery.queues import QueuePoller
from glovebox_local.executor.executor import FunctionExecutor
from glovebox_local.executor.model import InvocationResult, ThrottledError

FILE_NAME = "queue.json"
FUNCTION = "Launcher"


def install(records: Path, seed: int) -> None:
    """Make every queue of this process's stacks as bad as the file in `records` says."""
    chance = random.Random(seed)
    path = records / FILE_NAME
    invoke, run = FunctionExecutor.invoke, QueuePoller._run

    def rate(name: str) -> float:
        return float(json.loads(path.read_text()).get(name, 0)) if path.exists() else 0.0

    def invoke_or_refuse(
        self: FunctionExecutor, name: str, payload: bytes, request_id: str | None = None
    ) -> InvocationResult:
        if FUNCTION in name and chance.random() < rate("throttled"):
            (records / "throttled").open("a").write(".")
            raise ThrottledError("as asked")
        return invoke(self, name, payload, request_id)

    def run_late_or_twice(self: QueuePoller, messages: list[Any]) -> None:
        again = chance.random() < rate("twice") and self._slots.acquire(blocking=False)
        if again:
            threading.Thread(target=run, args=(self, messages), daemon=True).start()
        time.sleep(chance.random() * rate("late"))
        run(self, messages)

    FunctionExecutor.invoke = invoke_or_refuse  # type: ignore[assignment,method-assign]
    QueuePoller._run = run_late_or_twice  # type: ignore[method-assign]

"""`make chaos`: many runs on a stack of which everything around fails, and what came of it.

Between the functions and the sandbox server stands the fault proxy; below the functions' AWS
clients are seeded faults; launchers and sandboxes are killed; messages are delivered twice. How
each test really ends is known by its name, and what really executed is counted where commands
leave for the sandboxes. Ends with 1 unless every figure that must be 0 is.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.faults.chaos.account import Figures, SandboxLife, Seen, figures  # noqa: E402
from tests.faults.chaos.functions import copy_stack, count_record, read_record  # noqa: E402
from tests.faults.chaos.proxy import BookkeepingProxy  # noqa: E402
from tests.faults.chaos.soak import Mark, growth, look  # noqa: E402
from tests.faults.chaos.stack import StackProcess  # noqa: E402
from tests.faults.chaos.suite import behaviours, files_of, manifest, test_ids  # noqa: E402
from tests.faults.witness import StackWitness  # noqa: E402

TESTS_PER_RUN = 125
RUNS_AT_ONCE = 8
POLL_SECONDS = 1.0
LOOK_SECONDS = 5.0
MARK_SECONDS = 60.0
STUCK_SECONDS = 1200.0
"""A run that takes longer than this is not waited for."""
TTL_SECONDS = 160.0
"""As long as a sandbox of a test may live when nobody comes for it."""
USED_SECONDS = 3.0
"""A sandbox that was asked for something so lately is in use."""
CRASH_RATE = 1 / 200
"""Of the share of calls that meet a fault, those that end the launcher instead."""


class Chaos:
    """One stack under fire, and everything that is seen of it."""

    def __init__(
        self, stack: StackProcess, proxy: BookkeepingProxy, seed: int, rate: float
    ) -> None:
        self.stack, self.proxy = stack, proxy
        # Around the proxy: who looks is not to be deceived.
        seen_at = {**stack.endpoints, "sandbox_url": stack.sandbox_server_url}
        self.witness = StackWitness(seen_at)
        self.witness.listen()
        self.expected: dict[str, set[str]] = {}
        self.crashed_at: list[float] = []
        self.killed: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._seed, self._rate = seed, rate
        self._finished: set[str] = set()
        self._lives: dict[str, SandboxLife] = {}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(what, seconds), daemon=True)
            for what, seconds in ((self._watch_sandboxes, POLL_SECONDS), (self._kill, 5.0))
        ]
        for thread in self._threads:
            thread.start()

    def _repeat(self, what: Any, seconds: float) -> None:
        while not self._over.wait(seconds):
            with suppress(httpx.HTTPError, psutil.Error):
                what()

    def end(self) -> None:
        """No more harm, no more watching."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    # -- what is done to it

    def _kill(self) -> None:
        """Now and then a launcher, and more often a sandbox."""
        if self._random.random() < 0.35 * self._rate:
            self._kill_a_launcher()
        if self._random.random() < 5 * self._rate:
            self._kill_a_sandbox()

    def _kill_a_launcher(self) -> None:
        launchers = [
            process
            for process in psutil.Process(self.stack.pid).children()
            if "auncher" in process.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
        ]
        if launchers:
            self._random.choice(launchers).kill()
            self.crashed_at.append(time.time())
            self.killed["launcher killed"] += 1

    def _kill_a_sandbox(self) -> None:
        """One that is in use just now."""
        now = time.time()
        used = [name for name, at in self.proxy.last_asked.items() if at > now - USED_SECONDS]
        if not used:
            return
        name = self._random.choice(used)
        answer = httpx.delete(
            f"{self.stack.sandbox_server_url}/v1/sandboxes/{name}",
            headers={"X-API-Key": self.witness.api_key()},
        )
        if answer.is_success:
            self.proxy.inject_into(name)
            self.killed["sandbox killed"] += 1

    # -- what is seen of it

    def _watch_sandboxes(self) -> None:
        now = time.time()
        for sandbox in self.witness.sandboxes():
            name = sandbox.sandbox_id
            first = self._lives[name].first_seen if name in self._lives else now
            self._lives[name] = SandboxLife(name, first, now)

    def submit(self, number: int, tests: int) -> None:
        """Hand in a run. An answer that got lost is followed by another run of the same name."""
        name = f"chaos-{number}"
        files = files_of(behaviours(tests, self._seed + number))
        self.expected[name] = test_ids(files)
        for _ in range(20):
            answer = httpx.post(
                f"{self.stack.endpoints['api_url']}/runs",
                json={"manifest": manifest(name, files)},
                timeout=60,
            )
            if answer.status_code == 202:
                return
            time.sleep(1)
        raise RuntimeError(f"run {number} is not taken: {answer.status_code} {answer.text[:500]}")

    def open_runs(self) -> list[str]:
        """Ids of the runs that are not finished. What is there of them is remembered on the way;
        a run that has finished is looked at once more, and again when all is over."""
        named = [run_id for run_id in self.witness.run_ids() if run_id not in self._finished]
        views = self.witness.look(named, queues=False).runs
        self._finished |= {view.run.run_id for view in views if view.run.is_finished}
        return [view.run.run_id for view in views if not view.run.is_finished]

    @property
    def finished_runs(self) -> int:
        """How many have ended."""
        return len(self._finished)

    def seen(self, record: Path) -> Seen:
        """All of it."""
        noted = read_record(record)
        crashes = [entry["at"] for entry in noted if entry["fault"] == "crash"]
        injected = Counter({f"hopx {kind}": n for kind, n in self.proxy.injected.items()})
        return Seen(
            # Messages of launchers that were killed stay hidden for an hour and a half.
            world=self.witness.look(queues=False),
            expected=self.expected,
            executed=self.proxy.executed(),
            lives=list(self._lives.values()),
            last_asked=self.proxy.last_asked,
            harmed_at=self.proxy.hit_at,
            crashed_at=sorted([*self.crashed_at, *crashes]),
            injected=injected + count_record(record) + self.killed,
        )


def drive(chaos: Chaos, tests: int, minutes: float) -> list[Mark]:
    """Runs, several at once, until the tests are used up and the time is over."""
    began = time.monotonic()
    marks: list[Mark] = []
    number, left, stuck_since = 0, tests, began
    open_runs: list[str] = []
    while left > 0 or open_runs or time.monotonic() - began < 60 * minutes:
        wanted = left > 0 or time.monotonic() - began < 60 * minutes
        while wanted and len(open_runs) < RUNS_AT_ONCE:
            size = min(TESTS_PER_RUN, left) if left > 0 else TESTS_PER_RUN
            chaos.submit(number, size)
            number, left, stuck_since = number + 1, left - size, time.monotonic()
            open_runs.append("new")
            wanted = left > 0 or time.monotonic() - began < 60 * minutes
        time.sleep(LOOK_SECONDS)
        open_runs = chaos.open_runs()
        if time.monotonic() - began >= MARK_SECONDS * (len(marks) + 1):
            marks.append(look(chaos.stack.pid, time.monotonic() - began, chaos.finished_runs))
            print(marks[-1].line(), flush=True)
        if time.monotonic() - stuck_since > STUCK_SECONDS:
            print(f"not waited for any longer: {open_runs}")
            break
    return marks


def settle(chaos: Chaos) -> None:
    """Nothing is injected any more; sandboxes that nobody wants have the time that they may."""
    chaos.proxy.faults.clear()
    until = time.monotonic() + TTL_SECONDS
    while chaos.witness.sandboxes() and time.monotonic() < until:
        time.sleep(1)


def report(told: Figures, marks: list[Mark], chaos: Chaos, seconds: float, options: Any) -> int:
    """Print the figures; 0 if they hold."""
    conclusions = Counter(view.run.conclusion for view in chaos.witness.look(queues=False).runs)
    print(f"\nchaos: seed {options.seed}, rate {options.rate:g}, {seconds:.0f} s, runs: "
          + ", ".join(f"{count} {name}" for name, count in conclusions.items()))  # fmt: skip
    print("\n".join(told.lines()))
    grown = growth(marks) if options.minutes else []
    if options.minutes:
        print(f"growth: {'; '.join(grown) or 'none'}, by {len(marks)} marks")
    return 0 if told.holds and not grown else 1


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.1, help="of all requests and calls")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on for so long (a soak)")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    print(f"chaos: seed {options.seed}, {options.tests} tests, rate {options.rate:g}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="glovebox-chaos-") as temporary:
        folder = Path(temporary)
        record = folder / "record.jsonl"
        template = copy_stack(
            folder,
            seed=options.seed,
            rate=options.rate,
            crash_rate=options.rate * CRASH_RATE,
            record=str(record),
        )
        with StackProcess(template) as stack:
            upstream = stack.sandbox_server_url
            with BookkeepingProxy(upstream, options.seed, rate=options.rate) as proxy:
                stack.go_on(proxy.url)
                chaos = Chaos(stack, proxy, options.seed, options.rate)
                marks = drive(chaos, options.tests, options.minutes)
                settle(chaos)
                chaos.end()
                told = figures(chaos.seen(record))
                return report(told, marks, chaos, time.monotonic() - began, options)


if __name__ == "__main__":
    sys.exit(main())

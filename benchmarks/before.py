"""`make bench-before BEFORE=folder`: this checkout beside another one, set up as this one is.

Each has a warm stack of its own; their runs of the same tests take turns, and the order within a
round alternates, since machines drift.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.floor import SEED, TESTS, all_ids, spread, write_project  # noqa: E402
from benchmarks.sdists import unpacked_sdist  # noqa: E402


@contextmanager
def warm_stack(checkout: Path) -> Iterator[str]:
    """The API of a stack that runs this checkout."""
    command = [str(checkout / ".venv/bin/glovebox"), "local", "up", "-o", "json"]
    stack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert stack.stdout is not None
        yield str(json.loads(stack.stdout.readline())["api_url"])
    finally:
        stack.send_signal(signal.SIGINT)
        stack.wait(30)


def seconds_of(checkout: Path, api: str, folder: Path, expected: int) -> float:
    """Wall seconds of one run."""
    began = time.perf_counter()
    command = [str(checkout / ".venv/bin/glovebox"), "run", "--api", api, "-o", "json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0 or json.loads(done.stdout)["summary"]["passed"] != expected:
        sys.exit(f"{checkout}: ended with {done.returncode}\n{done.stderr[-3000:]}")
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="another checkout, after `make setup` in it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tests", type=int, default=TESTS)
    options = parser.parse_args()
    checkouts = {"before": options.before.resolve(), "now": ROOT}
    with tempfile.TemporaryDirectory(prefix="glovebox-bench-") as temporary:
        os.chmod(temporary, 0o755)  # noqa: PTH101
        source = Path(temporary) / "source"
        shutil.copytree(unpacked_sdist("boltons==26.2.0"), source)
        ids = random.Random(SEED).sample(all_ids(source), options.tests)
        folder = write_project(source, Path(temporary) / "many", ids)
        with warm_stack(checkouts["before"]) as before, warm_stack(checkouts["now"]) as now:
            apis = {"before": before, "now": now}
            for name, api in apis.items():
                seconds_of(checkouts[name], api, folder, len(ids))
            taken: dict[str, list[float]] = {"before": [], "now": []}
            for number in range(options.rounds):
                for name in ("before", "now") if number % 2 else ("now", "before"):
                    taken[name].append(seconds_of(checkouts[name], apis[name], folder, len(ids)))
                last = {name: seconds[-1] for name, seconds in taken.items()}
                print(
                    f"round {number + 1}: {last['before']:.2f} s, {last['now']:.2f} s", flush=True
                )
    ratios = [now / before for before, now in zip(taken["before"], taken["now"], strict=True)]
    print(f"before: {spread(taken['before'])} s   now: {spread(taken['now'])} s")
    print(f"now over before, by rounds: {spread(ratios)}")
    medians = statistics.median(taken["now"]) / statistics.median(taken["before"])
    print(f"of the medians: {medians:.3f}")


if __name__ == "__main__":
    main()

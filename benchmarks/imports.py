"""`make bench-import`: what the launcher imports at a cold start, against what it could import.

The yardstick is hopx_ai, boto3 and Powertools, imported whole. Every import is a fresh
interpreter; rounds are interleaved and the order within a round alternates, since machines drift.
The time of an interpreter that imports nothing is taken off both. Neither sees click, which is
not in the layer: with it, httpx would import a command line of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREPARED = "import sys; sys.modules['click'] = None"
LAUNCHER = (
    f"sys.path[:0] = [{str(ROOT / 'functions/launcher')!r},"
    f" {str(ROOT / 'layers/core')!r}]; import app"
)
STATEMENTS = {
    "nothing": "pass",
    "launcher": LAUNCHER,
    "yardstick": "import hopx_ai, boto3, aws_lambda_powertools",
}


def seconds(statement: str) -> float:
    """Wall time of an interpreter that runs a statement."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"{PREPARED}; {statement}"], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    for statement in STATEMENTS.values():
        seconds(statement)  # compiles
    ratios, launchers, yardsticks = [], [], []
    for number in range(rounds):
        names = list(STATEMENTS) if number % 2 else list(reversed(STATEMENTS))
        took = {name: seconds(STATEMENTS[name]) for name in names}
        launchers.append(took["launcher"] - took["nothing"])
        yardsticks.append(took["yardstick"] - took["nothing"])
        ratios.append(launchers[-1] / yardsticks[-1])
    print(f"launcher: {statistics.median(launchers):.2f} s, {rounds} interleaved rounds")
    print(f"hopx_ai + boto3 + Powertools: {statistics.median(yardsticks):.2f} s")
    print(
        f"ratio, median (least to most): {statistics.median(ratios):.2f}"
        f" ({min(ratios):.2f} to {max(ratios):.2f}) (goal: at most 0.5)"
    )


if __name__ == "__main__":
    main()

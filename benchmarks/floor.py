"""`make bench-floor`: what Glovebox costs over the floor, measured side by side.

The floor is the same pytest ids, two at a time, each as a cold `bwrap … python -m pytest ID` with
the source bound read-only and its modules compiled. Both run the same interpreter and the same
pytest. Rounds are interleaved and the order within a round alternates, since machines drift.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.sdists import unpacked_sdist  # noqa: E402

GLOVEBOX = Path(sys.executable).parent / "glovebox"
SITE = ROOT / ".venv/share/glovebox/sandbox-site"
SEED, TESTS, LANES = 20261123, 80, 2


def all_ids(source: Path) -> list[str]:
    """Every test id of a source, listed by pytest; compiles its modules on the way."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests"],
        cwd=source,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SITE),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def bare_run(source: Path, test_id: str) -> int:
    """One id in a cold bubblewrap."""
    python = Path(sys.base_prefix)
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    command = [
        "bwrap", "--unshare-all", "--die-with-parent", "--clearenv",
        "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
        "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        "--ro-bind", str(python), "/opt/python", "--symlink", "/opt/python", str(python),
        "--ro-bind", str(SITE), f"/opt/python/{site}",
        "--ro-bind", str(source), "/workspace", "--chdir", "/workspace",
        "--setenv", "PATH", "/opt/python/bin:/usr/bin:/bin", "--setenv", "HOME", "/tmp",
        "/opt/python/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", test_id,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, check=False).returncode


def bare_round(source: Path, ids: Sequence[str]) -> float:
    """Wall seconds for all ids, two at a time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(LANES) as pool:
        codes = list(pool.map(lambda test_id: bare_run(source, test_id), ids))
    seconds = time.perf_counter() - began
    if any(codes):
        sys.exit(f"the floor itself fails: exit codes {sorted(set(codes))}")
    return seconds


def glovebox_round(folder: Path, *options: str, expected: int) -> tuple[float, dict[str, Any]]:
    """Wall seconds of `glovebox run --local`, and its report."""
    began = time.perf_counter()
    done = subprocess.run(
        [GLOVEBOX, "run", "--local", *options, "-o", "json", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"glovebox ended with {done.returncode}:\n{done.stderr[-3000:]}")
    report = json.loads(done.stdout)
    if report["summary"]["passed"] != expected:
        sys.exit(f"glovebox passed {report['summary']} of {expected}")
    return seconds, report


def write_project(source: Path, folder: Path, ids: Sequence[str]) -> Path:
    """A copy of the source with a manifest for exactly these ids."""
    shutil.copytree(source, folder)
    manifest = {
        "version": 1,
        "name": "floor",
        "source": {"path": "."},
        "parallelism": 100,
        "suites": [{"name": "unit", "framework": "pytest", "tests": list(ids)}],
    }
    (folder / "glovebox.json").write_text(json.dumps(manifest))
    return folder


def stack_memory_mb(pid: int) -> dict[str, float]:
    """Proportional memory of the stack's processes, sandboxes (other users' uids) aside."""
    sizes: dict[str, float] = {}
    top = psutil.Process(pid)
    for process in [top, *top.children(recursive=True)]:
        try:
            if process.uids().real != os.getuid():
                continue
            line = process.cmdline()
            if line and Path(line[0]).name == "bwrap":
                continue
            name = f"{process.pid} {' '.join(line[-3:])[-60:]}"
            sizes[name] = process.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:
            continue
    return sizes


def spread(values: Sequence[float]) -> str:
    """Median with least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tests", type=int, default=TESTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glovebox-bench-") as temporary:
        os.chmod(temporary, 0o755)  # noqa: PTH101
        # Out of this repository: pytest would take its configuration for the suite's.
        source = Path(temporary) / "source"
        shutil.copytree(unpacked_sdist("boltons==26.2.0"), source)
        ids = random.Random(SEED).sample(all_ids(source), options.tests)
        many = write_project(source, Path(temporary) / "many", ids)
        one = write_project(source, Path(temporary) / "one", ids[:1])
        began = time.perf_counter()
        glovebox_round(one, "--fresh", expected=1)
        from_nothing = [time.perf_counter() - began]
        stack = subprocess.Popen(
            [GLOVEBOX, "local", "up", "-o", "json"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert stack.stdout is not None
            stack.stdout.readline()
            measure(options.rounds, source, ids, many, one, stack.pid)
        finally:
            stack.send_signal(signal.SIGINT)
            stack.wait(30)
        from_nothing += [glovebox_round(one, "--fresh", expected=1)[0] for _ in range(2)]
        print(f"run --local from nothing, one test: {spread(from_nothing)} s (goal: at most 8)")


def measure(rounds: int, source: Path, ids: Sequence[str], many: Path, one: Path, pid: int) -> None:
    """The rounds on a warm stack."""
    glovebox_round(one, expected=1)
    ratios, ours, floors = [], [], []
    for number in range(rounds):
        steps = ["floor", "glovebox"] if number % 2 else ["glovebox", "floor"]
        for step in steps:
            if step == "floor":
                floors.append(bare_round(source, ids))
            else:
                ours.append(glovebox_round(many, expected=len(ids))[0])
        ratios.append(ours[-1] / floors[-1])
        print(
            f"round {number + 1}: glovebox {ours[-1]:.2f} s, floor {floors[-1]:.2f} s,"
            f" ratio {ratios[-1]:.3f}",
            flush=True,
        )
    singles = [glovebox_round(one, expected=1)[0] for _ in range(rounds)]
    sizes = stack_memory_mb(pid)
    print(f"\n{len(ids)} boltons tests, seed {SEED}, one sandbox each, {rounds} rounds")
    print(f"glovebox: {spread(ours)} s   floor: {spread(floors)} s")
    print(f"ratio, median (least to most): {spread(ratios)} (goal: at most 1.5, aim 1.2)")
    print(f"one test on a warm stack: {spread(singles)} s (goal: at most 2)")
    print(f"memory of the stack, sandboxes aside: {sum(sizes.values()):.0f} MB (goal: at most 600)")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"    {size:6.0f} MB  {name}")


if __name__ == "__main__":
    main()

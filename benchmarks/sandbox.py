"""`make bench-sandbox`: what the sandbox server costs over bare bubblewrap, measured side by side.

The floor is `bwrap --unshare-all … true`: namespaces, a read-only system and a /tmp, but no user of
its own, no filter, no limits, no server. Every figure is the median of rounds in which both take
turns, with the least and the most.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from glovebox.adapters.hopx_images import HopxImages
from glovebox.adapters.system import SystemClock
from glovebox_local.sandbox.server import SandboxServerProcess

ROOT = Path(__file__).parents[1]
SITE = ROOT / ".venv/share/glovebox/sandbox-site"
KEY = "benchmark"
LANES = (1, 2, 8)
ALIVE = 64
IMAGE_MB = (5, 50)
BWRAP = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
    "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
    "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
    "true",
]  # fmt: skip


class Client(threading.local):
    """The control plane over one kept connection a thread."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the answer's JSON."""
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            sys.exit(f"{method} {path}: {answer.status} {text!r}")
        return json.loads(text)

    def create(self, image: str) -> dict[str, Any]:
        """A sandbox that has answered."""
        body = {"template_name": image, "internet_access": False, "timeout_seconds": 300}
        made: dict[str, Any] = self.ask("POST", "/v1/sandboxes", body)
        agent = http.client.HTTPConnection(urlsplit(made["public_host"]).netloc, timeout=60)
        agent.request("GET", "/health")
        if json.loads(agent.getresponse().read())["status"] != "healthy":
            sys.exit("a sandbox was created and is not ready")
        agent.close()
        return made

    def kill(self, made: dict[str, Any]) -> None:
        """End it."""
        self.ask("DELETE", f"/v1/sandboxes/{made['id']}")


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    answer = call()
    return (time.perf_counter() - began) * 1000, answer


def bare(_: int) -> float:
    """One bubblewrap."""
    return timed(lambda: subprocess.run(BWRAP, check=True))[0]


def side_by_side(lanes: int, count: int, once: Callable[[int], float]) -> tuple[list[float], float]:
    """Each one's milliseconds, and how many a second there were."""
    began = time.perf_counter()
    with ThreadPoolExecutor(lanes) as pool:
        each = list(pool.map(once, range(count)))
    return each, count / (time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median with least and most."""
    ends = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({ends})"


def starts(client: Client, rounds: int, count: int) -> None:
    """Create→ready over bare bubblewrap, and sandboxes a second."""

    def ours(_: int) -> float:
        milliseconds, made = timed(lambda: client.create("base"))
        client.kill(made)
        return milliseconds

    for lanes in LANES:
        ratios: dict[float, list[float]] = {0.5: [], 0.95: []}
        rates = []
        middle = []
        for number in range(rounds):
            measured = {}
            order = [bare, ours] if number % 2 else [ours, bare]
            for once in order:
                measured[once] = side_by_side(lanes, count, once)
            for share, listed in ratios.items():
                theirs = percentile(measured[bare][0], share)
                listed.append(percentile(measured[ours][0], share) / theirs)
            middle.append(percentile(measured[ours][0], 0.5))
            rates.append(measured[ours][1] / measured[bare][1])
        print(f"create→ready, {lanes} at once: {spread(middle)} ms; over bwrap:")
        print(f"    p50 {spread(ratios[0.5])}   p95 {spread(ratios[0.95])}   (goal: at most 1.5)")
        goal = "   (goal: at least 0.6)" if lanes == LANES[-1] else ""
        print(f"    sandboxes a second, create to killed, over bwrap's: {spread(rates)}{goal}")


def files_of(megabytes: int) -> bytes:
    """A tar of files of 100 kB that do not compress."""
    made = io.BytesIO()
    source = random.Random(megabytes)
    with tarfile.open(fileobj=made, mode="w:") as archive:
        for number in range(megabytes * 10):
            member = tarfile.TarInfo(f"src/folder-{number % 20}/file-{number}")
            member.size = 100_000
            archive.addfile(member, io.BytesIO(source.randbytes(member.size)))
    return made.getvalue()


def images(client: Client, url: str, rounds: int, count: int) -> None:
    """Whether a large image starts as fast as a small one."""
    builder = HopxImages(url, KEY, SystemClock())
    names = {size: f"image-of-{size}" for size in IMAGE_MB}
    for size, name in names.items():
        builder.bake(name, "base", files_of(size))
    ratios = []
    times: dict[int, list[float]] = {size: [] for size in IMAGE_MB}
    for number in range(rounds):
        each: dict[int, list[float]] = {size: [] for size in IMAGE_MB}
        for turn in range(count):
            for size in IMAGE_MB if (number + turn) % 2 else IMAGE_MB[::-1]:
                milliseconds, made = timed(lambda name=names[size]: client.create(name))  # type: ignore[misc]
                client.kill(made)
                each[size].append(milliseconds)
        medians = {size: statistics.median(listed) for size, listed in each.items()}
        ratios.append(medians[IMAGE_MB[1]] / medians[IMAGE_MB[0]])
        for size in IMAGE_MB:
            times[size].append(medians[size])
    for size in IMAGE_MB:
        print(f"create→ready of an image of {size} MB: {spread(times[size])} ms")
    print(f"    the large over the small one: {spread(ratios)}   (goal: at most 1.1)")


def commands(client: Client, rounds: int, count: int) -> None:
    """A command's round trip over the process's own time."""
    made = client.create("base")
    agent = http.client.HTTPConnection(urlsplit(made["public_host"]).netloc, timeout=60)
    headers = {
        "Authorization": f"Bearer {made['auth_token']}",
        "Content-Type": "application/json",
    }
    body = json.dumps({"command": "true", "args": [], "timeout": 30})

    def round_trip() -> None:
        agent.request("POST", "/commands/run", body, headers)
        if json.loads(agent.getresponse().read())["exit_code"] != 0:
            sys.exit("`true` failed")

    differences = []
    for _ in range(rounds):
        ours, own = [], []
        for _ in range(count):
            ours.append(timed(round_trip)[0])
            own.append(timed(lambda: subprocess.run(["/usr/bin/true"], check=True))[0])
        differences.append(statistics.median(ours) - statistics.median(own))
    agent.close()
    client.kill(made)
    print(f"a command's round trip over the process's own time: {spread(differences)} ms", end="")
    print("   (goal: at most 5)")


def memory(client: Client, server: SandboxServerProcess) -> None:
    """What a living sandbox costs beyond the processes in it."""

    def of_the_server() -> float:
        top = psutil.Process(server.pid)
        return sum(p.memory_full_info().pss for p in _ours([top, *top.children(recursive=True)]))

    before, machine = of_the_server(), psutil.virtual_memory().available
    made = [client.create("base") for _ in range(ALIVE)]
    time.sleep(1)
    grown = (of_the_server() - before) / ALIVE / 1e6
    taken = (machine - psutil.virtual_memory().available) / ALIVE / 1e6
    for one in made:
        client.kill(one)
    print(f"{ALIVE} alive at once, each: {grown:.1f} MB of the server's processes, ", end="")
    print(f"{taken:.1f} MB of the machine, all told   (goal: at most 15)")


def _ours(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.name() != "bwrap"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=64, help="sandboxes a round")
    options = parser.parse_args()
    with SandboxServerProcess(KEY, runtime_site=SITE) as server:
        print(f"isolation: {server.isolation}, {options.rounds} rounds of {options.count}")
        client = Client(server.url)
        client.kill(client.create("base"))
        starts(client, options.rounds, options.count)
        commands(client, options.rounds, options.count)
        memory(client, server)
        images(client, server.url, options.rounds, options.count // 2)


if __name__ == "__main__":
    main()

"""The start command of an image: run in a sandbox that was just made, and waited for.

The hosted service starts it once and keeps the running machine; here every sandbox runs it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from glovebox_local.sandbox.images.request import Ready, Start
from glovebox_local.sandbox.images.site import Site, StepError
from glovebox_local.sandbox.processes import Process

_PROBE_SECONDS = 10.0
# Each gets what is looked for as its first argument; it never is part of a program's text.
_URL = """\
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
    sys.exit(answer.status != 200)
"""
_PROCESS = """\
import os, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/cmdline") as line:
            names = {comm.read().strip()} | {os.path.basename(w) for w in line.read().split("\\0")}
    except OSError:
        continue
    if sys.argv[1] in names:
        sys.exit(0)
sys.exit(1)
"""
_PROBES: dict[str, tuple[str, ...]] = {
    "port": ("bash", "-c", 'exec 3<>"/dev/tcp/127.0.0.1/$1"', "-"),
    "url": ("python", "-I", "-c", _URL),
    "file": ("test", "-e"),
    "process": ("python", "-I", "-c", _PROCESS),
    "command": ("bash", "-c"),
}


async def start(site: Site, start: Start, env: Mapping[str, str], workdir: str) -> Process:
    """Run the start command and wait until it is ready; returns it, still running.

    Raises ``StepError`` if it is not ready in its time.
    """
    process = await site.start(["bash", "-c", start.command], env, workdir)
    if start.ready is None:
        return process
    try:
        async with asyncio.timeout(start.ready.timeout_seconds):
            while not await _is_ready(site, start.ready, env, workdir):
                await asyncio.sleep(start.ready.interval_seconds)
    except TimeoutError as error:
        said = process.stdout.kept.text() + process.stderr.kept.text()
        process.kill()
        process.release()
        looked = f"{start.ready.kind} {start.ready.value}"
        message = f"the start command was not ready in {start.ready.timeout_seconds:g} s ({looked})"
        raise StepError(f"{message}: {said[-2000:].strip()}") from error
    except BaseException:
        process.release()
        raise
    return process


async def _is_ready(site: Site, ready: Ready, env: Mapping[str, str], workdir: str) -> bool:
    argv = [*_PROBES[ready.kind], ready.value]
    try:
        code, _ = await site.run(argv, env, workdir, _PROBE_SECONDS)
    except StepError:
        return False
    return code == 0

"""The stack in a process of its own, so that its memory, threads and descriptors are its own.

    python -m tests.faults.chaos.stack TEMPLATE

Says the address of its sandbox server, hears which address the functions are to be given in its
place, says its endpoints, and stops when its input ends. One JSON document a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from glovebox_local.sandbox.runtime import set_up_site
from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.stack import LocalStack


class ServerBehindProxy:
    """A sandbox server of which the stack is given another address."""

    def __init__(self, api_key: str, log: Path) -> None:
        self._server = SandboxServerProcess(api_key, runtime_site=set_up_site(), log=log)
        self.url = ""

    @property
    def isolation(self) -> str:
        return self._server.isolation

    def start(self) -> None:
        self._server.start()
        _say({"upstream": self._server.url, "pid": self._server.pid})
        self.url = json.loads(sys.stdin.readline())["url"]

    def stop(self) -> None:
        self._server.stop()


def serve(template: Path) -> None:
    """Run the stack until nobody listens any more."""
    with LocalStack(
        template,
        sandbox_server=ServerBehindProxy,
        # Several runs at once, each with a launcher of its own.
        parameters={"LauncherConcurrency": "16"},
    ) as stack:
        told = json.loads(stack.endpoints.to_json())
        _say(told)
        sys.stdin.read()


def _say(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class StackProcess:
    """Such a process, as its parent sees it."""

    def __init__(self, template: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.chaos.stack", str(template)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        )
        self.pid = self._process.pid
        self.sandbox_server_url = str(self._heard()["upstream"])
        self.endpoints: dict[str, Any] = {}

    def go_on(self, sandbox_url: str) -> None:
        """Start the rest, with this address in place of the sandbox server's."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": sandbox_url}) + "\n")
        self._process.stdin.flush()
        self.endpoints = self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stack ended with {self._process.wait(10)}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def __enter__(self) -> StackProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

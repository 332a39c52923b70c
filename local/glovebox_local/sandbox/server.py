"""What a parent process needs to run the service as a child: start it, find it, stop it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from glovebox_local.sandbox.__main__ import API_KEY_VARIABLE
from glovebox_local.sandbox.isolation import Level

_STOP_SECONDS = 20.0


class SandboxServerError(RuntimeError):
    """The service did not start; the message is what it said."""


class SandboxServerProcess:
    """The sandbox service as a child process, which ends when it is told to or its parent ends.

    ``start`` from a thread that lives as long as the service shall: the kernel takes the thread
    that started a child for its parent. Its environment holds the API key and nothing of ours.
    """

    def __init__(
        self,
        api_key: str,
        *,
        runtime_site: Path | None = None,
        isolation: Level = "no-cgroup",
        options: tuple[str, ...] = (),
        log: Path | None = None,
    ) -> None:
        """``isolation`` is the least level to accept; ``options`` are further command line flags.

        ``log`` receives what the service has to complain about, our stderr without it.
        """
        self._api_key = api_key
        self._runtime_site = runtime_site
        self._isolation = isolation
        self._options = options
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        """Base URL of the control plane, once started."""
        self.isolation = ""
        """The level reached."""
        self.not_enforced: tuple[str, ...] = ()
        """What that level leaves unbounded."""
        self.pid = 0
        self.spawner_pid = 0

    def command(self) -> list[str]:
        """The program and its arguments."""
        site = ["--runtime-site", str(self._runtime_site)] if self._runtime_site else []
        return [
            *(sys.executable, "-m", "glovebox_local.sandbox", "--die-with-parent"),
            *("--isolation", self._isolation, *site, *self._options),
        ]

    def start(self, patience_seconds: float = 30.0) -> None:
        """Start it and wait until it answers. Raises ``SandboxServerError``."""
        log = self._log.open("ab") if self._log else None
        try:
            self._process = subprocess.Popen(
                self.command(),
                env={API_KEY_VARIABLE: self._api_key, "PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # An interrupt at the terminal is its parent's to act on.
                start_new_session=True,
            )
        finally:
            if log is not None:
                log.close()
        said = self._announcement(patience_seconds)
        self.url = said["url"]
        self.isolation = said["isolation"]
        self.not_enforced = tuple(said["not_enforced"])
        self.pid = said["pid"]
        self.spawner_pid = said["spawner_pid"]

    def stop(self) -> int:
        """Stop it and wait: no sandbox is left then. Returns its exit code, 0 for a clean end."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    def __enter__(self) -> SandboxServerProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _announcement(self, patience_seconds: float) -> dict[str, Any]:
        process = self._process
        assert process is not None  # noqa: S101 - start sets it
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        deadline = time.monotonic() + patience_seconds
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
            piece = os.read(process.stdout.fileno(), 65536) if readable else b""
            if not piece:
                self.stop()
                message = f"the sandbox service did not start (exit code {process.returncode})"
                raise SandboxServerError(message)
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

"""The agent's commands and environment variables."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import checks, recipe, wire
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.keeper_link import NotStartedError, SpawnError
from glovebox_local.sandbox.processes import Process, exit_code
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import SandboxSettings

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

_DEFAULT_SECONDS = 120.0
_MASK = "***MASKED***"
_SECRET_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN")


class CommandRoutes:
    """``/commands/*`` and ``/env``."""

    def __init__(self, settings: SandboxSettings, null_fd: int) -> None:
        self._settings = settings
        self._null_fd = null_fd
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/commands/run"): self._run,
            ("POST", "/commands/background"): self._background,
            ("GET", "/env"): self._get_env,
            ("PUT", "/env"): self._replace_env,
            ("PATCH", "/env"): self._merge_env,
            ("DELETE", "/env"): self._clear_env,
        }

    async def start(
        self, sandbox: Sandbox, argv: list[str], directory: str, env: dict[str, str]
    ) -> Process:
        """Start a program with the environment that commands have.

        Raises ``ApiError``: 400 for a program or directory that is not there, 410 if the sandbox
        has ended, 413 for more arguments than a process may have.
        """
        process = Process(sandbox.keeper, self._settings.output_bytes, self._settings.drain_seconds)
        process.counts_before = sandbox.limits.mark()
        environment = recipe.ENVIRONMENT | sandbox.env | env
        try:
            await process.start(argv, environment, directory, self._null_fd)
        except NotStartedError as error:
            raise _not_started(error, argv[0], directory) from error
        except SpawnError as error:
            raise _gone(sandbox) from error
        except wire.TooLarge as error:
            message = f"command and environment exceed {wire.MAX_PACKET_BYTES} bytes"
            raise ApiError(413, "COMMAND_TOO_LONG", message) from error
        return process

    async def run(
        self, sandbox: Sandbox, argv: list[str], directory: str, env: dict[str, str], limit: float
    ) -> tuple[Process, int]:
        """Run a program to its end; returns it and its exit code.

        Raises as ``start`` does, and ``ApiError`` 408 when it was killed at its time limit.
        """
        process = await self.start(sandbox, argv, directory, env)
        status = await process.wait(limit)
        sandbox.linger(process)
        if status != 0:
            code = exit_code(status) if status is not None else -1
            process.limits_hit = sandbox.limits.hit_since(process.counts_before, code)
        if process.timed_out:
            raise ApiError(
                408,
                "EXECUTION_TIMEOUT",
                f"the command was killed after {limit:g} seconds",
                timeout_seconds=limit,
                reason="timeout",
                limits_hit=process.limits_hit,
                stdout=process.stdout.kept.text(),
                stderr=process.stderr.kept.text(),
            )
        if status is None:
            raise _gone(sandbox)
        return process, exit_code(status)

    async def _run(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        argv = checks.arguments(body)
        limit = checks.seconds(body, "timeout", _DEFAULT_SECONDS)
        directory = checks.text(body, "workdir", recipe.HOME)
        env = checks.variables(body, "env")
        process, code = await self.run(sandbox, argv, directory, env, limit)
        ended = process.ended or time.monotonic()
        answer: dict[str, Any] = {
            "stdout": process.stdout.kept.text(),
            "stderr": process.stderr.kept.text(),
            "exit_code": code,
            "success": code == 0,
            "execution_time": round(ended - process.started, 6),
            "pid": process.host_pid,
            "command": argv[0],
            "timestamp": now(),
            "stdout_dropped_bytes": process.stdout.kept.dropped,
            "stderr_dropped_bytes": process.stderr.kept.dropped,
            "oom_killed": code == 128 + signal.SIGKILL and "oom" in process.limits_hit,
            "reason": next(iter(process.limits_hit), None),
            "limits_hit": process.limits_hit,
        }
        return reply_json(answer)

    async def _background(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        argv = checks.arguments(body)
        directory = checks.text(body, "workdir", recipe.HOME)
        process = await self.start(sandbox, argv, directory, checks.variables(body, "env"))
        process_id = f"cmd_{time.time_ns()}"
        sandbox.remember(process_id, process)
        if body.get("timeout") is not None:
            process.kill_after(checks.seconds(body, "timeout", _DEFAULT_SECONDS))
        return reply_json(
            {
                "process_id": process_id,
                "status": "running",
                "command": argv[0],
                "start_time": now(),
                "message": "started",
            }
        )

    async def _get_env(self, _: Request, sandbox: Sandbox) -> Reply:
        return _environment(sandbox)

    async def _replace_env(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        sandbox.env = checks.variables(body, "env_vars")
        return _environment(sandbox)

    async def _merge_env(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        sandbox.env = checks.variables({"env_vars": sandbox.env | _variables(body)}, "env_vars")
        return _environment(sandbox)

    async def _clear_env(self, _: Request, sandbox: Sandbox) -> Reply:
        sandbox.env = {}
        return _environment(sandbox)


def _variables(body: dict[str, Any]) -> dict[str, str]:
    return checks.variables(body, "env_vars")


def _environment(sandbox: Sandbox) -> Reply:
    """What was set, with values hidden whose names say that they are secrets."""
    shown = {
        name: _MASK if any(word in name.upper() for word in _SECRET_WORDS) else value
        for name, value in sandbox.env.items()
    }
    return reply_json({"env_vars": shown, "count": len(shown), "timestamp": now()})


def _gone(sandbox: Sandbox) -> ApiError:
    # Not a 5xx: the SDK would send the command again, to nobody.
    message = "the sandbox ended before the command did"
    return ApiError(410, "SANDBOX_GONE", message, reason=sandbox.end_reason)


def _not_started(error: NotStartedError, program: str, directory: str) -> ApiError:
    if error.step == "chdir":
        message = f"the working directory {directory} cannot be entered: {error}"
        return ApiError(400, "INVALID_PATH", message, path=directory)
    if error.step == "exec" and error.number in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
        return ApiError(400, "COMMAND_FAILED", f"{program} cannot be run: {error}")
    if error.number == errno.EAGAIN:
        message = "the sandbox has as many processes as it may"
        return ApiError(409, "PROCESS_LIMIT", message, reason="pids")
    return ApiError(409, "COMMAND_FAILED", f"the command could not be started: {error}")

"""The agent's commands and environment variables."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import checks, recipe
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import Reply, Request, reply_json
from glovebox_local.sandbox.languages import Program
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.settings import SandboxSettings

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

_DEFAULT_SECONDS = 120.0
_MASK = "***MASKED***"
_SECRET_WORDS = ("KEY", "SECRET", "PASSWORD", "TOKEN")


class CommandRoutes:
    """``/commands/*`` and ``/env``."""

    def __init__(self, settings: SandboxSettings, programs: Programs) -> None:
        self._settings = settings
        self._programs = programs
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/commands/run"): self._run,
            ("POST", "/commands/background"): self._background,
            ("GET", "/env"): self._get_env,
            ("PUT", "/env"): self._replace_env,
            ("PATCH", "/env"): self._merge_env,
            ("DELETE", "/env"): self._clear_env,
        }

    async def _run(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        argv = checks.arguments(body)
        limit = checks.seconds(body, "timeout", _DEFAULT_SECONDS)
        directory = checks.text(body, "workdir", recipe.HOME)
        env = checks.variables(body, "env")
        process, code = await self._programs.run(sandbox, argv, directory, env, limit)
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
        limit = checks.seconds(body, "timeout", 0) if body.get("timeout") is not None else None
        record = await self._programs.start_background(
            sandbox,
            Program(argv, "command", " ".join(argv)),
            directory=checks.text(body, "workdir", recipe.HOME),
            env=checks.variables(body, "env"),
            limit=limit,
            kind="cmd",
            name=checks.text(body, "name", argv[0]),
        )
        return reply_json(
            {
                "process_id": record.id,
                "execution_id": record.execution_id,
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
        kept = sandbox.env if checks.flag(body, "merge", False) else {}
        sandbox.env = checks.variables({"env_vars": kept | _variables(body)}, "env_vars")
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

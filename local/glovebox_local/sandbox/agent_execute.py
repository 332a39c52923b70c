"""The agent's ``/execute``: code waited for, in the background, or with a callback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from glovebox_local.sandbox import callbacks, checks, recipe
from glovebox_local.sandbox.background import BackgroundProcess
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.languages import code_of, explained, language_of, program_for
from glovebox_local.sandbox.limits import Limit
from glovebox_local.sandbox.output import HeadAndTail
from glovebox_local.sandbox.processes import Process
from glovebox_local.sandbox.programs import Programs
from glovebox_local.sandbox.python_session import Cell
from glovebox_local.sandbox.sandboxes import Sandbox
from glovebox_local.sandbox.sessions import Outcome, PythonSessions
from glovebox_local.sandbox.settings import SandboxSettings

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

_DEFAULT_SECONDS = 120.0
_DEFAULT_BACKGROUND_SECONDS = 300.0
_DEFAULT_ASYNC_SECONDS = 1800.0
_KILLED = 137


class ExecuteRoutes:
    """``/execute``, ``/execute/ipython``, ``/execute/background`` and ``/execute/async``."""

    def __init__(
        self, settings: SandboxSettings, programs: Programs, sessions: PythonSessions
    ) -> None:
        self._settings = settings
        self._programs = programs
        self._sessions = sessions
        self._delivering: set[asyncio.Task[None]] = set()
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/execute"): self._execute,
            ("POST", "/execute/ipython"): self._execute,
            ("POST", "/execute/background"): self._background,
            ("POST", "/execute/async"): self._async,
            ("GET", "/jupyter/sessions"): self._list_sessions,
        }

    async def _execute(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        language = "python" if request.path == "/execute/ipython" else language_of(body)
        code = code_of(body)
        limit = checks.seconds(body, "timeout", _DEFAULT_SECONDS)
        env = checks.variables(body, "env")
        said = body.get("workdir")
        directory = None if said is None else checks.text(body, "workdir")
        before = sandbox.limits.mark()
        if language == "python":
            outcome = await self._sessions.run(sandbox, Cell(code, directory, env), limit)
        else:
            outcome = await self._run(sandbox, language, code, directory or recipe.HOME, env, limit)
        code_failed = outcome.exit_code != 0
        hit = sandbox.limits.hit_since(before, outcome.exit_code) if code_failed else []
        return reply_json(_result(outcome, language, hit))

    async def _run(
        self,
        sandbox: Sandbox,
        language: str,
        code: str,
        directory: str,
        env: dict[str, str],
        limit: float,
    ) -> Outcome:
        program = program_for(language, code)
        try:
            with program.input() as input_fd:
                process, exit_code = await self._programs.run(
                    sandbox, program.argv, directory, env, limit, input_fd=input_fd
                )
        except ApiError as error:
            raise explained(error, language) from error
        seconds = (process.ended or process.started) - process.started
        return Outcome(exit_code, process.stdout.kept, process.stderr.kept, {}, seconds)

    async def _background(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        record = await self._start(sandbox, body, _DEFAULT_BACKGROUND_SECONDS)
        return reply_json(_started(record, "started"))

    async def _async(self, request: Request, sandbox: Sandbox) -> Reply:
        body = await request.json(self._settings.max_body_bytes)
        callback = callbacks.parse(body)
        record = await self._start(sandbox, body, _DEFAULT_ASYNC_SECONDS)
        record.callback = {"url": callback.url, "status": "pending"}
        task = asyncio.create_task(_call_back(record, callback))
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)
        answer = _started(record, "the result will be posted to the callback")
        return reply_json(answer | {"callback_url": callback.url})

    async def _start(
        self, sandbox: Sandbox, body: dict[str, Any], default_seconds: float
    ) -> BackgroundProcess:
        language = language_of(body)
        name = body.get("name")
        try:
            return await self._programs.start_background(
                sandbox,
                program_for(language, code_of(body)),
                directory=checks.text(body, "workdir", recipe.HOME),
                env=checks.variables(body, "env"),
                limit=checks.seconds(body, "timeout", default_seconds),
                kind="bg",
                name=language if name is None else checks.text(body, "name")[:200],
            )
        except ApiError as error:
            raise explained(error, language) from error

    async def _list_sessions(self, _: Request, sandbox: Sandbox) -> Reply:
        session = sandbox.python.current
        sessions = []
        if session is not None and session.alive:
            sessions.append(
                {
                    "kernel_id": session.id,
                    "name": "python",
                    "execution_state": "busy" if session.busy else "idle",
                    "connections": 1,
                    "started_at": _text(session.started_at.isoformat()),
                    "last_activity": _text(session.last_activity.isoformat()),
                }
            )
        return reply_json({"sessions": sessions, "count": len(sessions), "timestamp": now()})


def _text(moment: str) -> str:
    return moment.replace("+00:00", "Z")


def _result(outcome: Outcome, language: str, hit: Sequence[Limit]) -> dict[str, Any]:
    return {
        "stdout": outcome.stdout.text(),
        "stderr": outcome.stderr.text(),
        "exit_code": outcome.exit_code,
        "success": outcome.exit_code == 0,
        "execution_time": round(outcome.seconds, 6),
        "language": language,
        "timestamp": now(),
        "stdout_dropped_bytes": outcome.stdout.dropped,
        "stderr_dropped_bytes": outcome.stderr.dropped,
        "oom_killed": outcome.exit_code == _KILLED and "oom" in hit,
        "reason": next(iter(hit), None),
        "limits_hit": list(hit),
        **({"session_ended": True} if outcome.session_ended else {}),
        **outcome.rich,
    }


def _started(record: BackgroundProcess, message: str) -> dict[str, Any]:
    described = record.describe()
    shown = ("process_id", "execution_id", "name", "start_time", "language")
    return {key: described[key] for key in shown} | {"status": "running", "message": message}


async def _call_back(record: BackgroundProcess, callback: callbacks.Callback) -> None:
    """Wait for the end and post it; a sandbox that was killed takes its callback along."""
    status = await record.process.wait(checks.MAX_TIMEOUT_SECONDS)
    assert record.callback is not None  # noqa: S101 - whoever starts this sets it
    if status is None and not record.process.timed_out:
        record.callback["status"] = "cancelled"
        return
    process: Process = record.process
    kept: tuple[HeadAndTail, HeadAndTail] = (process.stdout.kept, process.stderr.kept)
    seconds = (process.ended or process.started) - process.started
    code = record.exit_code
    said: dict[str, Any] = {
        "execution_id": record.execution_id,
        "process_id": record.id,
        "status": "timeout" if process.timed_out else "completed" if code == 0 else "failed",
        "stdout": kept[0].text(),
        "stderr": kept[1].text(),
        "exit_code": _KILLED if code is None else code,
        "execution_time": round(seconds, 6),
        "timestamp": now(),
    }
    if process.timed_out:
        said["error"] = "the code was killed at its time limit"
    elif record.killed:
        said["error"] = "the code was killed"
    record.callback.update(await callbacks.deliver(callback, said))

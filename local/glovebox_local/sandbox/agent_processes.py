"""The agent's lists of processes, and how they are killed: three spellings, one kill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from glovebox_local.sandbox import process_table
from glovebox_local.sandbox.background import BackgroundProcess
from glovebox_local.sandbox.envelopes import now
from glovebox_local.sandbox.http import ApiError, Reply, Request, reply_json
from glovebox_local.sandbox.sandboxes import Sandbox

Handler = Callable[[Request, Sandbox], Awaitable[Reply]]

_KILL_SECONDS = 5.0
_MAX_DIGITS = 9


class ProcessRoutes:
    """``/execute/processes``, ``/processes`` and the kills."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", "/execute/processes"): self._list_background,
            ("GET", "/execute/processes/{}"): self._show,
            ("GET", "/processes"): self._list_all,
            ("DELETE", "/execute/kill"): self._kill_by_query,
            ("POST", "/execute/kill/{}"): self._kill_by_path,
            ("POST", "/processes/{}/kill"): self._kill_by_path,
        }

    async def _list_background(self, _: Request, sandbox: Sandbox) -> Reply:
        return _listed([record.describe() for record in sandbox.background.values()])

    async def _show(self, request: Request, sandbox: Sandbox) -> Reply:
        record = _find(sandbox, request.segment)
        return reply_json(record.describe() | record.output())

    async def _list_all(self, _: Request, sandbox: Sandbox) -> Reply:
        """Every process of the sandbox; with those of ours what we know, and ours that ended.

        Two of the SDK's methods ask this: the one that lists the system's processes, and the
        asynchronous one that lists background processes. Both find what they look for.
        """
        entries = await process_table.look(sandbox.files, process_table.read, commands=True)
        records = list(sandbox.background.values())
        running = {record.session: record for record in records if record.running}
        listed = []
        for entry in entries:
            described = entry.describe() | {"process_id": str(entry.pid)}
            record = running.pop(entry.pid, None)
            listed.append(described | record.describe() if record else described)
        ended = [record for record in records if not record.running]
        return _listed([*listed, *(record.describe() for record in ended)])

    async def _kill_by_query(self, request: Request, sandbox: Sandbox) -> Reply:
        return await self._kill(request.query("process_id"), sandbox)

    async def _kill_by_path(self, request: Request, sandbox: Sandbox) -> Reply:
        return await self._kill(request.segment, sandbox)

    async def _kill(self, process_id: str, sandbox: Sandbox) -> Reply:
        if process_id.isascii() and process_id.isdecimal() and len(process_id) <= _MAX_DIGITS:
            return await _kill_number(int(process_id), sandbox)
        record = _find(sandbox, process_id)
        if not record.running:
            return _killed(record, "it had ended already")
        record.killed = True
        record.process.kill()
        await process_table.end_session(sandbox.files, record.session)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await record.process.outcome()
        if record.running:
            raise ApiError(500, "KILL_FAILED", "the process did not end")
        return _killed(record, "killed")


async def _kill_number(pid: int, sandbox: Sandbox) -> Reply:
    """Kill by the number that ``GET /processes`` shows: one process of this sandbox."""
    if pid == process_table.FIRST_PID:
        message = "that process keeps the sandbox: delete the sandbox instead"
        raise ApiError(400, "INVALID_REQUEST", message)
    if not await process_table.look(sandbox.files, process_table.kill, pid):
        raise _unknown(str(pid))
    return reply_json(
        {"success": True, "process_id": str(pid), "status": "killed", "message": "killed"}
    )


def _find(sandbox: Sandbox, process_id: str) -> BackgroundProcess:
    record = sandbox.background.get(process_id)
    if record is None:
        raise _unknown(process_id)
    return record


def _unknown(process_id: str) -> ApiError:
    return ApiError(404, "PROCESS_NOT_FOUND", f"this sandbox has no process {process_id[:100]}")


def _killed(record: BackgroundProcess, message: str) -> Reply:
    described = record.describe() | {"success": True, "message": message}
    return reply_json(described | {"timestamp": now()})


def _listed(processes: list[dict[str, Any]]) -> Reply:
    return reply_json({"processes": processes, "count": len(processes), "timestamp": now()})

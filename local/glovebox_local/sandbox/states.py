"""A sandbox's states, and the moves between them.

=========  ==============================  =================================================
state      processes                       the agent
=========  ==============================  =================================================
running    run                             answers
paused     stand still, memory is kept     409 SANDBOX_PAUSED
stopped    have ended; files, variables    409 SANDBOX_STOPPED
           and tokens are kept
=========  ==============================  =================================================

pause leads from running to paused and resume back, stop from either to stopped, start from there to
running. A move to the state that holds already is done, not refused: clients repeat requests whose
answer was lost. Time to live goes on in every state, and every state can be killed.

Processes are frozen by their control group: nothing in the sandbox can notice. The keeper stands in
that group too, so whoever ends a sandbox thaws it. Without groups they get SIGSTOP and SIGCONT.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from glovebox_local.sandbox.cgroups import Cgroups, sandbox_name
from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.keeper_link import SpawnError

if TYPE_CHECKING:
    from glovebox_local.sandbox.sandboxes import Sandbox

RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"
STATES = ("creating", RUNNING, PAUSED, STOPPED)
"""Those that the vendor's filter knows; a sandbox that is being made is not listed yet."""

_FREEZE_SECONDS = 5.0
_LOOK_SECONDS = 0.002


class StateError(Exception):
    """The kernel did not do it in time; the sandbox is in the state that it was in."""


class States:
    """Moves sandboxes between their states.

    Every move raises ``ApiError`` 409 INVALID_STATE if it does not lead from the present state, 404
    if the sandbox ends meanwhile, and ``StateError``.
    """

    def __init__(self, groups: Cgroups | None) -> None:
        """``groups`` are the sandboxes' control groups, if there are any."""
        self._groups = groups if groups is not None and groups.can_freeze else None

    async def pause(self, sandbox: Sandbox) -> None:
        """Hold every process of the sandbox still."""
        async with self._moving(sandbox, "pause", (RUNNING,), PAUSED) as needed:
            if needed and self._groups is not None:
                await self._freeze(self._groups, sandbox)
            elif needed:
                await _signal(sandbox, signal.SIGSTOP)

    async def resume(self, sandbox: Sandbox) -> None:
        """Let the processes of a paused sandbox go on."""
        async with self._moving(sandbox, "resume", (PAUSED,), RUNNING) as needed:
            if needed and self._groups is not None:
                self._groups.thaw(sandbox_name(sandbox.keeper.slot))
            elif needed:
                await _signal(sandbox, signal.SIGCONT)

    async def stop(self, sandbox: Sandbox) -> None:
        """End every process of the sandbox, and keep the sandbox."""
        async with self._moving(sandbox, "stop", (RUNNING, PAUSED), STOPPED) as needed:
            if needed and self._groups is not None:
                # Frozen first: those that fork faster than they are killed stand still too.
                await self._freeze(self._groups, sandbox)
                self._kill_frozen(self._groups, sandbox)
            elif needed:
                await _signal(sandbox, signal.SIGKILL)

    async def start(self, sandbox: Sandbox) -> None:
        """Let a stopped sandbox be used again: its files are there, its processes are not."""
        async with self._moving(sandbox, "start", (STOPPED,), RUNNING):
            pass

    def release(self, sandbox: Sandbox) -> None:
        """Let a sandbox that is being killed, whatever its state, see that."""
        if self._groups is not None and sandbox.state != RUNNING:
            self._groups.thaw(sandbox_name(sandbox.keeper.slot))

    @contextlib.asynccontextmanager
    async def _moving(
        self, sandbox: Sandbox, word: str, origins: tuple[str, ...], target: str
    ) -> AsyncIterator[bool]:
        """One move at a time. Its target holds from the beginning: no command slips in between."""
        async with sandbox.moving:
            before = sandbox.state
            if before != target and before not in origins:
                message = f"{word} is not for a sandbox that is {before}"
                raise ApiError(409, "INVALID_STATE", message, state=before)
            if target != RUNNING:
                sandbox.state = target
            try:
                yield before != target
            except (SpawnError, FileNotFoundError) as error:
                message = f"the sandbox {sandbox.id} has ended"
                raise ApiError(404, "SANDBOX_NOT_FOUND", message) from error
            except BaseException:
                sandbox.state = before
                raise
            sandbox.state = target

    async def _freeze(self, groups: Cgroups, sandbox: Sandbox) -> None:
        name = sandbox_name(sandbox.keeper.slot)
        deadline = time.monotonic() + _FREEZE_SECONDS
        try:
            groups.freeze(name)
            while not groups.is_frozen(name):
                if not sandbox.keeper.is_open:
                    message = "the sandbox is gone"
                    raise SpawnError(message)
                if time.monotonic() > deadline:
                    message = f"some process did not stand still within {_FREEZE_SECONDS:g} seconds"
                    raise StateError(message)
                await asyncio.sleep(_LOOK_SECONDS)
        except BaseException:
            groups.thaw(name)
            raise

    def _kill_frozen(self, groups: Cgroups, sandbox: Sandbox) -> None:
        """Kill all but what makes the sandbox: its keeper, its monitor, its first process."""
        name = sandbox_name(sandbox.keeper.slot)
        kept = {sandbox.keeper.pid, sandbox.first_pid, _parent(sandbox.first_pid)}
        for pid in groups.processes(name):
            if pid not in kept:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        groups.thaw(name)


async def _signal(sandbox: Sandbox, number: int) -> None:
    if not await sandbox.keeper.signal_everyone(number):
        message = "the sandbox's processes could not be signalled"
        raise StateError(message)


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return int(file.read().rpartition(")")[2].split()[1])

"""Running things in a sandbox that is not (or not yet) anybody's: one of a build, or a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from glovebox_local.sandbox import recipe, wire
from glovebox_local.sandbox.keeper_link import Keeper, SpawnError
from glovebox_local.sandbox.processes import Process, exit_code

_DRAIN_SECONDS = 0.1
_UNPACK_SECONDS = 600.0


class StepError(Exception):
    """A program in the sandbox failed; the message is fit for the build's log."""


class UnpackError(StepError):
    """An image's files did not fit the sandbox."""


class Site:
    """A sandbox without an address: what runs in it, runs as its user, within its limits."""

    def __init__(self, keeper: Keeper, output_bytes: int, null_fd: int) -> None:
        self.keeper = keeper
        self._output_bytes = output_bytes
        self._null_fd = null_fd

    async def start(self, argv: list[str], env: Mapping[str, str], directory: str) -> Process:
        """Start a program that goes on. Raises ``StepError``."""
        return await self._start(argv, env, directory, self._null_fd)

    async def run(
        self,
        argv: list[str],
        env: Mapping[str, str],
        directory: str,
        seconds: float,
        stdin: int | None = None,
    ) -> tuple[int, str]:
        """Run a program to its end: (exit code, what it printed). Raises ``StepError``."""
        process = await self._start(argv, env, directory, stdin)
        try:
            status = await process.wait(seconds)
        finally:
            process.kill()
            process.release()
        printed = process.stdout.kept.text() + process.stderr.kept.text()
        if process.timed_out:
            message = f"{printed}\nit was killed after {seconds:.0f} seconds"
            raise StepError(message.strip())
        if status is None:
            message = "the sandbox ended"
            raise StepError(message)
        return exit_code(status), printed

    async def unpack(self, archive: int, folder: str) -> None:
        """Unpack a tar of our own making into a folder. Raises ``UnpackError``."""
        command = ["tar", "-xf", "-", "-C", folder]
        try:
            code, printed = await self.run(command, {}, "/", _UNPACK_SECONDS, archive)
        except StepError as error:
            raise UnpackError(str(error)) from error
        if code:
            message = f"the image's files do not fit: {printed[:500].strip()}"
            raise UnpackError(message)

    async def pack(self, folder: str, archive: int, seconds: float) -> None:
        """Write a folder, as a tar, to a file. Raises ``StepError``."""
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        command = ["tar", "-cf", "-", "-C", folder, "."]
        standard = (self._null_fd, archive, self._null_fd)

        def on_exit(status: int) -> None:
            if not ended.done():
                ended.set_result(status)

        try:
            await self.keeper.start(command, recipe.ENVIRONMENT, "/", standard, on_exit)
            async with asyncio.timeout(seconds):
                status = await ended
        except (SpawnError, TimeoutError) as error:
            message = f"the image could not be packed: {str(error) or 'it took too long'}"
            raise StepError(message) from error
        if status:
            message = "the image could not be packed: it exceeds its size, or cannot be read"
            raise StepError(message)

    async def copy(
        self, archive: int, sources: list[str], target: str, seconds: float
    ) -> tuple[int, str]:
        """Put an uploaded tar's files in place, as ``unpack`` says. Raises ``StepError``."""
        command = ["python", "-I", "-c", _unpack_program(), target, *sources]
        return await self.run(command, {}, "/", seconds, archive)

    async def _start(
        self, argv: list[str], env: Mapping[str, str], directory: str, stdin: int | None
    ) -> Process:
        process = Process(self.keeper, self._output_bytes, _DRAIN_SECONDS)
        environment = recipe.ENVIRONMENT | dict(env)
        try:
            given = self._null_fd if stdin is None else stdin
            await process.start(argv, environment, directory, given)
        except (SpawnError, wire.TooLarge, OSError) as error:
            message = f"{argv[0]} could not be started: {error}"
            raise StepError(message) from error
        return process


@cache
def _unpack_program() -> str:
    return Path(__file__).with_name("unpack.py").read_text(encoding="utf-8")

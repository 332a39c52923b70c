"""Takes a build's steps, one after the other, in the build's sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from glovebox_local.sandbox.images.build import Build
from glovebox_local.sandbox.images.catalogue import Image
from glovebox_local.sandbox.images.request import Step, is_in_place, resolved
from glovebox_local.sandbox.images.site import Site, StepError
from glovebox_local.sandbox.images.uploads import Archive
from glovebox_local.sandbox.recipe import HOME, IMAGE_PLACES

# npm's global packages go where programs of the sandbox's user are looked for.
_BUILD_ENV = {"NPM_CONFIG_PREFIX": f"{HOME}/.local", "DEBIAN_FRONTEND": "noninteractive"}
# Both streams are one, so that the log has them in order.
_RUN = ("bash", "-c", 'exec bash -c "$1" 2>&1', "-")
_FOLDER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What steps leave besides files: variables and the working directory."""

    env: dict[str, str]
    workdir: str


class Steps:
    """The steps of one build, in one sandbox, with the archives that they copy from."""

    def __init__(
        self, build: Build, site: Site, base: Image, files: Mapping[str, Archive], seconds: float
    ) -> None:
        """``seconds`` is the time of a single step at most."""
        self._build = build
        self._site = site
        self._base = base
        self._files = files
        self._seconds = seconds

    async def take(self, steps: tuple[Step, ...]) -> None:
        """Take them all, in order. Raises ``StepError`` at the first that fails."""
        for number, step in enumerate(steps):
            self._build.current_step = step.words()[:500]
            self._build.say(f"Step {number + 1}/{len(steps)}: {step.words()[:2000]}")
            before = settings_of(self._base, steps[:number])
            if step.kind == "RUN":
                argv = [*_RUN, step.args[0]]
                env = _BUILD_ENV | before.env
                workdir = before.workdir
                code, printed = await self._site.run(argv, env, workdir, self._seconds)
                self._build.say(printed)
                if code:
                    message = f"step {number + 1} ended with exit code {code}"
                    raise StepError(message)
            elif step.kind == "COPY":
                await self._copy(step, before.workdir)
            elif step.kind == "WORKDIR":
                await self._make_folder(settings_of(self._base, steps[: number + 1]).workdir)
            elif step.kind == "USER":
                self._build.say("every sandbox runs as its one user: this changes nothing")
            self._build.steps_done = number + 1

    async def _copy(self, step: Step, workdir: str) -> None:
        target = resolved(step.args[1], workdir)
        _check_place(target)
        archive = self._files[step.files_hash].reopened()
        try:
            sources = step.args[0].split(",")
            code, printed = await self._site.copy(archive, sources, target, self._seconds)
        finally:
            os.close(archive)
        self._build.say(printed)
        if code:
            message = f"COPY failed: {printed[-2000:].strip()}"
            raise StepError(message)

    async def _make_folder(self, folder: str) -> None:
        _check_place(folder)
        argv = ["mkdir", "-p", "--", folder]
        code, printed = await self._site.run(argv, {}, "/", 60.0)
        if code:
            message = f"WORKDIR failed: {printed.strip()}"
            raise StepError(message)


def _check_place(path: str) -> None:
    if not is_in_place(path):
        places = ", ".join(IMAGE_PLACES)
        message = f"an image's files lie below {places}, not at {path}"
        raise StepError(message)


def settings_of(base: Image, steps: tuple[Step, ...]) -> Outcome:
    """Environment and working directory after these steps."""
    env, workdir = dict(base.env), base.workdir
    for step in steps:
        if step.kind == "ENV":
            env[step.args[0]] = step.args[1]
        elif step.kind == "WORKDIR":
            workdir = resolved(step.args[0], workdir).rstrip("/") or "/"
    return Outcome(env, workdir)

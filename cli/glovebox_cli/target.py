"""Which API a command speaks to: one that was named, a stack of this machine, or its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.interruption import Interruption
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen

if TYPE_CHECKING:
    from glovebox_local.endpoints import Endpoints

API_URL_VARIABLE = "GLOVEBOX_API_URL"
SECRET_VARIABLE = "GLOVEBOX_SECRET_"  # noqa: S105 - a variable's name; its end is the secret's
_CHOICES = (
    "Say where: --local (on this machine, no account needed), --api URL, "
    f"or set {API_URL_VARIABLE}."
)


@dataclass(frozen=True)
class TargetChoice:
    """What the command line says about where."""

    api: str | None
    api_from_environment: str | None = None
    local: bool = False
    fresh: bool = False

    def checked(self) -> TargetChoice:
        """Refuse combinations that mean nothing."""
        if self.local and self.api:
            message = "--local and --api exclude each other"
            raise CommandFailure(message, code=ExitCode.USAGE, hint=_CHOICES)
        if self.fresh and not self.local:
            message = "--fresh needs --local: it asks for a stack of its own on this machine"
            raise CommandFailure(message, code=ExitCode.USAGE)
        url = self.url
        if not self.local and not url:
            message = "it is not said where to run"
            raise CommandFailure(message, code=ExitCode.USAGE, hint=_CHOICES)
        if url is not None and not url.startswith(("http://", "https://")):
            message = f"{one_line(url)} is no address: it begins neither http:// nor https://"
            raise CommandFailure(message, code=ExitCode.USAGE)
        return self

    @property
    def url(self) -> str | None:
        """The API named; --local on the command line outweighs the environment."""
        return self.api or (None if self.local else self.api_from_environment)


def target_choice(api: str | None, *, local: bool, fresh: bool = False) -> TargetChoice:
    """The command line's choice, and the environment's."""
    return TargetChoice(api or None, os.environ.get(API_URL_VARIABLE) or None, local, fresh)


@dataclass(frozen=True)
class Target:
    """An API to speak to."""

    url: str
    is_own: bool = False
    """Whether it ends with this command."""
    options: tuple[str, ...] = ()
    """What names it on a command line."""


def existing_target(choice: TargetChoice, screen: Screen) -> Target:
    """A named API or a running stack; never starts one."""
    choice.checked()
    if choice.url is not None:
        return _named(choice)
    running = _running_stacks()
    if not running:
        message = "no embedded stack of yours is running"
        hint = "`glovebox local up` starts one; a stack that ran for one run is gone with it."
        raise CommandFailure(message, code=ExitCode.ERRORED, hint=hint)
    return _running(running, screen)


@contextmanager
def run_target(
    choice: TargetChoice, screen: Screen, stop: Interruption, secrets: Sequence[str] = ()
) -> Iterator[Target]:
    """A named API, a running stack, or a stack started for this block and stopped after it.

    `secrets` are the names that the manifest wants: a stack of its own must be given them all.
    """
    choice.checked()
    if choice.url is not None:
        yield _named(choice)
        return
    running = [] if choice.fresh else _running_stacks()
    if running:
        yield _running(running, screen)
        return
    _check_secrets(secrets)
    screen.chat("Starting an embedded stack for this run…")
    with started_stack(stop, on_progress=lambda step: screen.chat(f"  {step}")) as (endpoints):
        screen.chat(f"Embedded stack is up, isolation: {one_line(endpoints.isolation)}")
        yield Target(endpoints.api_url, is_own=True, options=("--local",))


@contextmanager
def started_stack(stop: Interruption, **settings: Any) -> Iterator[Endpoints]:
    """An embedded stack for the time of the block; whatever happens, it is stopped. The secrets
    of tests are those of this command's environment."""
    stack = _stack_module().LocalStack(secrets_of_tests=_given_secrets(), **settings)
    try:
        try:
            endpoints: Endpoints = stack.start()
        except Exception as error:
            words = one_line(str(error) or type(error).__name__)
            message = f"the embedded stack did not start: {words}"
            raise CommandFailure(message, code=ExitCode.ERRORED) from error
        yield endpoints
    finally:
        with stop.shielded():
            stack.stop()


def _named(choice: TargetChoice) -> Target:
    url = choice.url or ""
    return Target(url, options=("--api", url) if choice.api else ())


def _running(running: Sequence[Endpoints], screen: Screen) -> Target:
    chosen = running[0]
    if len(running) > 1:
        others = ", ".join(one_line(stack.api_url) for stack in running[1:])
        screen.warn(
            f"{len(running)} embedded stacks are running; using the most recent, "
            f"{chosen.api_url}. --api URL chooses another: {others}"
        )
    else:
        screen.chat(f"Using your running embedded stack, {one_line(chosen.api_url)}")
    options = ("--api", chosen.api_url) if len(running) > 1 else ("--local",)
    return Target(chosen.api_url, options=options)


def _running_stacks() -> Sequence[Endpoints]:
    """This user's stacks, the most recent first."""
    try:
        from glovebox_local.endpoints import find_running_stacks
    except ImportError as error:
        raise _not_installed(error) from error
    return sorted(find_running_stacks(), key=lambda stack: stack.started_at, reverse=True)


def _stack_module() -> Any:
    """`glovebox_local.stack` brings moto and boto3: only who starts a stack pays for it."""
    try:
        import glovebox_local.stack as module
    except ImportError as error:
        raise _not_installed(error) from error
    return module


def _given_secrets() -> dict[str, str]:
    """The secrets of tests in this command's environment, by name; an empty one is not set."""
    return {
        name.removeprefix(SECRET_VARIABLE): value
        for name, value in os.environ.items()
        if name.startswith(SECRET_VARIABLE) and name != SECRET_VARIABLE and value
    }


def _check_secrets(names: Sequence[str]) -> None:
    """Before anything is started: a missing one would fail every test, a minute later."""
    missing = [name for name in names if name not in _given_secrets()]
    if missing:
        message = f"the manifest names secrets that are not set: {', '.join(missing)}"
        variables = ", ".join(f"{SECRET_VARIABLE}{name}" for name in missing)
        raise CommandFailure(
            message, code=ExitCode.USAGE, hint=f"Set {variables} in this command's environment."
        )


def _not_installed(error: ImportError) -> CommandFailure:
    message = f"the embedded stack cannot be loaded: {one_line(str(error))}"
    hint = "Install Glovebox with all that it needs for local mode, or name an API: --api URL."
    return CommandFailure(message, code=ExitCode.ERRORED, hint=hint)

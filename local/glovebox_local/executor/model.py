"""What the executor knows about a function, and what an invocation comes back with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glovebox_local.errors import LocalStackError


class UnknownFunctionError(LocalStackError):
    """No function of this name was deployed from the template."""


class ThrottledError(LocalStackError):
    """The function, or the stack as a whole, runs as many invocations as it may."""


@dataclass(frozen=True, slots=True)
class AsyncPolicy:
    """What happens to an asynchronous invocation that fails (ARNs; None = nothing)."""

    retries: int = 2
    maximum_age_seconds: float = 21600.0
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function as the template describes it, its code found on this machine."""

    logical_id: str
    name: str
    arn: str
    handler: str
    task_root: Path
    layers: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 3.0
    memory_mb: int = 128
    reserved_concurrency: int | None = None
    runtime: str = "python3.11"
    log_group: str = ""
    log_format: str = "Text"
    log_level: str = ""
    """The level of a JSON log; empty leaves it to the runtime."""
    asynchronous: AsyncPolicy = AsyncPolicy()


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """The answer of an invocation: its payload (JSON), and how it failed if it did."""

    payload: bytes
    request_id: str
    error: str | None = None
    """``Unhandled`` when the payload describes an error, as the x-amz-function-error header."""
    log_tail: str = ""
    """The last 4 KB that the invocation logged."""

"""A sandbox for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from glovebox.domain.errors import SandboxError
from glovebox.ports import Sandbox, Sandboxes, SandboxRequest


@contextmanager
def fresh_sandbox(sandboxes: Sandboxes, request: SandboxRequest) -> Iterator[Sandbox]:
    """Create a sandbox and kill it at the end, whatever happened. A kill that fails hides
    nothing: the sandbox's TTL ends it."""
    sandbox = sandboxes.create(request)
    try:
        yield sandbox
    finally:
        with suppress(SandboxError):
            sandboxes.kill(sandbox.sandbox_id)

"""How many descriptors this process may have open."""

from __future__ import annotations

import contextlib
import resource


def raise_file_limit() -> None:
    """Take all that the system allows: the usual 1024 would be the first thing to run out."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

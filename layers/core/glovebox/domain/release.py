"""What a version 1 manifest may say that this release does not do yet. Said, not ignored."""

from __future__ import annotations

from glovebox.domain.manifest import Manifest
from glovebox.domain.problem import Problem


def beyond_this_release(manifest: Manifest, file: str) -> tuple[Problem, ...]:
    """The parts of the manifest that would have no effect; empty where all of it works."""
    said = {
        "source.git": manifest.source.git is not None,
        "cache": manifest.cache,
        **{f"suites[{i}].artifacts": bool(s.artifacts) for i, s in enumerate(manifest.suites)},
    }
    words = "is not available in this release: remove it"
    return tuple(Problem(words, path, file) for path, used in said.items() if used)

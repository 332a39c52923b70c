"""A service with a part of the recipe left out, to show that the attack tests would notice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.sandbox.settings import Recipe

from tests.integration.sandbox.client import API_KEY, SMALL_SETTINGS
from tests.integration.sandbox.lesser import OfAnOrdinaryUser, WithoutGroups

VARIABLE = "GLOVEBOX_TESTS_LEAVE_OUT"
"""Names a part of the recipe that the whole folder's server goes without, or a lower level."""

LESSER: dict[str, Callable[[], SandboxServerProcess]] = {
    "without groups": WithoutGroups,
    "ordinary user": OfAnOrdinaryUser,
}


class MutatedServer(SandboxServerProcess):
    """A service with a weaker recipe, which its command line does not offer."""

    def __init__(self, recipe: Recipe, *, sizes: str = "") -> None:
        """``sizes`` are further settings, as Python's keyword arguments."""
        super().__init__(API_KEY)
        self._recipe = recipe
        self._sizes = sizes

    def command(self) -> list[str]:
        program = (
            "from glovebox_local.sandbox.service import run\n"
            "from glovebox_local.sandbox.settings import Recipe, SandboxSettings\n"
            f"run(SandboxSettings(api_key={API_KEY!r}, recipe={self._recipe!r}, {self._sizes}))\n"
        )
        return [sys.executable, "-c", program]


def left_out() -> SandboxServerProcess | None:
    """The server that the variable asks for, the real one's limits included."""
    part = os.environ.get(VARIABLE)
    if not part:
        return None
    if part in LESSER:
        return LESSER[part]()
    return MutatedServer(Recipe(**{part: False}), sizes=SMALL_SETTINGS)

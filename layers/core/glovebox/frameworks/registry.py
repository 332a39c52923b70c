"""Which framework a suite's word means."""

from __future__ import annotations

from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.frameworks.command import CommandFramework
from glovebox.frameworks.contract import Framework
from glovebox.frameworks.pytest import PytestFramework
from glovebox.frameworks.unittest import UnittestFramework

_FRAMEWORKS: dict[FrameworkName, Framework] = {
    FrameworkName.PYTEST: PytestFramework(),
    FrameworkName.UNITTEST: UnittestFramework(),
    FrameworkName.COMMAND: CommandFramework(),
}


def framework_of(suite: Suite) -> Framework:
    """The framework of a suite. Every name that a manifest may use has one."""
    return _FRAMEWORKS[suite.framework]

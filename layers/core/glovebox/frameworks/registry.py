"""Which framework a suite's word means."""

from __future__ import annotations

from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.frameworks.command import CommandFramework
from glovebox.frameworks.contract import Framework
from glovebox.frameworks.jest import JestFramework
from glovebox.frameworks.mocha import MochaFramework
from glovebox.frameworks.node_test import NodeTestFramework
from glovebox.frameworks.playwright import PlaywrightFramework
from glovebox.frameworks.pytest import PytestFramework
from glovebox.frameworks.unittest import UnittestFramework
from glovebox.frameworks.vitest import VitestFramework

FRAMEWORKS: dict[FrameworkName, Framework] = {
    FrameworkName.PYTEST: PytestFramework(),
    FrameworkName.UNITTEST: UnittestFramework(),
    FrameworkName.JEST: JestFramework(),
    FrameworkName.VITEST: VitestFramework(),
    FrameworkName.MOCHA: MochaFramework(),
    FrameworkName.NODE_TEST: NodeTestFramework(),
    FrameworkName.PLAYWRIGHT: PlaywrightFramework(),
    FrameworkName.COMMAND: CommandFramework(),
}
"""Every name that a manifest may use, in the order in which a source is looked at."""


def framework_of(suite: Suite) -> Framework:
    """The framework of a suite. Every name that a manifest may use has one."""
    return FRAMEWORKS[suite.framework]

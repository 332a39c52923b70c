"""vitest: as jest, but for the blank or the ` > ` by which its versions join titles."""

from __future__ import annotations

from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.javascript import JavaScriptFramework
from glovebox.frameworks.javascript_signs import detect_by_package


class VitestFramework(JavaScriptFramework):
    """vitest 4 and 5, as installed in the source's node_modules."""

    word = "vitest"
    files = ("glovebox_vitest.cjs", "glovebox_jest_results.cjs")

    def detect(self, source: SourceView) -> Detection | None:
        """A configuration file or the dependency in package.json."""
        return detect_by_package(source, "vitest", r"vitest\.(?:config|workspace)\.[cm]?[jt]s")

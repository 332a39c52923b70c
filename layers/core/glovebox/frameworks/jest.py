"""jest: lists and runs by a pattern of titles, and reports what it left out as pending."""

from __future__ import annotations

from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.javascript import JavaScriptFramework
from glovebox.frameworks.javascript_signs import detect_by_package


class JestFramework(JavaScriptFramework):
    """jest 28 and later, as installed in the source's node_modules."""

    word = "jest"
    files = ("glovebox_jest.cjs", "glovebox_jest_results.cjs")

    def detect(self, source: SourceView) -> Detection | None:
        """A configuration file, the key `jest` or the dependency in package.json."""
        return detect_by_package(source, "jest", r"jest\.config\.(?:[cm]?[jt]s|json)", key="jest")

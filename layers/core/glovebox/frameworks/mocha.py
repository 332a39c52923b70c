"""mocha: its own reporter keeps the joined titles only, so one of ours writes the path."""

from __future__ import annotations

from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.javascript import JavaScriptFramework
from glovebox.frameworks.javascript_signs import detect_by_package


class MochaFramework(JavaScriptFramework):
    """mocha 9 and later, as installed in the source's node_modules."""

    word = "mocha"
    files = ("glovebox_mocha.cjs", "glovebox_mocha_reporter.cjs")

    def detect(self, source: SourceView) -> Detection | None:
        """A configuration file, the key `mocha` or the dependency in package.json."""
        return detect_by_package(
            source, "mocha", r"\.mocharc\.(?:[cm]?js|jsonc?|ya?ml)", key="mocha"
        )

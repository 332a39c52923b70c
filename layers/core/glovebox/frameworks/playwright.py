"""Playwright Test: lists with --list, which is exact; a project's name is part of the id."""

from __future__ import annotations

from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.javascript import JavaScriptFramework
from glovebox.frameworks.javascript_signs import detect_by_package


class PlaywrightFramework(JavaScriptFramework):
    """@playwright/test, as installed in the source's node_modules."""

    word = "playwright"
    files = ("glovebox_playwright.cjs",)

    def detect(self, source: SourceView) -> Detection | None:
        """A configuration file or the dependency in package.json."""
        return detect_by_package(source, "@playwright/test", r"playwright\.config\.[cm]?[jt]s")

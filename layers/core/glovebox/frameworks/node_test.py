"""node:test, the test runner within Node.js."""

from __future__ import annotations

from glovebox.frameworks.contract import Detection, SourceView
from glovebox.frameworks.javascript import JavaScriptFramework
from glovebox.frameworks.javascript_signs import detect_node_test


class NodeTestFramework(JavaScriptFramework):
    """node:test of Node.js 20 and later.

    Node.js 20 lists tests by a name pattern that leaves all of them out; later ones keep silent
    of what is left out, so there a file is the smallest thing that can be listed. A file has a
    process of its own, as `node --test` has it, and proves nothing unless it came to the end of
    its last test.
    """

    word = "nodetest"
    files = (
        "glovebox_nodetest.cjs",
        "glovebox_nodetest_reporter.mjs",
        "glovebox_nodetest_ending.cjs",
    )

    def detect(self, source: SourceView) -> Detection | None:
        """A script of package.json that calls `node --test`."""
        return detect_node_test(source)

"""`make demo`: runs the tour and, where there is Node.js, the JavaScript example.

Arguments, if any, say where they run instead of `--local`.

The tour fails on purpose in two tests, so its exit code 1 is what a good demo ends with.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FAILED_ON_PURPOSE = 1  # the tour's failing and its endless test
PASSED = 0

TOUR = """
That is all as it should be: of the tour's tests, one fails, one never ends, one is flaky and
one is skipped, on purpose, so that you can see how the report tells them apart.
"""
JAVASCRIPT = """
And that was a JavaScript package, tested by node:test: all passed, and one is skipped.
"""
NO_NODE = """
There is no Node.js on this machine, so the JavaScript example was left out: install it, and
this demo runs examples/javascript as well.
"""
CLOSING = """
Every attempt had a fresh sandbox of its own; nothing of them is left on this machine.

  The reports:    {folder}
  Your own tests: write a glovebox.yml (docs/manifest.md) and type .venv/bin/glovebox run --local
"""


def main() -> int:
    """Run the examples; 0 if they ended as they should."""
    folder = Path(tempfile.mkdtemp(prefix="glovebox-demo-"))
    wrong = _run("tour", folder, FAILED_ON_PURPOSE)
    if wrong:
        return wrong
    print(TOUR)
    # On this machine its sandboxes have the machine's own programs; elsewhere their image's.
    if len(sys.argv) > 1 or shutil.which("node"):
        wrong = _run("javascript", folder, PASSED)
        if wrong:
            return wrong
        print(JAVASCRIPT)
    else:
        print(NO_NODE)
    print(CLOSING.format(folder=folder))
    return 0


def _run(example: str, folder: Path, expected: int) -> int:
    """Run one example; 0 if it ended as expected."""
    where = sys.argv[1:] or ["--local"]
    glovebox = Path(sys.executable).parent / "glovebox"
    command = [glovebox, "run", *where, "--report", folder / example, HERE / example]
    ended = subprocess.run(command, check=False).returncode
    if ended == expected:
        return 0
    print(f"\n{example} should end with exit code {expected} and ended with {ended}.")
    return ended or 3


if __name__ == "__main__":
    sys.exit(main())

"""`make demo`: runs the tour and says what to make of its ending.

Arguments, if any, say where it runs instead of `--local`.

The tour fails on purpose in two tests, so its exit code 1 is what a good demo ends with.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
EXPECTED = 1  # failed: the tour's failing and its endless test, on purpose

CLOSING = """
That is all as it should be: of the tour's tests, one fails, one never ends, one is flaky and
one is skipped, on purpose, so that you can see how the report tells them apart.
Every attempt had a fresh sandbox of its own; nothing of them is left on this machine.

  The reports:    {folder}
  Your own tests: write a glovebox.yml (docs/manifest.md) and type .venv/bin/glovebox run --local
"""


def main() -> int:
    """Run the tour; 0 if it ended as it should."""
    folder = tempfile.mkdtemp(prefix="glovebox-demo-")
    where = sys.argv[1:] or ["--local"]
    command = [Path(sys.executable).parent / "glovebox", "run", *where, "--report", folder]
    ended = subprocess.run([*command, HERE / "tour"], check=False)
    if ended.returncode != EXPECTED:
        print(f"\nThe demo should end with exit code {EXPECTED} and ended with {ended.returncode}.")
        return ended.returncode or 3
    print(CLOSING.format(folder=folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the laboratory's stack until stdin ends: `python -m tests.faults.lab.serve FOLDER`.

Prints its endpoints as one line of JSON. In a process of its own, since moto is one per process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from glovebox_local.settings import LocalSettings
from glovebox_local.stack import LocalStack

from tests.faults.lab import bad_queue
from tests.faults.lab.tree import make_tree

SEED = 20


def main(folder: Path) -> None:
    """Serve."""
    tree, records = folder / "tree", folder / "records"
    tree.mkdir()
    records.mkdir()
    template = make_tree(tree, records)
    bad_queue.install(records, SEED)
    settings = LocalSettings(max_idle_workers=24, start_patience_seconds=1.0)
    with LocalStack(template, settings=settings) as stack:
        print(json.dumps(asdict(stack.endpoints)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

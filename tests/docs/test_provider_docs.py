"""docs/operating.md and decision 10 on how HopX is asked again: the numbers are the code's."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.adapters import hopx_agent, hopx_control, hopx_images, hopx_sandboxes
from glovebox.adapters.hopx_patience import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from glovebox.adapters.hopx_trouble import LONGEST_WISH_SECONDS

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs/operating.md").read_text(encoding="utf-8").split())
DECISION = " ".join(
    (ROOT / "docs/decisions/0010-what-is-asked-of-hopx-again.md").read_text("utf-8").split()
)


@pytest.mark.parametrize(
    "row",
    [
        f"| create a sandbox | {hopx_sandboxes.CREATE.tries}, only where none can have been made "
        f"| {hopx_sandboxes.CREATE.seconds:g} s |",
        f"| {hopx_control.ASK.tries} | {hopx_control.ASK.seconds:g} s |",
        f"| send the source | {hopx_agent.UPLOAD_TRIES} | {3 * hopx_agent.TRANSFER_SECONDS} s and "
        f"{2_000_000 // hopx_agent.SLOWEST_BYTES_PER_SECOND} s a MB |",
        f"| run a test | {hopx_agent.TRIES}, of one process | its own time limit, and "
        f"{hopx_agent.RUN_MARGIN_SECONDS + hopx_agent.ASK_AGAIN_SECONDS} s |",
        f"| kill a sandbox | {hopx_sandboxes.KILL.tries} | {hopx_sandboxes.KILL.seconds:g} s |",
        f"| ask for an image | {hopx_images.BEGIN_TRIES} | {hopx_images.BUILD_SECONDS} s |",
    ],
)
def test_the_table_says_what_the_code_does(row: str) -> None:
    assert row in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"from {FIRST_PAUSE_SECONDS:g} s to {LONGEST_PAUSE_SECONDS:g} s",
        f"at most {LONGEST_WISH_SECONDS:g} s",
        f"`run` by {hopx_agent.RUN_MARGIN_SECONDS + hopx_agent.ASK_AGAIN_SECONDS} s",
    ],
)
def test_the_decision_says_what_the_code_does(words: str) -> None:
    assert words in DECISION

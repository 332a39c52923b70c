"""docs/local.md on the sandbox server's agent: its paths, its statuses, its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from glovebox_local.sandbox import agent as agent_module
from glovebox_local.sandbox import callbacks, languages, sockets
from glovebox_local.sandbox.agent import Agent
from glovebox_local.sandbox.settings import SandboxSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/local.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("### Code") :]
CODE = ROOT / "local/glovebox_local/sandbox"
# Listed in the vendor's description for nearly every path, so no difference.
USUAL = {"400", "403", "500"}


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent(SandboxSettings(api_key="k"), null_fd=-1)


def test_every_websocket_is_in_the_table(agent: Agent) -> None:
    table = SECTION[SECTION.index("### WebSockets") : SECTION.index("### Where SDK")]
    rows = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(/[a-z/]+)`", rows)) == set(agent._socket_routes)


def test_every_status_that_the_vendor_does_not_list_has_a_row() -> None:
    files = (*CODE.glob("agent*.py"), *map(CODE.joinpath, ("programs.py", "files.py")))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r"\(\s*(\d{3}),\s+\"[A-Z_]+\"", text))
    rows = SECTION[SECTION.index("### Where SDK") :]
    missing = {status for status in used - USUAL if not re.search(rf"\b{status}\b", rows)}
    assert not missing
    assert {"401", "404", "408", "409", "410", "503", "507"} <= used


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (languages.MAX_CODE_BYTES / 2**20, "Code may have {:g} MiB"),
        (sockets.MAX_MESSAGE_BYTES / 2**20, "of {:g} MiB at most"),
        (agent_module._MAX_SOCKETS, "up to {} connections"),
        (callbacks._TRY_SECONDS, "{:g} seconds each"),
    ],
)
def test_numbers_are_those_of_the_code(value: float, text: str) -> None:
    assert text.format(value) in re.sub(r"\s+", " ", SECTION)

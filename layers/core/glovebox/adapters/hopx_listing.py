"""Every sandbox of the account, page by page. What is listed is read as untrusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from glovebox.adapters.hopx_control import refused_or_unavailable
from glovebox.adapters.hopx_trouble import Trouble
from glovebox.domain.errors import SandboxUnavailable
from glovebox.ports import SandboxFacts

PAGE_SIZE = 100
"""The most that the provider gives at a time."""
BARREN_PAGES = 3
"""In a row, without a sandbox that was not seen before."""
_PATH = "/v1/sandboxes"


class Control(Protocol):
    """The control plane, as far as a list needs it."""

    def request(self, method: str, path: str) -> dict[str, Any]:
        """The object that was answered. Raises Trouble."""


def list_sandboxes(control: Control, page_size: int = PAGE_SIZE) -> Iterator[SandboxFacts]:
    """Every sandbox once. Raises SandboxUnavailable or SandboxRefused.

    The vendor's documents know a cursor and its OpenAPI file does not, and the SDK goes round
    for ever where there are more and no cursor. So pages in which nothing is new end the list.
    """
    seen: set[str] = set()
    cursor: str | None = None
    barren = 0
    while True:
        query = {"limit": str(page_size)} | ({"cursor": cursor} if cursor else {})
        try:
            answer = control.request("GET", f"{_PATH}?{urlencode(query)}")
        except Trouble as trouble:
            raise refused_or_unavailable(trouble) from trouble
        new = [facts for facts in _facts_in(answer) if facts.sandbox_id not in seen]
        seen.update(facts.sandbox_id for facts in new)
        yield from new
        following = answer.get("next_cursor")
        last, cursor = cursor, following if isinstance(following, str) and following else None
        barren = 0 if new else barren + 1
        stuck = not new and cursor == last
        if answer.get("has_more") is not True or stuck or barren >= BARREN_PAGES:
            return


def _facts_in(answer: Mapping[str, Any]) -> list[SandboxFacts]:
    data = answer.get("data")
    if data is None:
        return []
    if not isinstance(data, list):
        raise SandboxUnavailable("the provider's list of sandboxes is malformed")
    found = {facts.sandbox_id: facts for item in data if (facts := _facts(item)) is not None}
    return list(found.values())


def _facts(item: object) -> SandboxFacts | None:
    if not isinstance(item, Mapping):
        return None
    sandbox_id, image = item.get("id"), item.get("template_name")
    if not isinstance(sandbox_id, str) or not sandbox_id:
        return None
    return SandboxFacts(
        sandbox_id, _epoch(item.get("created_at")), image if isinstance(image, str) else None
    )


def _epoch(moment: object) -> float | None:
    if not isinstance(moment, str):
        return None
    try:
        parsed = datetime.fromisoformat(moment)
        # Without a zone it could be any: not to be taken for one.
        return parsed.timestamp() if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None

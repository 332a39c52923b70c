"""How a list of sandboxes is read that the provider wrote badly, or may write otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from glovebox.adapters.hopx_listing import list_sandboxes
from glovebox.adapters.hopx_trouble import Trouble
from glovebox.domain.errors import SandboxUnavailable
from glovebox.ports import SandboxFacts


class Pages:
    """A control plane that answers with these pages, and the last one for ever."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, str]] = []

    def request(self, method: str, path: str) -> dict[str, Any]:
        url = urlsplit(path)
        assert (method, url.path) == ("GET", "/v1/sandboxes")
        assert len(self.asked) < 20, "it goes round for ever"
        self.asked.append(dict(parse_qsl(url.query)))
        answer = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        if not isinstance(answer, dict):
            raise Trouble("no object")
        return answer


def page(ids: Sequence[str], **more: Any) -> dict[str, Any]:
    return {"data": [{"id": name} for name in ids], **more}


def ids(pages: Pages) -> list[str]:
    return [facts.sandbox_id for facts in list_sandboxes(pages)]


def test_the_cursor_of_a_page_leads_to_the_next() -> None:
    pages = Pages(page("ab", has_more=True, next_cursor="7&x"), page("c", has_more=False))
    assert ids(pages) == ["a", "b", "c"]
    assert pages.asked == [{"limit": "100"}, {"limit": "100", "cursor": "7&x"}]


@pytest.mark.parametrize("cursor", [{}, {"next_cursor": None}, {"next_cursor": ""}])
def test_more_without_a_cursor_does_not_go_round_for_ever(cursor: dict[str, Any]) -> None:
    pages = Pages(page("ab", has_more=True, **cursor))
    assert ids(pages) == ["a", "b"]
    assert len(pages.asked) == 2


def test_pages_that_overlap_name_a_sandbox_once() -> None:
    pages = Pages(page("aab", has_more=True, next_cursor="1"), page("bc", has_more=False))
    assert ids(pages) == ["a", "b", "c"]


def test_a_page_of_nothing_readable_does_not_hide_those_behind_it() -> None:
    pages = Pages(page("a", has_more=True, next_cursor="1"), {"data": [{}], "has_more": True})
    pages.pages[1]["next_cursor"] = "2"
    pages.pages.append(page("b", has_more=False))
    assert ids(pages) == ["a", "b"]


def test_cursors_without_end_come_to_one() -> None:
    class Endless(Pages):
        def request(self, method: str, path: str) -> dict[str, Any]:
            answer = super().request(method, path)
            return {**answer, "next_cursor": str(len(self.asked))}

    assert ids(Endless(page("ab", has_more=True))) == ["a", "b"]


def test_malformed_entries_are_skipped_and_what_they_do_not_say_is_unknown() -> None:
    entries = [
        None,
        7,
        "x",
        {},
        {"id": None},
        {"id": 5},
        {"id": ""},
        {"id": "a", "created_at": "2026-11-25T10:00:00Z", "template_name": "base"},
        {"id": "b", "created_at": "yesterday", "template_name": 3},
        {"id": "c", "created_at": "2026-11-25T10:00:00"},
        {"id": "d", "created_at": 1_800_000_000},
    ]
    assert list(list_sandboxes(Pages({"data": entries}))) == [
        SandboxFacts("a", 1_795_600_800.0, "base"),
        *(SandboxFacts(name, None, None) for name in "bcd"),
    ]


def test_nothing_at_all_is_an_empty_list() -> None:
    assert ids(Pages({"data": None, "has_more": False})) == []


@pytest.mark.parametrize("answer", [[], "x", None, {"data": {"a": 1}}, {"data": "x"}])
def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(answer: Any) -> None:
    with pytest.raises(SandboxUnavailable):
        ids(Pages(answer))

"""Ids of a file and titles: readable, and never two tests with one id."""

from __future__ import annotations

import pytest
from glovebox.frameworks.title_path import Copies, parse_id, titled_id
from hypothesis import example, given
from hypothesis import strategies as st

TITLES = st.lists(
    st.text(st.sampled_from("ab >\\#2\n{}u ") | st.characters(exclude_categories=["Cs"]))
)


@pytest.mark.parametrize(
    ("titles", "text"),
    [
        ((), "a/cart.test.js"),
        (("basket", "adds an item"), "a/cart.test.js > basket > adds an item"),
        (("a (b) [c] .* $",), "a/cart.test.js > a (b) [c] .* $"),
        (("x => y",), "a/cart.test.js > x => y"),
        (("x > y",), r"a/cart.test.js > x \> y"),
        ((r"\d+",), r"a/cart.test.js > \\d+"),
        (("line\nbreak",), r"a/cart.test.js > line\u{a}break"),
        (("日本 é",), "a/cart.test.js > 日本 é"),
    ],
)
def test_an_id_is_what_people_would_write(titles: tuple[str, ...], text: str) -> None:
    assert titled_id("a/cart.test.js", titles) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), TITLES)
@example("a", ["b >", "> c"])
@example("a", ["", " ", ">"])
@example("a", ["b \\#2"])
@example(">", ["> >"])
def test_file_and_titles_are_read_back_from_an_id(file: str, titles: list[str]) -> None:
    assert parse_id(titled_id(file, titles)) == (file, tuple(titles))


@given(TITLES, TITLES)
def test_different_titles_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (titled_id("a", one) == titled_id("a", other)) == (one == other)


@given(TITLES)
def test_an_id_is_one_printable_line(titles: list[str]) -> None:
    assert titled_id("a", titles).isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_as_some_file_and_titles(text: str) -> None:
    file, titles = parse_id(text)
    assert isinstance(file, str)
    assert all(isinstance(title, str) for title in titles)


@given(st.lists(st.sampled_from([("a",), ("a \\#2",), ("a", "b")]), max_size=12))
def test_tests_of_the_same_name_are_told_apart_and_run_by_that_name(
    names: list[tuple[str, ...]],
) -> None:
    copies = Copies()
    ids = [copies.next_id("f", name) for name in names]
    assert len(set(ids)) == len(ids)
    assert [parse_id(text) for text in ids] == [("f", name) for name in names]

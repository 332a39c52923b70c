"""The table of deviations is of use: every row says something that the vendor's files do not."""

from __future__ import annotations

import pytest

from tests.conformance import descriptions
from tests.conformance.deviations import Deviation, complaint, table

ROWS = table()


def test_the_table_is_there() -> None:
    assert ROWS


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_says_why_in_a_sentence(row: Deviation) -> None:
    assert len(row.why.split()) > 2


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_owns_up_to_what_the_files_do_not_promise(row: Deviation) -> None:
    description = descriptions.load("control" if row.api == "control" else "agent")
    if description is None:
        pytest.skip(descriptions.MISSING)
    covered = [
        (method, path)
        for method, path in description.operations()
        if any(row.covers(description.api, method, path, status) for status in row.statuses)
    ]
    promised = [
        f"{method} {path} {status}"
        for method, path in covered
        for status in row.statuses
        if complaint(description, [], method, path, status) is None
    ]
    everywhere = row.method == "any" or row.path.endswith("*")
    assert everywhere or not promised
    assert len(promised) < max(1, len(covered) * len(row.statuses))


def test_an_unlisted_answer_is_complained_about() -> None:
    description = descriptions.load("agent")
    if description is None:
        pytest.skip(descriptions.MISSING)
    assert complaint(description, [], "GET", "/env", 200) is None
    assert complaint(description, [], "GET", "/env", 418) is not None
    assert complaint(description, [], "POST", "/commands/run", 500) is not None
    assert complaint(description, [], "GET", "/nowhere", 200) is not None
    row = Deviation("agent", "GET", "/en*", frozenset({418}), "")
    assert complaint(description, [row], "GET", "/env", 418) is None
    assert complaint(description, [row], "PUT", "/env", 418) is not None

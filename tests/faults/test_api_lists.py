"""What the list of runs may be asked for, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

import pytest
from glovebox.domain.moment import to_timestamp
from glovebox.domain.outcome import Conclusion, RunState

from tests.faults.api_door import ANN, BOB, ApiDoor, a_manifest

START = 1_800_000_000.0


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiDoor:
    return ApiDoor(tmp_path, monkeypatch)


def many_runs(door: ApiDoor, count: int) -> None:
    """Every third is named `rare`; of these, every other one has failed. One a minute."""
    row = door.spine.runs.run(door.start(ANN))
    for number in range(count):
        rare, ended = number % 3 == 0, number % 6 == 0
        told = {
            "run_id": f"r-{number:04}",
            "name": "rare" if rare else "usual",
            "state": RunState.FINISHED if ended else RunState.RUNNING,
            "conclusion": Conclusion.FAILED if ended else None,
            "created_at": START + 60 * number,
        }
        door.spine.runs.create_run(row.model_copy(update=told))


def pages(door: ApiDoor, caller: str = ANN, **query: str) -> list[list[str]]:
    """The ids of every page."""
    found: list[list[str]] = []
    following: str | None = ""
    while following is not None:
        asked = {**query, "cursor": following} if following else query
        body = door.call("GET", "/runs", query=asked, caller=caller).body
        found.append([run["run_id"] for run in body["runs"]])
        following = body["next"]
        assert len(found) < 50, "the pages never end"
    return found


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"name": "rare"}, range(0, 40, 3)),
        ({"state": "finished"}, range(0, 40, 6)),
        ({"conclusion": "failed", "name": "rare"}, range(0, 40, 6)),
        ({"conclusion": "passed"}, []),
        ({"since": to_timestamp(START + 60 * 30), "name": "usual"}, [31, 32, 34, 35, 37, 38]),
    ],
)
def test_a_list_has_what_all_its_filters_take(
    door: ApiDoor, query: dict[str, str], numbers: list[int]
) -> None:
    many_runs(door, 40)
    found = [run_id for page in pages(door, limit="5", **query) for run_id in page]
    assert found == [f"r-{number:04}" for number in reversed(numbers)]


def test_no_request_looks_at_the_whole_ledger_for_a_filter_that_takes_little(door: ApiDoor) -> None:
    many_runs(door, 1200)
    found = pages(door, limit="5", since=to_timestamp(START), conclusion="passed")
    assert found == [[], [], []]


def test_filters_show_nobody_elses_runs(door: ApiDoor) -> None:
    many_runs(door, 12)
    assert pages(door, caller=BOB, name="rare") == [[]]


@pytest.mark.parametrize(
    "query", [{"state": "done"}, {"conclusion": "ok"}, {"since": "yesterday"}, {"name": "../a"}]
)
def test_a_filter_of_the_wrong_form_is_refused(door: ApiDoor, query: dict[str, str]) -> None:
    answer = door.call("GET", "/runs", query=query)
    assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/runs"), ("GET", "/nothing"), ("PUT", "/runs"), ("GET", "/docs")]
)
def test_every_answer_forbids_guessing_its_type_and_keeping_it(
    door: ApiDoor, method: str, path: str
) -> None:
    headers = door.call(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_an_answer_to_nobody_is_protected_as_well(door: ApiDoor) -> None:
    answer = door.call("POST", "/runs", a_manifest(), caller=None)
    assert answer.status == 403
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_description_that_is_known_is_not_sent_again(door: ApiDoor) -> None:
    first = door.call("GET", "/openapi.json")
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = door.call("GET", "/openapi.json", headers={"if-none-match": known})
        assert (again.status, again.text) == (304, "")
        assert again.headers["etag"] == tag
    other = door.call("GET", "/openapi.json", headers={"if-none-match": '"other"'})
    assert (other.status, other.text) == (200, first.text)

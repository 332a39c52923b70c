"""Whatever comes through the API's door: a 4xx in the one shape, and nothing started."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.api_door import ApiDoor, a_manifest
from tests.faults.handlers import ROOT

GOOD = json.dumps({"manifest": a_manifest()})
MANY = '{"manifest": {"version": 1, "name": "n", "suites": [{"tests": ['


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiDoor:
    return ApiDoor(tmp_path, monkeypatch)


def with_value(text: str) -> str:
    """A manifest whose `parallelism` is written so."""
    return GOOD.replace('"version": 1', f'"version": 1, "parallelism": {text}')


# Body, status, path of a problem (None: the refusal is of the body as a whole).
BODIES: dict[str, tuple[str, int, str | None]] = {
    "nothing": ("", 422, "body"),
    "deep lists": ('{"manifest": ' + "[" * 100_000, 400, "manifest" + "[0]" * 19),
    "deep mappings": ('{"manifest": ' + '{"a": ' * 100_000, 400, "manifest" + ".a" * 19),
    "NaN": (with_value("NaN"), 400, "manifest.parallelism"),
    "infinity": (with_value("-Infinity"), 400, "manifest.parallelism"),
    "a number that overflows": (with_value("1e999"), 400, "manifest.parallelism"),
    "ten thousand digits": (with_value("9" * 10_000), 400, "manifest.parallelism"),
    "a duplicate key": (with_value('1, "version": 1'), 400, "manifest.version"),
    "a duplicate at the top": (GOOD[:-1] + ', "manifest": {}}', 400, "manifest"),
    "a byte order mark": ("\ufeff" + GOOD, 400, ""),
    "trailing garbage": (GOOD + " x", 400, ""),
    "two documents": (GOOD + GOOD, 400, ""),
    "a lone surrogate": (with_value('"\\ud800"'), 400, "manifest.parallelism"),
    "a raw lone surrogate": (with_value('"\ud800"'), 400, "manifest.parallelism"),
    "a surrogate as a key": (with_value('1, "\\udfff": 1'), 400, r"manifest['\udfff']"),
    "NUL": (with_value('"\\u0000"'), 400, "manifest.parallelism"),
    "a control character": (with_value('"\x01"'), 400, "manifest.parallelism"),
    "a list": ("[" + GOOD + "]", 400, ""),
    "text": ('"x"', 400, ""),
    "null": ("null", 400, ""),
    "an unknown key": ('{"manifest": {}, "more": 1}', 422, "body.more"),
    "no manifest": ("{}", 422, "body.manifest"),
    "a manifest that is none": ('{"manifest": []}', 422, "body.manifest"),
    "too many tests": (MANY + '"x",' * 200_000, 400, "manifest.suites[0].tests[99988]"),
    "1 000 001 tests": (MANY + '"x",' * 1_000_001, 413, None),
    "100 MB": (" " * 100_000_000, 413, None),
}


@pytest.mark.parametrize(("text", "status", "path"), BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_is_refused_where_it_is_bad(
    door: ApiDoor, text: str, status: int, path: str | None
) -> None:
    answer = door.call("POST", "/runs", text=text)
    assert answer.status == status, answer.text
    assert answer.code
    if path is not None:
        problems = answer.body["error"]["details"]["problems"]
        assert path in [problem["path"] for problem in problems], problems
    assert door.spine.workflow.started == []
    assert door.spine.artifacts.objects == {}


ENCODED: dict[str, tuple[bytes, int]] = {
    "UTF-16": (GOOD.encode("utf-16"), 400),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), 400),
    "Latin-1": (GOOD.replace('"n"', '"é"').encode("latin-1"), 400),
    "gzip": (gzip.compress(GOOD.encode()), 400),
    "10 MB": (b" " * 10_000_000, 413),
}


@pytest.mark.parametrize(("raw", "status"), ENCODED.values(), ids=ENCODED.keys())
def test_bytes_that_are_no_json_in_utf_8_are_refused(
    door: ApiDoor, raw: bytes, status: int
) -> None:
    answer = door.call("POST", "/runs", text=base64.b64encode(raw).decode(), is_base64=True)
    assert (answer.status, bool(answer.code)) == (status, True)
    assert door.spine.workflow.started == []


def test_base64_that_is_none_is_refused(door: ApiDoor) -> None:
    answer = door.call("POST", "/runs", text="é!", is_base64=True)
    assert 400 <= answer.status < 500
    assert answer.code


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "text/json",
        "application/json-patch+json",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ],
)
@pytest.mark.parametrize("path", ["/runs", "/sources", "/runs/x/rerun", "/runs/x/cancel"])
def test_anything_but_json_is_415(door: ApiDoor, path: str, kind: str) -> None:
    answer = door.call("POST", path, text=GOOD, headers={"content-type": kind})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_a_length_that_is_told_is_believed(door: ApiDoor) -> None:
    answer = door.call("POST", "/runs", text=GOOD, headers={"content-length": "100000000"})
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(
    "run_id",
    [
        *("..", "../x", "%2e%2e", "a b", "a%00b", "\x00", "\r\nx: y", "é", "a" * 81, "a" * 10_000),
        *("';drop", "<img src=x>", "\ud800", "run#x", "a.b"),
    ],
)
@pytest.mark.parametrize("path", ["/runs/{}", "/runs/{}/tests", "/runs/x/tests/{}"])
def test_an_id_that_is_none_is_4xx(door: ApiDoor, path: str, run_id: str) -> None:
    answer = door.call("GET", path.format(run_id))
    assert answer.status in (404, 422), answer.text
    assert answer.code in ("not_found", "invalid_request")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/runs", {"limit": "0"}),
        ("/runs", {"limit": "101"}),
        ("/runs", {"limit": "9" * 5000}),
        ("/runs", {"limit": "NaN"}),
        ("/runs", {"cursor": "x"}),
        ("/runs", {"cursor": "2026-11-23T12:00:00.000000Z#\x00"}),
        ("/runs/{}/tests", {"since": "yesterday"}),
        ("/runs/{}/tests", {"since": "2026-99-99T12:00:00.000000Z"}),
        ("/runs/{}/report", {"format": "exe"}),
        ("/runs/{}/report", {"format": "\ud800"}),
    ],
)
def test_a_parameter_that_means_nothing_is_422(
    door: ApiDoor, path: str, query: dict[str, str]
) -> None:
    answer = door.call("GET", path.format(door.start()), query=query)
    assert (answer.status, answer.code) == (422, "invalid_request"), answer.text


def test_another_method_is_405_and_says_which_there_are(door: ApiDoor) -> None:
    answer = door.call("DELETE", "/runs")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/runs/", "/runs/x/y", "//", "/Runs"])
def test_another_path_is_404(door: ApiDoor, path: str) -> None:
    answer = door.call("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_the_description_is_served(door: ApiDoor) -> None:
    answer = door.call("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.text == (ROOT / "docs/openapi.json").read_text(encoding="utf-8")


def test_the_docs_page_needs_nothing_from_elsewhere(door: ApiDoor) -> None:
    answer = door.call("GET", "/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert "/runs/{run_id}/rerun" in answer.text
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", answer.text)
    assert len(answer.text) < 6_000_000, "what a function may answer"


MEASURED = """
import sys
from pathlib import Path
import pytest
from tests.faults.api_door import ApiDoor
from tests.faults.test_api_bad_doors import BODIES, memory
text, status, _ = BODIES[sys.argv[1]]
with pytest.MonkeyPatch.context() as patch:
    door = ApiDoor(Path(sys.argv[2]), patch)
    answer = door.call("POST", "/runs", text=text)
assert answer.status == status, answer
print(memory() - len(text) * 2 // 2**20)
"""
"""Prints MiB, without the request itself and its copy: the gateway takes none beyond 10 MB."""


def memory() -> int:
    """Most that this process ever held, MiB."""
    # Not ru_maxrss: that is inherited from whoever started this process.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@pytest.mark.parametrize("name", ["too many tests", "deep mappings", "100 MB"])
def test_a_refusal_needs_less_than_256_mb(name: str, tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-c", MEASURED, name, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 256

"""Where a run's manifest came from is told wherever its results are."""

from __future__ import annotations

import json
from pathlib import Path

from glovebox.domain.run import Origin
from glovebox.usecases.account import RunAccount
from jsonschema import Draft202012Validator

from tests.unit.usecases.driver import Spine

SCHEMA = Path(__file__).parents[3] / "docs/schema/run-finished.v1.json"
MANIFEST = {
    "version": 1,
    "name": "n",
    "source": {"inline": {"files": {"a.txt": "a"}}},
    "suites": [{"name": "unit", "framework": "command", "command": ["true"]}],
}


def test_results_link_back_to_the_version_of_the_manifest(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    origin = Origin(bucket="manifests", key="nightly/é.json", version="v7")
    spine.accept(
        json.dumps(MANIFEST), file="m.json", run_id="r1", door="s3", owner="stack", origin=origin
    )
    message = json.loads(spine.reduce("r1").message)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(message)
    expected = {"bucket": "manifests", "key": "nightly/é.json", "version": "v7"}
    assert message["origin"] == expected
    report = spine.report("r1")
    assert report.origin == origin
    assert RunAccount(spine.runs, spine.artifacts).run("r1", "me")["origin"] == expected


def test_a_run_of_another_door_has_no_origin(tmp_path: Path) -> None:
    spine = Spine(tmp_path)
    spine.accept(json.dumps(MANIFEST), file="m.json", run_id="r1", door="api", owner="me")
    message = json.loads(spine.reduce("r1").message)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(message)
    assert message["origin"] is None

"""`glovebox plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glovebox.domain.report import DOLLARS_PER_SANDBOX_SECOND

from tests.unit.cli.conftest import Cli

SUITE = {"name": "unit", "framework": "pytest", "timeout": "60s"}


def write(folder: Path, *suites: dict[str, Any], **top: Any) -> None:
    whole = {"version": 1, "name": "demo", "source": {"path": "."}, "suites": list(suites), **top}
    (folder / "glovebox.json").write_text(json.dumps(whole))


def test_it_shows_what_would_be_sent_run_and_paid_at_most(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "test_a.py").write_text("x" * 1000)
    named = {"name": "smoke", "framework": "command", "command": ["true"], "retries": 2}
    top = {"secrets": ["DB_URL"], "image": {"setup": ["make"]}, "timeout": "10m", "parallelism": 4}
    write(tmp_path, {**SUITE, "paths": ["tests"]}, named, **top)
    ended = cli("plan", str(tmp_path), "-o", "json")
    assert ended.code == 0, ended.err
    plan = json.loads(ended.text)
    assert plan["sent"]["files"] == 2
    assert plan["sent"]["bytes"] == 1000 + len((tmp_path / "glovebox.json").read_text())
    assert [suite["tests"] for suite in plan["suites"]] == [None, 1]
    assert plan["at_most"]["sandbox_seconds"] == 2400
    assert plan["at_most"]["cost"] == round(2400 * DOLLARS_PER_SANDBOX_SECOND, 4)
    words = cli("plan", str(tmp_path)).text
    for part in ("up to 4 sandboxes", "at most 10m", "set-up: make", "DB_URL", "pytest in tests"):
        assert part in words
    assert "listed in a sandbox at the start" in words
    assert "1 test;" in words


def test_a_broken_manifest_and_a_source_outside_are_refused(tmp_path: Path, cli: Cli) -> None:
    write(tmp_path, {**SUITE, "framework": "nose"})
    ended = cli("plan", str(tmp_path))
    assert ended.code == 2
    assert "no framework of this release" in ended.err
    (tmp_path / "below").symlink_to("/")
    write(tmp_path, SUITE, source={"path": "below"})
    assert cli("plan", str(tmp_path)).code == 2


def test_a_source_elsewhere_is_named_and_nothing_is_sent(tmp_path: Path, cli: Cli) -> None:
    write(tmp_path, SUITE, source={"s3": "s3://bucket/key.tar.gz"})
    plan = json.loads(cli("plan", str(tmp_path), "-o", "json").text)
    assert (plan["source"], plan["sent"]) == ("s3://bucket/key.tar.gz", None)

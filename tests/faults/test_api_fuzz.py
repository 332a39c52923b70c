"""Made-up requests, all of schemathesis' checks on; `make fuzz-api` asks for ten minutes."""

from __future__ import annotations

import pytest

from tests.faults.api_fuzz import fuzz

pytestmark = pytest.mark.thorough


def test_no_made_up_request_finds_a_failure() -> None:
    done = fuzz("--max-examples=3", "--generation-deterministic", "--seed=1")
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
    for phase in ("Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, phase

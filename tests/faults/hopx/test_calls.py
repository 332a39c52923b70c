"""The answer to a call is lost (row 19) or malformed (row 20): it is asked again, and runs once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from glovebox.adapters import hopx_agent
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxLost, SandboxUnavailable

from tests.faults.hopx.laboratory import (
    ANSWER_LOST,
    MALFORMED,
    REQUEST,
    always,
    count_once,
    live,
    runs_in,
)
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("kind", [*ANSWER_LOST, *MALFORMED])
def test_a_command_whose_answer_was_lost_is_asked_after_and_runs_once(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(Fault(kind, on="run", times=2, seconds=0.02))
    evidence = count_once(made)
    assert (evidence.exit_code, evidence.nonce, evidence.log) == (3, "nonce", b"out\n")
    assert runs_in(made) == 1
    assert len(proxy.processes(made.sandbox_id)) == 1
    assert proxy.injected[kind] == 2
    sandboxes.kill(made.sandbox_id)
    assert proxy.orphans() == set()


@pytest.mark.parametrize("kind", [*ANSWER_LOST, *MALFORMED])
def test_a_command_that_is_never_answered_well_is_lost_and_proves_nothing(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(kind, "run", seconds=0.01))
    with pytest.raises(SandboxLost) as caught:
        count_once(made)
    assert caught.value.sandbox_id == made.sandbox_id
    assert caught.value.still_there
    assert proxy.requests["run"] == hopx_agent.TRIES
    sandboxes.kill(made.sandbox_id)
    assert proxy.orphans() == set()


def test_a_command_without_any_answer_ends_within_its_deadline(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopx_agent, "RUN_MARGIN_SECONDS", -0.8)
    monkeypatch.setattr(hopx_agent, "ASK_AGAIN_SECONDS", 0.4)
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.BLACKHOLE, "run", seconds=100))
    with pytest.raises(SandboxLost) as caught:
        made.run("true", env={}, timeout_seconds=1)
    assert caught.value.still_there
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize(
    "kind",
    [*ANSWER_LOST, Kind.HTML_200, Kind.TRUNCATED, Kind.JSON_NULL],
)
def test_an_upload_is_repeated_and_arrives_whole(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    content = bytes(range(256)) * 1000
    proxy.inject(Fault(kind, on="upload", times=2, seconds=0.01))
    made.upload("/workspace/f", content)
    assert proxy.requests["upload"] == 3
    assert made.download("/workspace/f", limit=len(content)) == content
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize(
    "kind", [Kind.TRUNCATED, Kind.DROPPED_AFTER, Kind.SERVER_503, Kind.HTML_200, Kind.JSON_NULL]
)
def test_a_file_is_asked_for_again_until_it_is_whole(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x" * 100_000)
    proxy.inject(Fault(kind, on="download", times=2))
    assert made.download("/workspace/f", limit=100_000) == b"x" * 100_000
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_faults_of_all_kinds_no_process_runs_twice_and_none_passes_unproven(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, seed: int
) -> None:
    proxy.faults.rate = 0.3
    proxy.faults.seed = seed
    answered = possible = 0
    for _ in range(15):
        try:
            made = sandboxes.create(REQUEST)
        except SandboxUnavailable as error:
            possible += error.possibly_created
            continue
        with suppress(SandboxLost):
            evidence = count_once(made)
            answered += 1
            assert (evidence.exit_code, evidence.nonce) == (3, "nonce")
        assert len(proxy.processes(made.sandbox_id)) <= 1
        sandboxes.kill(made.sandbox_id)
    assert sum(proxy.injected.values()) > 10
    assert answered > 3
    assert len(proxy.orphans()) <= possible
    assert {described["id"] for described in live(server_url)} == proxy.orphans()

"""The adapter before a HopX that fails: the real server, the real SDK, a proxy between them.

What must hold, whatever breaks: a process runs once, no answer that proves nothing is a pass,
and the provider knows no sandbox that we do not know of, but for those that are told of as
possible; these have a time to live.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from glovebox.adapters import hopx_agent, hopx_sandboxes
from glovebox.adapters.hopx_agent import HopxSandbox
from glovebox.adapters.hopx_patience import Patience
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.domain.errors import SandboxLost, SandboxUnavailable
from glovebox.domain.evidence import Evidence
from glovebox.frameworks.contract import Command
from glovebox.ports import SandboxRequest
from glovebox.usecases.process import Process, run_process
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.fakes import RealClock
from tests.faults.hopx_proxy import Fault, HopxFaultProxy, Kind

KEY = "the-key-of-the-account"
REQUEST = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=77)
# Whoever runs it twice finds two lines in the file.
COUNTING = ("bash", "-c", "echo ran >>/workspace/runs; sleep 0.05; echo out; exit 3")

OUTCOME_UNKNOWN = [
    Kind.ANSWERED_504_AFTER,
    Kind.ANSWERED_502_AFTER,
    Kind.DROPPED_AFTER,
    Kind.TRUNCATED,
    Kind.HTML_200,
    Kind.EMPTY_OBJECT,
    Kind.MISSING_ID,
    Kind.JSON_NULL,
    Kind.BLACKHOLE_AFTER,
]
ANSWER_LOST = [
    Kind.ANSWERED_504_AFTER,
    Kind.ANSWERED_502_AFTER,
    Kind.DROPPED_BEFORE,
    Kind.DROPPED_AFTER,
    Kind.CUT_UNDER_WAY,
    Kind.SERVER_500,
    Kind.SERVER_502,
    Kind.SERVER_503,
    Kind.RATE_LIMITED_FLAT,
    Kind.RATE_LIMITED_HEADER,
    Kind.BLACKHOLE,
    Kind.BLACKHOLE_AFTER,
]
MALFORMED = [
    Kind.EMPTY_OBJECT,
    Kind.EXIT_CODE_NULL,
    Kind.HTML_200,
    Kind.TRUNCATED,
    Kind.JSON_NULL,
]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with SandboxServerProcess(KEY) as server:
        yield server.url


@pytest.fixture
def proxy(server_url: str) -> Iterator[HopxFaultProxy]:
    """Held connections are short: what waits for longer has a patience that the test made short."""
    with HopxFaultProxy(server_url, hold_seconds=0.1) as proxy:
        yield proxy
    left = {described["id"] for described in live(server_url)}
    for sandbox_id in left:
        httpx.delete(f"{server_url}/v1/sandboxes/{sandbox_id}", headers={"X-API-Key": KEY})
    assert left <= proxy.orphans(), "the provider knows sandboxes that nobody asked for"


@pytest.fixture
def sandboxes(proxy: HopxFaultProxy) -> Iterator[HopxSandboxes]:
    sandboxes = HopxSandboxes(proxy.url, KEY, RealClock())
    yield sandboxes
    sandboxes.close()


def live(server_url: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{server_url}/v1/sandboxes", headers={"X-API-Key": KEY}).json()
    described: list[dict[str, Any]] = answer["data"]
    return described


def kill_behind_our_back(server_url: str, sandbox_id: str) -> None:
    httpx.delete(f"{server_url}/v1/sandboxes/{sandbox_id}", headers={"X-API-Key": KEY})


def always(kind: Kind, on: str, **more: Any) -> Fault:
    return Fault(kind, on=on, times=None, **more)


def once(kind: Kind, on: str, **more: Any) -> Fault:
    return Fault(kind, on=on, times=1, **more)


def count_once(sandbox: HopxSandbox) -> Evidence:
    process = Process("attempt", Command(COUNTING), "nonce", 20, {"HOME": "/workspace/home"})
    return run_process(sandbox, process, RealClock())


def runs_in(sandbox: HopxSandbox) -> int:
    return sandbox.download("/workspace/runs", limit=1000).count(b"ran")


# Row 17: too many requests.


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED_NESTED, Kind.RATE_LIMITED_FLAT, Kind.RATE_LIMITED_HEADER]
)
@pytest.mark.parametrize(("wish", "told"), [(7, 7.0), (3600, 300.0)])
def test_too_many_creations_are_told_with_the_providers_wish_and_leave_nothing(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind, wish: float, told: float
) -> None:
    proxy.inject(always(kind, "create", seconds=wish))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.retry_after_seconds == told
    assert not caught.value.possibly_created
    assert proxy.requests["create"] == 1, "waiting is for who paces all creations"
    assert proxy.created == []


# Row 18: a creation of which nobody knows what came.


@pytest.mark.parametrize("kind", OUTCOME_UNKNOWN)
def test_a_creation_that_may_have_happened_is_not_repeated_and_told_as_possible(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, kind: Kind
) -> None:
    proxy.inject(always(kind, "create"))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert proxy.requests["create"] == 1
    assert [described["timeout_seconds"] for described in live(server_url)] == [77]


def test_a_creation_that_never_arrived_cannot_be_told_from_one_that_did(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    proxy.inject(always(Kind.DROPPED_BEFORE, "create"))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert (proxy.requests["create"], proxy.created) == (1, [])


def test_a_creation_that_was_surely_not_made_is_repeated(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    proxy.inject(Fault(Kind.SERVER_503, on="create", times=2))
    sandboxes.kill(sandboxes.create(REQUEST).sandbox_id)
    assert (proxy.requests["create"], len(proxy.created)) == (3, 1)
    assert proxy.orphans() == set()


def test_a_creation_ends_within_its_deadline(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hopx_sandboxes, "CREATE", Patience(tries=3, try_seconds=0.3, seconds=0.5))
    proxy.inject(always(Kind.BLACKHOLE_AFTER, "create", seconds=100))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert caught.value.possibly_created
    assert proxy.requests["create"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"public_host": "http://192.0.2.1:80"},
        {"public_host": None, "direct_url": None},
        {"auth_token": None},
        {"auth_token": "a\nb"},
    ],
)
def test_a_sandbox_that_cannot_be_talked_to_is_killed_at_once(
    sandboxes: HopxSandboxes,
    proxy: HopxFaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
) -> None:
    ask = sandboxes._control.request
    monkeypatch.setattr(
        sandboxes._control,
        "request",
        lambda method, *args, **more: (
            ask(method, *args, **more) | (changed if method == "POST" else {})
        ),
    )
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.create(REQUEST)
    assert not caught.value.possibly_created
    assert len(proxy.created) == 1
    assert proxy.orphans() == set()


# Row 19: the answer to a command is lost. Row 20: it is malformed.


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
    if kind is Kind.ANSWERED_504_AFTER:
        pytest.skip("not a kind of uploads")
    made = sandboxes.create(REQUEST)
    content = bytes(range(256)) * 1000
    proxy.inject(Fault(kind, on="upload", times=2, seconds=0.01))
    made.upload("/workspace/f", content)
    assert made.download("/workspace/f", limit=len(content)) == content
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("kind", [Kind.TRUNCATED, Kind.DROPPED_AFTER, Kind.SERVER_503])
def test_a_file_is_asked_for_again_until_it_is_whole(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x" * 100_000)
    proxy.inject(Fault(kind, on="download", times=2))
    assert made.download("/workspace/f", limit=100_000) == b"x" * 100_000
    sandboxes.kill(made.sandbox_id)


# Row 21: the sandbox dies.


def once_counted(
    counted: Callable[[], int], act: Callable[[], None], pause: float = 0.005
) -> threading.Thread:
    """Act, beside the test, as soon as there is something to count."""
    before = counted()

    def watch() -> None:
        never = threading.Event()
        while counted() == before:
            never.wait(pause)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("operation", ["upload", "run", "download"])
def test_a_sandbox_that_dies_half_way_is_lost_and_not_asked_after_for_long(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, operation: str
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")

    def kill() -> None:
        kill_behind_our_back(server_url, made.sandbox_id)

    def call() -> None:
        if operation == "run":
            made.run("sleep 600", env={}, timeout_seconds=600)
        while operation == "upload":
            made.upload("/workspace/f", b"x" * 1000)
        while operation == "download":
            made.download("/workspace/f", limit=10)

    killer = once_counted(lambda: proxy.forwarded[operation], kill)
    with pytest.raises(SandboxLost) as caught:
        call()
    killer.join()
    assert not caught.value.still_there
    assert proxy.requests["get"] <= 1, "one question to the control plane, and that was it"
    sandboxes.kill(made.sandbox_id)


def test_a_sandbox_whose_time_is_over_is_lost(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    short = SandboxRequest(image="code-interpreter", network=False, ttl_seconds=1)
    made = sandboxes.create(short)
    with pytest.raises(SandboxLost) as caught:
        made.run("sleep 600", env={}, timeout_seconds=600)
    assert not caught.value.still_there
    with pytest.raises(SandboxLost):
        sandboxes.attach(made.sandbox_id)
    sandboxes.kill(made.sandbox_id)


def test_killing_ends_a_call_that_hangs(sandboxes: HopxSandboxes, proxy: HopxFaultProxy) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.BLACKHOLE, "run", seconds=100))
    asked = once_counted(lambda: proxy.requests["run"], lambda: sandboxes.kill(made.sandbox_id))
    with pytest.raises(SandboxLost):
        made.run("true", env={}, timeout_seconds=90)
    asked.join()
    assert proxy.requests["run"] == 1
    assert proxy.orphans() == set()


# Row 22, as far as it is the adapter's: killing.

KILLS = [
    Kind.SERVER_500,
    Kind.SERVER_502,
    Kind.SERVER_503,
    Kind.ANSWERED_504_AFTER,
    Kind.DROPPED_BEFORE,
    Kind.DROPPED_AFTER,
    Kind.TRUNCATED,
    Kind.HTML_200,
    Kind.JSON_NULL,
    Kind.BLACKHOLE,
    Kind.RATE_LIMITED_NESTED,
    Kind.RATE_LIMITED_FLAT,
    Kind.RATE_LIMITED_HEADER,
]


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_is_repeated_until_it_is_sure(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(Fault(kind, on="delete", times=2, seconds=0.01))
    sandboxes.kill(made.sandbox_id)
    assert live(server_url) == []


def test_a_kill_that_is_answered_with_nothing_is_a_kill(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, server_url: str
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.EMPTY_204, "delete"))
    sandboxes.kill(made.sandbox_id)
    assert proxy.requests["delete"] == 1
    assert live(server_url) == []


@pytest.mark.parametrize("kind", [Kind.SERVER_500, Kind.DROPPED_BEFORE, Kind.HTML_200])
def test_a_kill_that_never_comes_through_is_told(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(Fault(kind, when=lambda method, _: method == "DELETE", times=None))
    with pytest.raises(SandboxUnavailable) as caught:
        sandboxes.kill(made.sandbox_id)
    assert caught.value.sandbox_id == made.sandbox_id
    assert proxy.requests["delete"] == hopx_sandboxes.KILL.tries


# Tokens.


@pytest.mark.parametrize("operation", ["upload", "run", "download"])
def test_an_expired_token_is_refreshed_once_and_the_call_repeated(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, operation: str
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")
    proxy.inject(once(Kind.EXPIRED_TOKEN, operation))
    made.upload("/workspace/f", b"x")
    assert made.run("cat f", env={}, timeout_seconds=5).stdout == "x"
    assert made.download("/workspace/f", limit=1) == b"x"
    assert proxy.requests["refresh"] == 1
    sandboxes.kill(made.sandbox_id)


def test_a_token_that_is_refused_when_it_is_new_is_the_end(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(always(Kind.EXPIRED_TOKEN, "run"))
    with pytest.raises(SandboxLost, match="401"):
        made.run("true", env={}, timeout_seconds=5)
    assert (proxy.requests["run"], proxy.requests["refresh"]) == (2, 1)
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("kind", [Kind.SERVER_500, Kind.EMPTY_OBJECT, Kind.DROPPED_BEFORE])
def test_a_refresh_is_repeated_and_its_failing_is_the_end(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    proxy.inject(once(Kind.EXPIRED_TOKEN, "run"), Fault(kind, on="refresh", times=2))
    assert made.run("true", env={}, timeout_seconds=5).exit_code == 0
    proxy.inject(once(Kind.EXPIRED_TOKEN, "run"), always(kind, "refresh"))
    with pytest.raises(SandboxLost, match="token"):
        made.run("true", env={}, timeout_seconds=5)
    sandboxes.kill(made.sandbox_id)


@pytest.mark.parametrize("operation", ["get", "refresh"])
@pytest.mark.parametrize(
    "kind", [Kind.SERVER_502, Kind.EMPTY_OBJECT, Kind.JSON_NULL, Kind.TRUNCATED, Kind.BLACKHOLE]
)
def test_going_on_with_a_sandbox_bears_a_control_plane_that_stumbles(
    sandboxes: HopxSandboxes, proxy: HopxFaultProxy, operation: str, kind: Kind
) -> None:
    made = sandboxes.create(REQUEST)
    made.upload("/workspace/f", b"x")
    proxy.inject(Fault(kind, on=operation, times=2))
    assert sandboxes.attach(made.sandbox_id).download("/workspace/f", limit=1) == b"x"
    proxy.inject(always(kind, operation))
    with pytest.raises(SandboxUnavailable):
        sandboxes.attach(made.sandbox_id)
    sandboxes.kill(made.sandbox_id)


def test_an_agent_never_sees_the_key(sandboxes: HopxSandboxes, proxy: HopxFaultProxy) -> None:
    made = sandboxes.create(REQUEST)
    count_once(made)
    made.download("/workspace/runs", limit=100)
    assert proxy.forwarded["run"] == 1
    assert proxy.keys_at_agents == []
    sandboxes.kill(made.sandbox_id)


# All of it at once.


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

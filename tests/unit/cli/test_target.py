"""Where `--local` runs: in the stack that is there, the most recent one, or its own."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.fake_api import RUN_ID, FakeApi, a_test, report_of


@dataclass
class Endpoints:
    api_url: str
    started_at: str = "2026-11-23T12:00:00+00:00"
    isolation: str = "no-cgroup"


@dataclass
class Machine:
    """What plays glovebox_local."""

    running: list[Endpoints] = field(default_factory=list)
    made: list[dict[str, object]] = field(default_factory=list)
    stopped: int = 0


@pytest.fixture
def machine(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()

    class LocalStack:
        def __init__(self, **settings: object) -> None:
            machine.made.append(settings)

        def start(self) -> Endpoints:
            return Endpoints(api.url)

        def stop(self) -> None:
            machine.stopped += 1

    names = ("glovebox_local", "glovebox_local.stack", "glovebox_local.endpoints")
    package, stack, endpoints = (types.ModuleType(name) for name in names)
    stack.LocalStack = LocalStack  # type: ignore[attr-defined]
    endpoints.find_running_stacks = lambda: machine.running  # type: ignore[attr-defined]
    package.stack, package.endpoints = stack, endpoints  # type: ignore[attr-defined]
    for module in (package, stack, endpoints):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    api.finish(report_of(a_test("t")))
    return machine


def test_secrets_come_from_the_environment_of_what_starts_the_stack(
    machine: Machine, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "glovebox.yml").open("a") as manifest:
        manifest.write("\nsecrets: [DB_URL, KEY]\n")
    monkeypatch.setenv("GLOVEBOX_SECRET_DB_URL", "postgres://bait")
    monkeypatch.setenv("GLOVEBOX_SECRET_KEY", "")
    ended = cli("run", "--local")
    assert ended.code == 2
    assert "not set: KEY" in ended.err
    assert "GLOVEBOX_SECRET_KEY" in ended.err
    assert not machine.made
    monkeypatch.setenv("GLOVEBOX_SECRET_KEY", "bait too")
    ended = cli("run", "--local")
    assert ended.code == 0, ended.err
    [settings] = machine.made
    assert settings["secrets_of_tests"] == {"DB_URL": "postgres://bait", "KEY": "bait too"}
    assert "bait" not in ended.text + ended.err


def test_none_is_running(machine: Machine, project: Path, cli: Cli) -> None:
    ended = cli("run", "--local")
    assert ended.code == 0
    assert "Starting an embedded stack" in ended.err
    assert "isolation: no-cgroup" in ended.err
    assert (len(machine.made), machine.stopped) == (1, 1)


def test_one_is_running(machine: Machine, api: FakeApi, project: Path, cli: Cli) -> None:
    machine.running = [Endpoints(api.url)]
    ended = cli("run", "--local")
    assert ended.code == 0
    assert f"Using your running embedded stack, {api.url}" in ended.err
    assert machine.made == []
    assert f"glovebox report {RUN_ID} --local" in ended.text


def test_several_are_running(machine: Machine, api: FakeApi, project: Path, cli: Cli) -> None:
    machine.running = [
        Endpoints("http://127.0.0.1:1", "2026-11-23T11:00:00+00:00"),
        Endpoints(api.url, "2026-11-23T13:00:00+00:00"),
        Endpoints("http://127.0.0.1:2", "2026-11-23T12:00:00+00:00"),
    ]
    ended = cli("run", "--local")
    assert ended.code == 0
    assert f"using the most recent, {api.url}" in ended.err
    assert "--api URL chooses another: http://127.0.0.1:2, http://127.0.0.1:1" in ended.err
    assert f"glovebox report {RUN_ID} --api {api.url}" in ended.text


def test_fresh_starts_its_own(machine: Machine, api: FakeApi, project: Path, cli: Cli) -> None:
    machine.running = [Endpoints("http://127.0.0.1:1")]
    ended = cli("run", "--local", "--fresh")
    assert (ended.code, len(machine.made), machine.stopped) == (0, 1, 1)


def test_local_outweighs_the_environment(
    machine: Machine, project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOVEBOX_API_URL", "http://127.0.0.1:1")
    assert cli("run", "--local").code == 0


@pytest.mark.parametrize("args", [["status", "x"], ["list"], ["report", "x"], ["logs", "x"]])
def test_other_commands_never_start_a_stack(
    machine: Machine, project: Path, cli: Cli, args: list[str]
) -> None:
    ended = cli(*args, "--local")
    assert ended.code == 3
    assert "no embedded stack of yours is running" in ended.err
    assert machine.made == []
    assert cli(*args).code == 2, "and without --local or --api it is not said where"


def test_a_detached_run_needs_a_stack_that_stays(machine: Machine, project: Path, cli: Cli) -> None:
    ended = cli("run", "--local", "--detach")
    assert ended.code == 3
    assert "glovebox local up" in ended.err


def test_an_installation_without_local_mode(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this process may have loaded parts of it already.
    loaded = [name for name in sys.modules if name.startswith("glovebox_local.")]
    for name in ["glovebox_local", *loaded]:
        monkeypatch.setitem(sys.modules, name, None)
    ended = cli("run", "--local")
    assert ended.code == 3
    assert "cannot be loaded" in ended.err

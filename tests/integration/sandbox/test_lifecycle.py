"""What is left when sandboxes, the service, or its parent end: nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerError, SandboxServerProcess

from tests.integration.sandbox.client import API_KEY, SMALL, Client, eventually
from tests.integration.sandbox.traces import family, groups_of


def test_a_stopped_service_leaves_nothing_and_says_so() -> None:
    service = SandboxServerProcess(API_KEY, options=SMALL)
    service.start()
    client = Client(service.url)
    client.create().command("setsid sleep 56 >/dev/null 2>&1 &")
    client.create()
    members = family(service.pid)
    assert len(members) >= 2 + 2 * 3
    assert service.stop() == 0
    assert not any(member.is_running() for member in members)
    assert groups_of(service.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_cleanly(number: signal.Signals) -> None:
    service = SandboxServerProcess(API_KEY, options=SMALL)
    service.start()
    assert service._process is not None
    os.kill(service.pid, number)
    assert service._process.wait(10) == 0


@pytest.mark.parametrize("moves", [(), ("pause",), ("stop",)])
def test_a_service_killed_outright_takes_everything_with_it(moves: tuple[str, ...]) -> None:
    service = SandboxServerProcess(API_KEY, options=SMALL)
    service.start()
    client = Client(service.url)
    box = client.create()
    box.command("setsid sleep 57 >/dev/null 2>&1 &")
    for move in moves:
        client.ask("POST", f"/v1/sandboxes/{box.id}/{move}")
    members = family(service.pid)
    os.kill(service.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(members[1:], timeout=10)
    assert alive == []
    service.stop()
    assert eventually(lambda: groups_of(service.pid) == [])
    assert "/opt/python" not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.needs_root
@pytest.mark.parametrize("frozen", [False, True])
def test_what_even_the_spawner_could_not_remove_is_swept_at_the_next_start(frozen: bool) -> None:
    service = SandboxServerProcess(API_KEY, options=SMALL)
    service.start()
    client = Client(service.url)
    box = client.create()
    box.command("setsid sleep 58 >/dev/null 2>&1 &")
    if frozen:
        client.ask("POST", f"/v1/sandboxes/{box.id}/pause")
    members = family(service.pid)
    for pid in (service.spawner_pid, service.pid):
        os.kill(pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(members[1:], timeout=1 if frozen else 10)
    # Nobody but the next service can wake the frozen, for their death or for anything else.
    assert bool(alive) == frozen
    service.stop()
    assert groups_of(service.pid) != []
    with SandboxServerProcess(API_KEY, options=SMALL) as next_one:
        assert psutil.wait_procs(alive, timeout=5)[1] == []
        assert groups_of(service.pid) == []
        assert next_one.isolation == "full"


@pytest.mark.parametrize("paused", [False, True])
def test_a_lost_spawner_ends_the_service_with_a_failure(paused: bool) -> None:
    service = SandboxServerProcess(API_KEY, options=SMALL, log=Path(os.devnull))
    service.start()
    if paused:
        client = Client(service.url)
        box = client.create()
        box.command("setsid sleep 59 >/dev/null 2>&1 &")
        assert client.ask("POST", f"/v1/sandboxes/{box.id}/pause").status == 200
    members = family(service.pid)
    os.kill(service.spawner_pid, signal.SIGKILL)
    assert service._process is not None
    assert service._process.wait(20) == 1
    assert psutil.wait_procs(members[1:], timeout=5)[1] == []
    service.stop()


@pytest.mark.parametrize("used", [False, True])
def test_the_service_ends_with_its_parent(used: bool) -> None:
    program = (
        "import sys, time\n"
        "from glovebox_local.sandbox.server import SandboxServerProcess\n"
        f"service = SandboxServerProcess({API_KEY!r})\n"
        "service.start()\n"
        "print(service.pid, service.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    if used:
        # For a file of the sandbox's the service takes on another identity, and with every change
        # of identity the kernel forgets whose end it was to be told of.
        assert Client(url).create().write("/workspace/file", "content").status == 200
    members = family(int(pid))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(members, timeout=10)
    assert alive == []


def test_a_keeper_killed_from_outside_ends_its_sandbox_alone(
    server: SandboxServerProcess, client: Client
) -> None:
    box, other = client.create(), client.create()
    body = {"command": "sleep", "args": ["57.25"]}
    assert box.ask("POST", "/commands/background", body).status == 200
    sleeper = next(p for p in family(server.pid) if p.cmdline() == ["sleep", "57.25"])
    keeper = sleeper.parent()
    assert keeper is not None
    assert keeper.parent() == psutil.Process(server.spawner_pid)
    keeper.kill()
    assert eventually(lambda: sum(alive(client, b.id) for b in (box, other)) == 1)
    assert psutil.wait_procs([sleeper], timeout=5)[1] == []
    left = box if alive(client, box.id) else other
    assert left.shell("echo alive") == "alive"
    left.kill()


def alive(client: Client, sandbox_id: str) -> bool:
    return client.ask("GET", f"/v1/sandboxes/{sandbox_id}").status == 200


def test_the_key_is_in_no_command_line(server: SandboxServerProcess) -> None:
    assert not any(API_KEY in word for member in family(server.pid) for word in member.cmdline())


def test_without_a_key_the_service_does_not_start() -> None:
    command = [sys.executable, "-m", "glovebox_local.sandbox"]
    ended = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
    assert ended.returncode == 2
    assert "GLOVEBOX_SANDBOX_API_KEY" in ended.stderr


def test_a_runtime_site_is_what_sandboxes_import(tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("ANSWER = 42")
    tmp_path.chmod(0o755)
    with SandboxServerProcess(API_KEY, runtime_site=tmp_path, options=SMALL) as service:
        box = Client(service.url).create()
        assert box.python("import only_here; print(only_here.ANSWER)") == "42"
        assert "No module named" in box.python("import pytest")
        assert box.command("python -m pip --version && pip --version").body["exit_code"] == 0
        where = box.python("import only_here; print(only_here.__file__)").rpartition("/")[0]
        assert "Read-only" in box.shell(f"touch {where}/planted")


def test_a_runtime_site_that_is_not_there_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = SandboxServerProcess(API_KEY, runtime_site=tmp_path / "none", log=log)
    with pytest.raises(SandboxServerError):
        service.start()
    assert "is not a directory" in log.read_text()


@pytest.mark.needs_root
def test_an_ordinary_user_gets_a_lower_level_and_is_told_what_it_lacks() -> None:
    program = (
        "import os\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "from glovebox_local.sandbox.isolation import reach\n"
        "from glovebox_local.sandbox.runtime import enter_private_mounts\n"
        "from glovebox_local.sandbox.settings import SandboxSettings\n"
        "import json\n"
        "level = reach(SandboxSettings(api_key='k'), root=enter_private_mounts())\n"
        "print(json.dumps([level.level, level.not_enforced]))\n"
    )
    # This interpreter may be in root's private home: only modules loaded before count.
    preload = "import glovebox_local.sandbox.isolation, glovebox_local.sandbox.runtime, json\n"
    command = [sys.executable, "-c", preload + program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    level, lacking = json.loads(printed)
    assert level == "no-cgroup"
    assert len(lacking) == 3

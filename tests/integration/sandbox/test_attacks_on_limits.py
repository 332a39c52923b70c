"""Hostile code that wants more than its share: memory, processes, disk, time, the reader."""

from __future__ import annotations

import time

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import Box, Client, eventually

MIB = 1024 * 1024


def test_a_fork_bomb_stops_at_the_process_limit(box: Box) -> None:
    code = """
        import os, signal
        children = []
        try:
            for _ in range(400):
                pid = os.fork()
                if not pid:
                    signal.pause()
                children.append(pid)
        except OSError as error:
            print(error.errno)
        print(len(children) < 64)
        for pid in children:
            os.kill(pid, 9)
    """
    assert box.python(code) == "11\nTrue"
    assert box.shell("echo alive") == "alive"


def test_threads_count_as_processes(box: Box) -> None:
    code = """
        import threading, time
        started = 0
        try:
            for _ in range(600):
                threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
                started += 1
        except RuntimeError:
            print(started < 64)
    """
    assert box.python(code) == "True"


@pytest.mark.needs_root
def test_a_neighbour_at_its_limit_takes_nothing_from_others(client: Client, box: Box) -> None:
    neighbour = client.create()
    code = """
        import os, signal
        try:
            while os.fork():
                pass
            signal.pause()
        except OSError as error:
            print(error.errno)
    """
    assert neighbour.python(code) == "11"
    assert box.python("import subprocess; print(subprocess.call(['true']))") == "0"
    neighbour.kill()


@pytest.mark.needs_root
def test_a_process_over_the_memory_limit_is_killed_and_the_answer_says_why(box: Box) -> None:
    answer = box.command("python -c 'x = bytearray(1 << 30); print(len(x))'").body
    assert (answer["exit_code"], answer["oom_killed"]) == (137, True)
    assert box.shell("echo alive") == "alive"


def test_a_kill_is_not_taken_for_want_of_memory(box: Box) -> None:
    answer = box.command("kill -9 $$").body
    assert (answer["exit_code"], answer["oom_killed"]) == (137, False)


def test_a_crash_is_told_as_shells_tell_it(box: Box) -> None:
    assert box.command("kill -SEGV $$").body["exit_code"] == 139


@pytest.mark.parametrize(("folder", "mebibytes"), [("/tmp", 32), ("/workspace", 64)])
def test_a_folder_cannot_be_filled_past_its_size(box: Box, folder: str, mebibytes: int) -> None:
    code = f"""
        written = 0
        try:
            for number in range(200):
                with open(f"{folder}/{{number}}", "wb", buffering=0) as file:
                    written += file.write(b"x" * {MIB})
        except OSError as error:
            print(error.errno)
        print({mebibytes - 2} <= written // {MIB} <= {mebibytes})
    """
    assert box.python(code) == "28\nTrue"


def test_shared_memory_has_a_size_of_its_own(box: Box) -> None:
    code = f"""
        written = 0
        try:
            with open("/dev/shm/x", "wb", buffering=0) as file:
                while True:
                    written += file.write(b"x" * {MIB})
        except OSError as error:
            print(error.errno in (27, 28))
        print(written // {MIB} <= 64)
    """
    assert box.python(code) == "True\nTrue"
    assert box.shell("df -m --output=size /dev/shm | tail -1").strip() == "64"


def test_a_sparse_file_cannot_pretend_to_be_huge(box: Box) -> None:
    assert "File too large" in box.python("open('/workspace/x', 'wb').truncate(10 << 40)")


def test_descriptors_run_out_before_the_host_does(box: Box) -> None:
    code = """
        import os
        opened = 0
        try:
            while True:
                os.open("/dev/null", 0)
                opened += 1
        except OSError as error:
            print(error.errno, opened < 1024)
    """
    assert box.python(code) == "24 True"


def test_no_core_is_dumped(box: Box) -> None:
    assert box.shell("ulimit -c; kill -ABRT $$ & wait; ls /workspace") == "0"


@pytest.mark.needs_root
def test_four_spinning_processes_get_two_processors_at_most(client: Client) -> None:
    box = client.create()
    code = """
        import multiprocessing, os, time
        def spin():
            end = time.time() + 1
            while time.time() < end:
                pass
        all = [multiprocessing.Process(target=spin) for _ in range(4)]
        [p.start() for p in all]
        [p.join() for p in all]
        print(os.times().children_user + os.times().children_system < 2.4)
    """
    assert box.python(code) == "True"
    box.kill()


def test_a_flood_of_output_is_kept_at_both_ends_and_stops_nobody(box: Box) -> None:
    flood = "echo first; head -c 300000000 /dev/zero | tr '\\0' x; echo; echo last"
    answer = box.command(flood).body
    assert answer["exit_code"] == 0
    assert len(answer["stdout"]) < MIB + 100
    assert answer["stdout"].startswith("first\n")
    assert answer["stdout"].endswith("\nlast\n")
    assert answer["stdout_dropped_bytes"] == 300_000_012 - MIB


def test_output_that_is_not_text_is_shown_as_well_as_can_be(box: Box) -> None:
    assert box.command("printf 'a\\xff\\xfeb'").body["stdout"] == "a\ufffd\ufffdb"


def test_a_daemon_that_holds_the_output_open_keeps_nobody_waiting(box: Box) -> None:
    began = time.monotonic()
    answer = box.command("sleep 50 & echo done").body
    assert (answer["stdout"], answer["exit_code"]) == ("done\n", 0)
    assert time.monotonic() - began < 5
    # It goes on, and may write on, after its command has ended.
    assert box.shell("pgrep -c sleep") == "1"


def test_a_command_that_stops_itself_ends_at_its_timeout(box: Box) -> None:
    answer = box.command("kill -STOP $$", timeout=0.3)
    assert (answer.status, answer.body["code"]) == (408, "EXECUTION_TIMEOUT")


def test_a_timeout_kills_the_whole_process_group_and_keeps_what_was_said(box: Box) -> None:
    answer = box.command("trap '' TERM; echo said; sleep 51 & sleep 52", timeout=0.3)
    assert (answer.status, answer.body["details"]["stdout"]) == (408, "said\n")
    assert box.shell("pgrep -c sleep || true") == "0"


def test_a_daemon_that_left_its_session_survives_no_stop(box: Box) -> None:
    hide = "(trap '' TERM HUP INT; setsid sh -c 'sleep 86398.5; sleep 1' >/dev/null 2>&1 & ) &"
    assert box.command(f"{hide} sleep 60", timeout=0.3).status == 408
    assert eventually(lambda: running_on_the_host("86398.5") == 1)
    # A command's timeout ends its own group; what left it is the sandbox's, and ends with that.
    for word in ("stop", "start"):
        assert box.client.ask("POST", f"/v1/sandboxes/{box.id}/{word}").status == 200
    assert box.shell("pgrep -c sleep || true") == "0"
    assert running_on_the_host("86398.5") == 0


def test_a_stopped_daemon_dies_with_the_sandbox(client: Client) -> None:
    box = client.create()
    box.command("setsid sleep 86397.5 >/dev/null 2>&1 &")
    assert eventually(lambda: running_on_the_host("86397.5") == 1)
    assert box.command("pkill -STOP sleep").body["exit_code"] == 0
    box.kill()
    assert running_on_the_host("86397.5") == 0


@pytest.mark.needs_root
def test_countless_files_meet_the_memory_limit_and_nobody_else(box: Box, client: Client) -> None:
    code = """
for number in range(400_000):
    open(f"/tmp/{number}", "w").close()
"""
    answer = box.ask("POST", "/commands/run", {"command": "python", "args": ["-c", code]})
    assert (answer.status, answer.body["reason"]) == (200, "oom")
    other = client.create()
    assert other.shell("echo fine > /tmp/x; cat /tmp/x") == "fine"
    other.kill()


def test_a_daemon_that_left_its_session_dies_with_the_sandbox(client: Client) -> None:
    box = client.create()
    marker = "86399.125"
    hide = f"(trap '' TERM HUP INT; setsid sleep {marker} >/dev/null 2>&1 & ) &"
    box.command(hide)
    assert eventually(lambda: running_on_the_host(marker) == 1)
    box.kill()
    assert running_on_the_host(marker) == 0


def running_on_the_host(argument: str) -> int:
    lines = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
    return sum(line == ["sleep", argument] for line in lines)


def test_killing_everything_kills_only_ones_own(box: Box, client: Client) -> None:
    other = client.create()
    box.command("kill -9 -1")
    assert box.shell("echo alive") == "alive"
    assert other.shell("echo alive") == "alive"
    other.kill()


def test_the_first_process_cannot_be_killed_from_inside(box: Box) -> None:
    assert box.shell("kill -9 1; kill -TERM 1; kill -STOP 1; echo alive") == "alive"


def test_orphans_are_reaped(box: Box) -> None:
    box.command("for i in $(seq 200); do (true &) ; done")
    assert box.shell("ps -eo stat | grep -c Z || true") == "0"


@pytest.mark.needs_root
def test_a_sandbox_that_dies_of_want_of_memory_is_gone_and_not_stuck(client: Client) -> None:
    box = client.create()
    # The file system's memory is the sandbox's too, and no process can be killed to free it.
    box.command("head -c 60000000 /dev/zero > /workspace/a; head -c 30000000 /dev/zero > /tmp/b")
    answer = box.command("python -c 'x = [bytearray(1 << 20) for _ in range(1000)]'", timeout=20)
    assert answer.status in (200, 410)
    assert box.kill().status in (200, 404)


def test_one_service_survives_it_all(server: SandboxServerProcess, client: Client) -> None:
    assert psutil.pid_exists(server.pid)
    assert client.ask("GET", "/health").body["status"] == "healthy"

"""What a test's process leaves behind is collected in bounded time and space, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from glovebox.adapters.hopx_sandboxes import HopxSandboxes
from glovebox.adapters.system import SystemClock
from glovebox.domain.errors import SandboxLost
from glovebox.domain.evidence import Evidence
from glovebox.frameworks.contract import Command
from glovebox.ports import SandboxRequest
from glovebox.usecases.process import LOG_LIMIT_BYTES, Process, run_process
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import API_KEY

NONCE = "5" * 32
RESULTS = {"junit.xml": "out.xml"}
Run = Callable[..., Evidence]


@pytest.fixture
def run(server: SandboxServerProcess) -> Run:
    """Run a program in a fresh sandbox, as a test is run."""
    sandboxes = HopxSandboxes(server.url, API_KEY)

    def run_in_fresh(
        code: str, *, seconds: float = 20, results: Mapping[str, str] | None = None
    ) -> Evidence:
        sandbox = sandboxes.create(SandboxRequest("code-interpreter", False, 120))
        try:
            argv = ("python3", "-c", "import os, sys, time\n" + code)
            command = Command(argv, results=results or {}, results_are_ascii=False)
            process = Process("attempt", command, NONCE, seconds, {"HOME": "/workspace/home"})
            return run_process(sandbox, process, SystemClock())
        finally:
            sandboxes.kill(sandbox.sandbox_id)

    return run_in_fresh


def test_a_flood_that_fills_the_disk_is_kept_at_both_ends_and_answered_for(run: Run) -> None:
    got = run("for n in range(300): sys.stdout.write('x' * 1_000_000)")
    assert (got.nonce, got.exit_code) == (NONCE, 120)  # Python could not write all of it
    assert got.log_truncated
    assert 60_000_000 < got.log_bytes < 70_000_000
    assert got.log.startswith(b"xxx")
    assert got.log.endswith(b"xxx")
    assert len(got.log) < LOG_LIMIT_BYTES + 100


def test_a_line_of_50_megabytes_is_cut_in_its_midst(run: Run) -> None:
    got = run("sys.stdout.write('a' + 'y' * 50_000_000 + 'z')")
    assert (got.nonce, got.exit_code, got.log_bytes) == (NONCE, 0, 50_000_002)
    assert got.log.startswith(b"ay")
    assert got.log.endswith(b"yz")
    assert b"49737858 bytes left out" in got.log
    assert len(got.log) < LOG_LIMIT_BYTES + 100


def test_output_of_any_bytes_arrives_as_it_is(run: Run) -> None:
    got = run("sys.stdout.buffer.write(b'\\xff\\xfe\\x00\\x1b]0;x\\x07\\n' * 100)")
    assert (got.nonce, got.exit_code) == (NONCE, 0)
    assert got.log == b"\xff\xfe\x00\x1b]0;x\x07\n" * 100


def test_a_disk_full_of_files_leaves_room_for_the_answer(run: Run) -> None:
    got = run("for n in range(70): open(f'fill{n}', 'wb').write(bytes(10**6))")
    assert (got.nonce, got.exit_code) == (NONCE, 120)


OWN_FILES = ("log", "answer", "bodies", "done", "packed", "log.cut")
REPLACED = {
    "a FIFO": "os.mkfifo(path)",
    "a folder": "os.mkdir(path); open(path + '/x', 'w')",
    "a link to a device": "os.symlink('/dev/zero', path)",
    "a link to itself": "os.symlink(path, path)",
}


@pytest.mark.parametrize("how", REPLACED)
def test_own_files_that_were_replaced_are_neither_waited_for_nor_written_into(
    run: Run, how: str
) -> None:
    got = run(
        f"""
print("gone with the log")
sys.stdout.flush()
for name in {OWN_FILES!r}:
    path = "/workspace/.glovebox/attempt/" + name
    if os.path.exists(path): os.remove(path)
    {REPLACED[how]}
"""
    )
    assert (got.nonce, got.exit_code, got.log) == (NONCE, 0, b"")


def test_a_log_that_was_removed_is_an_empty_one(run: Run) -> None:
    got = run("os.remove('/workspace/.glovebox/attempt/log')")
    assert (got.nonce, got.exit_code, got.log) == (NONCE, 0, b"")


@pytest.mark.parametrize(
    "code",
    [
        "import shutil; shutil.rmtree('/workspace/.glovebox')",
        # The supervisor, the parent of `timeout`: what it leaves is told at once.
        "stat = open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2]\n"
        "os.kill(int(stat.split()[1]), 9)",
    ],
)
def test_a_process_that_leaves_nobody_to_answer_is_lost_at_once(run: Run, code: str) -> None:
    with pytest.raises(SandboxLost, match="its own folder or its supervisor away"):
        run(code)


@pytest.mark.parametrize(
    "code",
    [
        "os.mkfifo('out.xml')",
        "os.mkdir('out.xml')",
        "os.symlink('/dev/zero', 'out.xml')",
        "os.symlink('out.xml', 'out.xml')",
        "os.truncate(os.open('out.xml', os.O_CREAT | os.O_RDWR), 60_000_000)",
        "os.mkdir('d'); os.symlink('d', 'out.xml')",
    ],
)
def test_a_result_that_is_no_file_of_a_decent_size_is_not_collected(run: Run, code: str) -> None:
    got = run(code, results=RESULTS)
    assert (got.nonce, got.exit_code, dict(got.files)) == (NONCE, 0, {})


def test_a_link_in_the_place_of_a_result_leads_no_further_than_the_sandbox(run: Run) -> None:
    got = run("os.symlink('/etc/passwd', 'out.xml')", results=RESULTS)
    assert got.exit_code == 0
    # Its own passwd, of two users.
    assert [line.split(b":")[0] for line in got.files["junit.xml"].splitlines()] == [
        b"root",
        b"sandbox",
    ]


@pytest.mark.parametrize("script", ["while :; do echo more; done", "sleep 300"])
def test_a_process_that_survives_the_test_holds_nothing_up(run: Run, script: str) -> None:
    got = run(
        "import subprocess\n"
        f"subprocess.Popen(['sh', '-c', {script!r}], start_new_session=True)\n"
        "print('over', flush=True)"
    )
    assert (got.nonce, got.exit_code) == (NONCE, 0)
    assert b"over" in got.log

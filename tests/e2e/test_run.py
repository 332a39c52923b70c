"""What a user does: `glovebox run`, against the embedded stack."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.conftest import GLOVEBOX, Project, Stack, ended, environment
from tests.e2e.live_sandboxes import live_sandboxes, wait_for_sandboxes

PASSING = "def test_x(): pass\n"
FAILING = "def test_x(): assert 0, 'on purpose'\n"


def test_a_passing_suite_exits_0(stack: Stack, project: Project) -> None:
    ended = stack.run(project.write({"test_a.py": PASSING}))
    assert ended.code == 0, ended.err
    assert ended.report["conclusion"] == "passed"
    assert ended.report["summary"]["total"] == 1


def test_a_project_runs_by_the_manifest_that_init_writes(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PASSING)
    written = ended([str(GLOVEBOX), "init", str(tmp_path)])
    assert written.code == 0, written.err
    ran = stack.run(tmp_path)
    assert ran.code == 0, ran.err
    assert ran.report["tests"][0]["test_id"] == "test_a.py::test_x"


def test_a_failing_suite_exits_1_and_shows_why(stack: Stack, project: Project) -> None:
    folder = project.write({"test_a.py": FAILING})
    ended = stack.glovebox("run", folder)
    assert ended.code == 1
    assert "on purpose" in ended.out + ended.err


def test_a_broken_manifest_exits_2_with_its_place(stack: Stack, project: Project) -> None:
    folder = project.write({"test_a.py": PASSING})
    (folder / "glovebox.json").unlink()
    (folder / "glovebox.yml").write_text(
        "version: 1\nname: x\nsource: {path: .}\nsuites:\n  - name: a\n    framwork: pytest\n"
    )
    ended = stack.glovebox("run", folder)
    assert ended.code == 2
    assert "glovebox.yml:6" in ended.err
    assert "framework" in ended.err


def test_nothing_collected_exits_4(stack: Stack, project: Project) -> None:
    ended = stack.run(project.write({"test_a.py": "x = 1\n"}))
    assert ended.code == 4, ended.err


def test_the_runs_own_time_limit_exits_5(stack: Stack, project: Project) -> None:
    code = "import time\n" + "".join(f"def test_{i}(): time.sleep(30)\n" for i in range(5))
    folder = project.write({"test_a.py": code}, timeout="4s", suite={"timeout": "4s"})
    ended = stack.run(folder)
    assert ended.code == 5, ended.err
    assert ended.report["conclusion"] == "timed_out"


def test_ctrl_c_exits_130_and_leaves_nothing(stack: Stack, project: Project) -> None:
    code = "import time\n" + "".join(f"def test_{i}(): time.sleep(40)\n" for i in range(6))
    folder = project.write({"test_a.py": code})
    before = live_sandboxes(stack)
    process = subprocess.Popen(
        stack.command("run", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    wait_for_sandboxes(stack, at_least=before + 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    wait_for_sandboxes(stack, at_most=before)


def test_ctrl_c_during_the_set_up_ends_that_too(stack: Stack, project: Project) -> None:
    folder = project.write({"test_a.py": PASSING}, image={"setup": ["sleep 100"]})
    before = live_sandboxes(stack)
    process = subprocess.Popen(
        stack.command("run", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    wait_for_sandboxes(stack, at_least=before + 1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert time.monotonic() - began < 60, "the set-up went on to its own end"


def test_a_process_that_exits_before_its_result_is_not_passed(
    stack: Stack, project: Project
) -> None:
    ended = stack.run(project.write({"test_a.py": "import os\ndef test_x(): os._exit(0)\n"}))
    assert ended.code == 3, ended.err
    assert ended.report["summary"]["passed"] == 0


def test_a_flaky_test_passes_and_says_so(stack: Stack, project: Project) -> None:
    code = "import os\ndef test_x(): assert os.environ['GLOVEBOX_ATTEMPT'] == '2'\n"
    ended = stack.run(project.write({"test_a.py": code}, suite={"retries": 2}))
    assert ended.code == 0, ended.err
    assert ended.report["summary"]["flaky"] == 1
    outcomes = [attempt["outcome"] for attempt in ended.report["tests"][0]["attempts"]]
    assert outcomes == ["failed", "passed"]


def test_odd_ids_run_by_exactly_their_id(stack: Stack, project: Project) -> None:
    odd = ["a b", "it's", 'say "x"', "[e]", "c/d", "é", "日本", "$(id)", "; ls", "-rf", "a::b", "#"]
    code = f"import pytest\n@pytest.mark.parametrize('x', {odd!r}, ids=str)\ndef test_x(x): pass\n"
    ini = "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n"
    ended = stack.run(project.write({"dir with space/test_é.py": code, "pytest.ini": ini}))
    assert ended.code == 0, ended.err
    got = {test["test_id"] for test in ended.report["tests"]}
    assert got == {f"dir with space/test_é.py::test_x[{x}]" for x in odd}


def test_reports_are_written_where_asked(stack: Stack, project: Project, tmp_path: Path) -> None:
    folder = project.write({"test_a.py": FAILING})
    stack.run(folder, "--report", str(tmp_path / "out"))
    assert {"report.json", "junit.xml"} <= {path.name for path in (tmp_path / "out").iterdir()}
    root = ElementTree.parse(tmp_path / "out/junit.xml").getroot()
    assert root.get("failures") == "1"


def test_a_secret_that_the_stack_was_not_given_is_named(stack: Stack, project: Project) -> None:
    ended = stack.glovebox("run", project.write({"test_a.py": PASSING}, secrets=["NOT_GIVEN"]))
    assert ended.code == 3, ended.err
    assert "GLOVEBOX_SECRET_NOT_GIVEN" in ended.out + ended.err
    assert "0 sandboxes" in ended.out + ended.err


def test_a_tests_process_sees_its_own_environment_and_nothing_of_ours(
    stack: Stack, project: Project
) -> None:
    code = """
import os
def test_environment():
    assert os.environ.pop("CI") == "true"
    assert os.environ.pop("GLOVEBOX") == "1"
    assert os.environ.pop("GLOVEBOX_ATTEMPT") == "1"
    assert os.environ.pop("GLOVEBOX_RUN_ID")
    assert os.environ.pop("MINE") == "suite's"
    assert os.environ.pop("ALSO") == "yes; $(echo no)"
    assert os.path.isdir(os.environ.pop("HOME")) and os.path.isdir(os.environ.pop("TMPDIR"))
    known = {"PATH", "LANG", "USER", "LOGNAME", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    assert set(os.environ) - known <= {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "SHELL"}
"""
    folder = project.write(
        {"test_a.py": code},
        env={"MINE": "manifest's", "ALSO": "yes; $(echo no)"},
        suite={"env": {"MINE": "suite's"}},
    )
    ended = stack.run(folder)
    assert ended.code == 0, ended.out


def test_the_network_is_off_unless_asked_for(stack: Stack, project: Project) -> None:
    code = """
def test_only_loopback():
    lines = open("/proc/net/dev").read().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]
"""
    folder = project.write({"test_a.py": code})
    assert stack.run(folder).code == 0
    project.folder = folder
    with_network = project.write({"test_a.py": code}, network=True)
    assert stack.run(with_network).code == 1


def test_tests_find_and_change_nothing_of_each_other_or_of_the_host(
    stack: Stack, project: Project, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hk_live_BAIT")
    secret.chmod(0o600)
    one = """
import os, pathlib, socket, subprocess, sys, glob
SECRET = %r
def test_%d():
    for place in ("/tmp", "/dev/shm", os.environ["HOME"], "."):
        trace = pathlib.Path(place, "trace")
        assert not trace.exists()
        trace.write_text("x")
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    running = [open(p).read() for p in glob.glob("/proc/[0-9]*/cmdline")]
    assert sum("sleep\\x00300" in line for line in running) == 1
    with socket.create_server(("127.0.0.1", 4321)): pass
    for path in (SECRET, "/etc/shadow", "/root"):
        try: found = os.listdir(path) if os.path.isdir(path) else open(path).read()
        except OSError: found = ""
        assert "BAIT" not in str(found) and "root:" not in str(found)
    for path in glob.glob("/proc/[0-9]*/environ"):
        try: content = open(path).read()
        except OSError: content = ""
        assert "BAIT" not in content and "AWS_" not in content and "HOPX" not in content
    for path in ("/usr/trace", "/etc/trace", "/proc/sys/kernel/core_pattern"):
        try:
            with open(path, "w"): pass
        except OSError: continue
        raise AssertionError(path)
"""
    files = {f"test_{n}.py": one % (str(secret), n) for n in range(4)}
    ended = stack.run(project.write(files))
    assert ended.code == 0, ended.out[-3000:]
    assert len({t["attempts"][0]["sandbox_id"] for t in ended.report["tests"]}) == 4

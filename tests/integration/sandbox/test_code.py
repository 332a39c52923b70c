"""``/execute``: code that is waited for, and the Python session that stays."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import Answer, Box, Client, eventually


def execute(box: Box, code: str, **given: Any) -> Answer:
    return box.ask("POST", "/execute", {"code": textwrap.dedent(code), **given})


def run(box: Box, code: str, **given: Any) -> dict[str, Any]:
    answer = execute(box, code, **given)
    assert answer.status == 200, answer.raw
    body: dict[str, Any] = answer.body
    return body


def test_state_is_kept_from_call_to_call(box: Box) -> None:
    run(box, "import math\ndef twice(x):\n    return 2 * x\nx = 21")
    answer = run(box, "print(twice(x), math.floor(2.5))")
    assert (answer["stdout"], answer["exit_code"], answer["success"]) == ("42 2\n", 0, True)


def test_another_sandbox_has_a_state_of_its_own(client: Client, box: Box) -> None:
    other = client.create()
    run(box, "x = 1")
    assert "NameError" in run(other, "x")["stderr"]
    other.kill()


def test_the_last_expression_is_the_result_and_printing_is_output(box: Box) -> None:
    answer = run(box, "print('said')\n[1, 'é']")
    assert (answer["result"], answer["stdout"]) == ("[1, 'é']", "said\n")
    assert run(box, "_")["result"] == "[1, 'é']"
    assert "result" not in run(box, "5;")
    assert "result" not in run(box, "y = 5")


def test_an_exception_is_a_failure_with_its_traceback_and_no_more(box: Box) -> None:
    answer = run(box, "x = 1\ndef fail():\n    return x / 0\nfail()")
    assert (answer["exit_code"], answer["success"]) == (1, False)
    assert "ZeroDivisionError: division by zero" in answer["stderr"]
    assert "return x / 0" in answer["stderr"]
    assert "session_program" not in answer["stderr"]
    assert "<session>" not in answer["stderr"]
    assert run(box, "x")["result"] == "1", "an exception costs no state"


@pytest.mark.parametrize(("code", "said"), [("def f(:", "SyntaxError"), ("a\0b", "")])
def test_code_that_is_none_is_told(box: Box, code: str, said: str) -> None:
    answer = execute(box, code)
    if said:
        assert answer.body["exit_code"] == 1
        assert said in answer.body["stderr"]
    else:
        assert answer.status == 400


@pytest.mark.parametrize(("said", "exit_code"), [("3", 3), ("", 0), ("'no'", 1)])
def test_an_exit_ends_the_cell_and_not_the_session(box: Box, said: str, exit_code: int) -> None:
    answer = run(box, f"import sys\nx = 1\nsys.exit({said})\nx = 2")
    assert (answer["exit_code"], answer["success"]) == (exit_code, exit_code == 0)
    assert run(box, "x")["result"] == "1"


def test_await_works_at_the_top(box: Box) -> None:
    run(box, "import asyncio\nasync def late(x):\n    await asyncio.sleep(0.01)\n    return x")
    assert run(box, "await late(7)")["result"] == "7"


def test_what_a_value_offers_beside_its_text_is_shown(box: Box) -> None:
    code = """
        class Rich:
            def _repr_html_(self): return "<b>x</b>"
            def _repr_markdown_(self): return "**x**"
            def _repr_svg_(self): return "<svg/>"
            def _repr_png_(self): return b"png"
            def _repr_json_(self): return {"x": [1]}
            def __repr__(self): return "plain"
        Rich()
    """
    answer = run(box, code)
    assert (answer["result"], answer["html"], answer["svg"]) == ("plain", "<b>x</b>", "<svg/>")
    assert (answer["markdown"], answer["json"]) == ("**x**", {"x": [1]})
    assert answer["png"] == "cG5n"
    assert run(box, "display(Rich()); 1")["html"] == "<b>x</b>"
    assert "html" not in run(box, "1")


def test_a_value_that_fails_to_show_itself_is_shown_plainly(box: Box) -> None:
    code = """
        class Bad:
            def _repr_html_(self): raise RuntimeError
            def _repr_json_(self): return object()
            def _repr_mimebundle_(self, **_): return "nonsense"
            def __repr__(self): return "plain"
        Bad()
    """
    answer = run(box, code)
    assert answer["result"] == "plain"
    assert not {"html", "json"} & set(answer)


def test_open_figures_are_drawn_and_closed(box: Box) -> None:
    # The protocol of matplotlib.pyplot; the package itself is not in the image.
    code = """
        import sys, types
        class Figure:
            def savefig(self, file, format, bbox_inches): file.write(format.encode())
        plots = types.ModuleType("matplotlib.pyplot")
        plots.open = [1]
        plots.get_fignums = lambda: list(plots.open)
        plots.figure = lambda number: Figure()
        plots.close = lambda which: plots.open.clear()
        sys.modules["matplotlib.pyplot"] = plots
    """
    assert run(box, code)["png"] == "cG5n"
    assert "png" not in run(box, "1")


def test_what_is_no_json_to_everybody_is_not_shown_as_json(box: Box) -> None:
    answer = run(box, "class A:\n    def _repr_json_(self): return {'x': float('nan')}\nA()")
    assert "json" not in answer
    assert answer["success"]


@pytest.mark.parametrize("depth", [100, 900, 979, 980, 981, 982, 983, 984, 985, 1000, 5000])
def test_nesting_however_deep_is_no_fault_of_the_service(box: Box, depth: int) -> None:
    code = f"""
        import sys
        sys.setrecursionlimit(100_000)
        value = {{}}
        for _ in range({depth}): value = {{"x": value}}
        class Deep:
            def _repr_json_(self): return value
        Deep()
    """
    answer = execute(box, code)
    assert answer.status == 200
    if depth == 100:
        assert "json" in answer.body


def test_rich_output_that_is_too_large_is_left_out_and_said(box: Box) -> None:
    code = "class Big:\n    def _repr_html_(self): return 'x' * 5_000_000\nBig()"
    answer = run(box, code)
    assert "html" not in answer
    assert "left out" in answer["stderr"]
    assert answer["exit_code"] == 0


def test_variables_of_one_call_are_gone_with_it_and_the_sandboxs_stay(box: Box) -> None:
    box.ask("PATCH", "/env", {"env_vars": {"KEPT": "1", "BOTH": "sandbox"}})
    shows = "import os\n[os.environ.get(name) for name in ('KEPT', 'BOTH', 'ONCE', 'OWN')]"
    answer = run(box, f"{shows}", env={"ONCE": "1", "BOTH": "call"})
    assert answer["result"] == "['1', 'call', '1', None]"
    run(box, "os.environ['OWN'] = 'code'")
    assert run(box, shows)["result"] == "['1', 'sandbox', None, 'code']"
    box.ask("PUT", "/env", {"env_vars": {"KEPT": "2"}})
    assert run(box, shows)["result"] == "['2', None, None, 'code']"


def test_the_working_directory_is_as_asked_or_where_the_code_left_it(box: Box) -> None:
    where = "import os; os.getcwd()"
    assert run(box, where)["result"] == "'/workspace'"
    assert run(box, where, workdir="/tmp")["result"] == "'/tmp'"
    assert run(box, where)["result"] == "'/tmp'"
    answer = execute(box, where, workdir="/nowhere")
    assert (answer.status, answer.body["code"]) == (400, "INVALID_PATH")
    assert run(box, "1")["result"] == "1"


def test_input_is_empty_and_never_waited_for(box: Box) -> None:
    assert "EOFError" in run(box, "input()")["stderr"]


@pytest.mark.parametrize(
    ("code", "exit_code", "how"),
    [
        ("import os; os._exit(5)", 5, "exit code 5"),
        ("import os; os._exit(0)", 1, "exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", 137, "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", 139, "SIGSEGV"),
        ("import os; os.closerange(3, 100)", None, "ended"),
        ("import os; [os.write(fd, b'\\0\\0\\0\\2{}') for fd in range(3, 9)]", None, "ended"),
        ("import os; [os.write(fd, b'\\xff' * 9) for fd in range(3, 9)]", None, "ended"),
    ],
)
def test_code_that_ends_its_interpreter_is_a_failure_and_the_next_has_a_new_one(
    box: Box, code: str, exit_code: int | None, how: str
) -> None:
    run(box, "x = 1")
    safe = code.replace(
        "for fd in range(3, 9)]",
        "for fd in map(int, os.listdir('/proc/self/fd'))"
        " if fd > 2 and os.readlink(f'/proc/self/fd/{fd}').startswith('socket')]",
    )
    answer = run(box, f"print('before', flush=True)\n{safe}\nimport time; time.sleep(0.2)")
    assert not answer["success"]
    assert answer["session_ended"]
    assert answer["stdout"] == "before\n"
    assert how in answer["stderr"]
    if exit_code is not None:
        assert answer["exit_code"] == exit_code
    assert "NameError" in run(box, "x")["stderr"]


def test_code_over_its_time_is_killed_with_its_session_and_what_it_started(box: Box) -> None:
    run(box, "x = 1")
    code = "import subprocess\nprint('before', flush=True)\nsubprocess.Popen(['sleep', '991'],"
    code += " process_group=0)\nsubprocess.run(['sleep', '991'])"
    answer = execute(box, code, timeout=1)
    assert (answer.status, answer.body["code"]) == (408, "EXECUTION_TIMEOUT")
    assert answer.body["details"]["stdout"] == "before\n"
    assert "NameError" in run(box, "x")["stderr"]
    assert box.shell("pgrep -fc 'sleep 991'") == "0"


def test_a_signal_that_asks_is_not_enough_to_outlive_the_time(box: Box) -> None:
    code = """
        import signal, time
        for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
        while True:
            try: time.sleep(60)
            except BaseException: pass
    """
    assert execute(box, code, timeout=0.5).status == 408


def test_a_fork_that_runs_on_answers_nothing_and_holds_nothing_up(box: Box) -> None:
    code = """
        import os, time
        if os.fork() == 0:
            while not os.path.exists("/tmp/go"): time.sleep(0.01)
            print("late")
        x = 5
    """
    assert run(box, code)["success"], "though the fork waits for what comes after this"
    box.write("/tmp/go", "")
    # It reaches the end of its cell, where only the session itself may go on.
    assert run(box, "os.wait()[1]")["result"] == "0"
    assert run(box, "x")["result"] == "5"
    assert run(box, "x + 1")["result"] == "6"


def test_a_flood_of_output_keeps_both_ends(box: Box) -> None:
    answer = run(
        box, "import sys\nfor _ in range(300): sys.stdout.write('x' * 1_000_000)\nprint('end')"
    )
    assert answer["stdout_dropped_bytes"] > 290_000_000
    assert answer["stdout"].endswith("end\n")
    assert len(answer["stdout"]) < 2 * 1024 * 1024


def test_code_may_be_long_and_of_any_text(box: Box) -> None:
    text = "é'\"\\`$(id)\n" * 50_000
    assert run(box, f"len({text!r})")["result"] == str(len(text))


@pytest.mark.parametrize("language", ["python", "bash"])
def test_code_that_is_too_long_is_refused(shared: Box, language: str) -> None:
    answer = execute(shared, "#" * 5_000_000, language=language)
    assert (answer.status, answer.body["code"]) == (413, "CODE_TOO_LONG")


def test_calls_at_the_same_time_take_turns_in_one_session(box: Box) -> None:
    run(box, "x = 0")
    with ThreadPoolExecutor(8) as threads:
        added = "y = x; import time; time.sleep(0.01); x = y + 1"
        answers = list(threads.map(lambda _: execute(box, added).status, range(8)))
    assert answers == [200] * 8
    assert run(box, "x")["result"] == "8"


def test_who_waits_for_a_busy_session_waits_no_longer_than_its_time(box: Box) -> None:
    wait = "import os, time\nwhile not os.path.exists('/tmp/go'): time.sleep(0.01)\nx = 1"
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(execute, box, wait)
        state = "/jupyter/sessions"
        assert eventually(
            lambda: (
                [s["execution_state"] for s in box.ask("GET", state).body["sessions"]] == ["busy"]
            )
        )
        late = execute(box, "x", timeout=0.3)
        assert (late.status, late.body["code"]) == (408, "EXECUTION_TIMEOUT")
        box.write("/tmp/go", "")
        assert busy.result().status == 200
    assert run(box, "x")["result"] == "1", "the one that was busy lost nothing"


def test_a_sandbox_killed_under_code_answers_at_once(client: Client) -> None:
    box = client.create(timeout_seconds=1)
    answer = execute(box, "import time; time.sleep(60)")
    assert (answer.status, answer.body["code"]) == (410, "SANDBOX_GONE")


def test_sessions_leave_no_descriptor_behind(client: Client, server: SandboxServerProcess) -> None:
    process = psutil.Process(server.pid)

    def use() -> None:
        box = client.create()
        run(box, "x = 1")
        run(box, "import os; os._exit(1)")
        run(box, "x = 1")
        box.kill()

    use()
    before = process.num_fds()
    for _ in range(5):
        use()
    assert eventually(lambda: process.num_fds() <= before)


@pytest.mark.needs_root
def test_code_over_the_memory_limit_ends_with_the_reason(box: Box) -> None:
    answer = run(box, "x = bytearray(1 << 30)")
    assert (answer["exit_code"], answer["oom_killed"]) == (137, True)
    assert run(box, "1")["result"] == "1"


@pytest.mark.parametrize("language", ["javascript", "js", "node"])
def test_javascript_runs(box: Box, language: str) -> None:
    code = "console.log([1, 2].map(x => 2 * x).join()); console.error('e'); process.exit(3)"
    answer = run(box, code, language=language)
    assert (answer["stdout"], answer["stderr"], answer["exit_code"]) == ("2,4\n", "e\n", 3)
    assert (answer["language"], answer["success"]) == ("javascript", False)


def test_bash_runs_and_its_input_is_not_its_own_text(box: Box) -> None:
    answer = run(box, "cd /tmp; pwd; cat; echo $0$1 >&2\nfalse\necho last; exit 4", language="bash")
    assert (answer["stdout"], answer["exit_code"]) == ("/tmp\nlast\n", 4)


def test_each_call_of_another_language_is_a_process_of_its_own(box: Box) -> None:
    run(box, "x=1; cd /tmp", language="bash")
    assert run(box, "echo [$x] $PWD $A", language="bash", env={"A": "b"})["stdout"] == (
        "[] /workspace b\n"
    )


@pytest.mark.parametrize("language", ["bash", "javascript"])
def test_other_languages_are_killed_at_their_time(box: Box, language: str) -> None:
    code = {"bash": "echo before; sleep 992", "javascript": "console.log('before'); for(;;);"}
    answer = execute(box, code[language], language=language, timeout=1)
    assert (answer.status, answer.body["code"]) == (408, "EXECUTION_TIMEOUT")
    assert answer.body["details"]["stdout"] == "before\n"


def test_a_daemon_that_holds_the_output_open_holds_nothing_up(box: Box) -> None:
    answer = run(box, "setsid sleep 30 & echo done", language="bash", timeout=20)
    assert answer["stdout"] == "done\n"


def test_code_never_shows_in_a_process_list(box: Box) -> None:
    code = "tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' ' ' < /proc/$PPID/cmdline # SECRET-WORD"
    assert "SECRET-WORD" not in run(box, code, language="bash")["stdout"]
    assert (
        "SECRET-WORD" not in run(box, "open('/proc/self/cmdline').read() # SECRET-WORD")["result"]
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"code": "x", "language": "go"}, "LANGUAGE_NOT_SUPPORTED"),
        ({"code": "x", "language": 7}, "INVALID_REQUEST"),
        ({"code": "1", "language": "javascript", "env": {"PATH": "/x"}}, "LANGUAGE_NOT_AVAILABLE"),
        ({}, "INVALID_REQUEST"),
        ({"code": ""}, "INVALID_REQUEST"),
        ({"code": "1", "timeout": 0}, "INVALID_REQUEST"),
        ({"code": "1", "workdir": 1}, "INVALID_REQUEST"),
        ({"code": "1", "env": {"A": 1}}, "INVALID_REQUEST"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_runs(
    shared: Box, given: dict[str, Any], code: str
) -> None:
    answer = shared.ask("POST", "/execute", given)
    assert (answer.status, answer.body["code"]) == (400, code)


def test_the_ipython_spelling_is_the_same_session(box: Box) -> None:
    run(box, "x = 6")
    assert box.ask("POST", "/execute/ipython", {"code": "x"}).body["result"] == "6"


def test_the_session_is_listed_while_it_lives(box: Box) -> None:
    assert box.ask("GET", "/jupyter/sessions").body["sessions"] == []
    run(box, "1")
    (session,) = box.ask("GET", "/jupyter/sessions").body["sessions"]
    assert session["execution_state"] == "idle"
    run(box, "import os; os._exit(0)")
    assert box.ask("GET", "/jupyter/sessions").body["sessions"] == []

"""Commands through both SDKs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.conformance.python.surface import Kind, in_both

RUN = in_both("Sandbox.commands", "Commands.run")


@RUN
def test_a_command_answers_code_and_both_streams(sandbox: Any, kind: Kind) -> None:
    result = sandbox.commands.run("echo out; echo err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert 0 < result.execution_time < 30
    # The blocking SDK leaves out of its result whether it succeeded; the exit code is what counts.
    assert result.success is (None if kind == "sync" else False)


@RUN
def test_a_command_has_its_own_environment_and_folder(sandbox: Any) -> None:
    line = "echo $ONE; pwd"
    answered = sandbox.commands.run(line, env={"ONE": "é 1"}, working_dir="/tmp")
    assert answered.stdout == "é 1\n/tmp\n"
    assert sandbox.commands.run(line).stdout == "\n/workspace\n"


@RUN
def test_a_command_may_be_given_more_time_than_it_needs(
    sandbox: Any, limit: Callable[[int], dict[str, int]]
) -> None:
    assert sandbox.commands.run("echo in time", **limit(600)).stdout == "in time\n"


@RUN
def test_a_background_command_answers_at_once_and_runs_on(sandbox: Any) -> None:
    result = sandbox.commands.run(
        "echo $WHO > /workspace/ran; sleep 60", background=True, env={"WHO": "me"}
    )
    assert re.fullmatch(r"Background process started: cmd_\d+", result.stdout)
    assert result.exit_code == 0
    wait = "until [ -s /workspace/ran ]; do sleep 0.01; done; cat /workspace/ran; pgrep -c sleep"
    assert sandbox.commands.run(wait).stdout == "me\n1\n"


@RUN
def test_long_output_comes_whole(sandbox: Any) -> None:
    assert sandbox.commands.run("seq 20000").stdout == "".join(f"{n}\n" for n in range(1, 20001))

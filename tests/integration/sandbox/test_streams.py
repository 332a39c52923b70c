"""Streams: output that arrives while code runs, and clients that do not wait for it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from websockets.exceptions import InvalidStatus

from tests.integration.sandbox.client import API_KEY, SMALL, Box, Client, eventually
from tests.integration.sandbox.conversation import conversation, text_of

CODE = ("/execute/stream", "/stream", "/stream/ipython")
ALL = (*CODE, "/commands/stream", "/terminal", "/files/watch")


def alive(box: Box, number: int) -> bool:
    return bool(box.command(f"pgrep -f '[s]leep {number}'").body["exit_code"] == 0)


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_only_a_token_opens_a_conversation(shared: Box, path: str, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused, conversation(shared, path, token):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["code"] == "INVALID_TOKEN"


def test_there_is_no_conversation_elsewhere(shared: Box) -> None:
    for path in ("/env", "/nothing"):
        with pytest.raises(InvalidStatus) as refused, conversation(shared, path):
            pass
        assert refused.value.response.status_code == 404


@pytest.mark.parametrize("path", CODE)
def test_output_arrives_while_the_code_runs(box: Box, path: str) -> None:
    code = """
import os, sys, time
print("first", flush=True)
while not os.path.exists("/tmp/go"): time.sleep(0.01)
print("é", file=sys.stderr, flush=True)
"""
    with conversation(box, path) as talk:
        talk.say(type="execute", code=code, language="python", timeout=20, workdir="/workspace")
        first = [talk.hear()]
        while not text_of(first, "stdout").endswith("\n"):
            first.append(talk.hear())
        assert text_of(first, "stdout") == "first\n"
        assert first[0]["timestamp"]
        box.write("/tmp/go", "")
        rest = talk.hear_until("complete")
    assert text_of(rest, "stderr") == "é\n"
    assert [m["type"] for m in rest[-2:]] == ["result", "complete"]
    assert rest[-2]["exit_code"] == 0
    assert rest[-2]["execution_time"] > 0
    assert rest[-1]["success"] is True


@pytest.mark.parametrize("path", CODE)
def test_a_failure_is_told_by_code_and_by_the_last_word(box: Box, path: str) -> None:
    with conversation(box, path) as talk:
        talk.say(type="execute", code="print('x')\nraise SystemExit(3)")
        heard = talk.hear_until("complete")
    assert text_of(heard, "stdout") == "x\n"
    assert (heard[-2]["exit_code"], heard[-1]["success"]) == (3, False)


def test_the_streams_of_the_session_are_the_session_and_the_other_is_not(box: Box) -> None:
    box.ask("POST", "/execute", {"code": "x = 41"})
    for path, said in (("/stream", "42"), ("/stream/ipython", "42"), ("/execute/stream", None)):
        with conversation(box, path) as talk:
            talk.say(type="execute", code="x + 1")
            assert talk.hear_until("result" if said else "complete")[-1].get("result") == said


def test_rich_output_comes_with_the_result(box: Box) -> None:
    with conversation(box, "/stream") as talk:
        talk.say(code="class A:\n    def _repr_html_(self): return '<b>'\nA()")
        assert talk.hear_until("complete")[-2]["html"] == "<b>"
        talk.say(code="class A:\n    def _repr_html_(self): return 'x' * 2_000_000\nA()")
        result = talk.hear_until("complete")[-2]
        assert (result["left_out"], "html" in result) == (True, False)


@pytest.mark.parametrize("language", ["bash", "javascript"])
def test_other_languages_stream(box: Box, language: str) -> None:
    code = {"bash": "echo $A; exit 4", "javascript": "console.log(process.env.A);process.exit(4)"}
    with conversation(box, "/execute/stream") as talk:
        talk.say(type="execute", code=code[language], language=language, env={"A": "b"})
        heard = talk.hear_until("complete")
    assert (text_of(heard, "stdout"), heard[-2]["exit_code"]) == ("b\n", 4)


def test_commands_stream_as_a_line_or_as_arguments(box: Box) -> None:
    with conversation(box, "/commands/stream") as talk:
        talk.say(command="echo $((1 + 1)) | cat; pwd", workdir="/tmp")
        assert text_of(talk.hear_until("complete"), "stdout") == "2\n/tmp\n"
        talk.say(command="printf", args=["[%s]", "$(id)", "a b"])
        assert text_of(talk.hear_until("complete"), "stdout") == "[$(id)][a b]"


def test_not_a_byte_is_lost_of_what_is_printed_at_once(box: Box) -> None:
    with conversation(box, "/commands/stream") as talk:
        for number in range(30):
            talk.say(command=f"echo {number}")
            assert text_of(talk.hear_until("complete"), "stdout") == f"{number}\n"


def test_a_flood_arrives_whole_in_messages_that_fit(box: Box) -> None:
    size = 0
    with conversation(box, "/commands/stream") as talk:
        # NUL takes six characters in JSON: the largest that a message of ours can become.
        talk.say(command="head -c 300000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero")
        while (message := talk.hear())["type"] != "complete":
            size += len(message.get("data", ""))
    assert size == 303_000_000
    assert message["success"]


def test_text_that_is_cut_anywhere_is_put_together_again(box: Box) -> None:
    code = "import sys, time\nfor b in 'é😀€'.encode(): sys.stdout.buffer.write(bytes([b])); \
sys.stdout.buffer.flush(); time.sleep(0.01)\nsys.stdout.buffer.write(b'\\xff')"
    with conversation(box, "/execute/stream") as talk:
        talk.say(code=code)
        assert text_of(talk.hear_until("complete"), "stdout") == "é😀€\ufffd"


@pytest.mark.parametrize("path", ["/execute/stream", "/stream"])
def test_code_over_its_time_is_killed_and_what_it_said_arrives(box: Box, path: str) -> None:
    code = "import subprocess\nprint('early', flush=True)\nsubprocess.run(['sleep', '981'])"
    with conversation(box, path) as talk:
        talk.say(code=code, timeout=0.7)
        heard = talk.hear_until("complete")
    assert text_of(heard, "stdout") == "early\n"
    assert [m["code"] for m in heard if m["type"] == "error"] == ["EXECUTION_TIMEOUT"]
    assert (heard[-2]["exit_code"], heard[-1]["success"]) == (137, False)
    assert not alive(box, 981)


def test_a_session_that_ends_under_a_stream_says_so(box: Box) -> None:
    with conversation(box, "/stream") as talk:
        talk.say(code="import os; print('last', flush=True); os._exit(7)")
        heard = talk.hear_until("complete")
        assert text_of(heard, "stdout") == "last\n"
        assert "the Python session ended" in text_of(heard, "stderr")
        assert (heard[-2]["exit_code"], heard[-1]["success"]) == (7, False)
        talk.say(code="1 + 1")
        assert talk.hear_until("complete")[-2]["result"] == "2"


@pytest.mark.parametrize("path", ["/execute/stream", "/stream"])
def test_a_client_that_vanishes_leaves_nothing_behind(box: Box, path: str) -> None:
    code = "import subprocess\nsubprocess.run(['sleep', '982'])"
    with conversation(box, path) as talk:
        talk.say(code=code, timeout=100)
        assert eventually(lambda: alive(box, 982))
        talk.vanish()
        assert eventually(lambda: not alive(box, 982))
    assert box.ask("POST", "/execute", {"code": "1"}).status == 200


def test_a_client_that_vanishes_takes_those_along_that_left_the_group(box: Box) -> None:
    with conversation(box, "/commands/stream") as talk:
        talk.say(command="set -m; (trap '' HUP TERM; sleep 983) & wait", timeout=100)
        assert eventually(lambda: alive(box, 983))
    assert eventually(lambda: not alive(box, 983))


def test_a_client_that_does_not_listen_makes_the_program_wait(box: Box) -> None:
    with conversation(box, "/commands/stream") as talk:
        talk.say(command="head -c 400000000 /dev/zero; touch /tmp/over", timeout=100)
        talk.hear()
        # The service goes on for everybody else meanwhile.
        assert box.shell("sleep 0.5; ls /tmp") == ""


def test_what_runs_is_stopped_when_it_is_asked_to(box: Box) -> None:
    with conversation(box, "/execute/stream") as talk:
        talk.say(code="import subprocess\nsubprocess.run(['sleep', '984'])")
        assert eventually(lambda: alive(box, 984))
        talk.say(type="execute", code="1")
        assert talk.hear()["code"] == "BUSY"
        talk.say(type="kill")
        assert talk.hear()["code"] == "EXECUTION_CANCELLED"
        complete = talk.hear()
        assert (complete["type"], complete["success"]) == ("complete", False)
        assert not alive(box, 984)
        talk.say(code="print(1)")
        assert text_of(talk.hear_until("complete"), "stdout") == "1\n"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "INVALID_REQUEST"),
        ({"code": ""}, "INVALID_REQUEST"),
        ({"code": 1}, "INVALID_REQUEST"),
        ({"code": "1", "language": "go"}, "LANGUAGE_NOT_SUPPORTED"),
        ({"code": "1", "timeout": -1}, "INVALID_REQUEST"),
        ({"code": "1", "workdir": "/nowhere"}, "INVALID_PATH"),
        ({"code": "1", "language": "js", "env": {"PATH": "/x"}}, "LANGUAGE_NOT_AVAILABLE"),
    ],
)
@pytest.mark.parametrize("path", ["/execute/stream", "/stream"])
def test_a_wrong_message_is_answered_to_its_end(
    shared: Box, path: str, message: dict[str, object], code: str
) -> None:
    with conversation(shared, path) as talk:
        talk.say(**message)
        error, complete = talk.hear(), talk.hear()
    assert (error["type"], error["code"]) == ("error", code)
    assert (complete["type"], complete["success"]) == ("complete", False)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '"x"', "[" * 100_000])
def test_what_is_no_message_is_told_and_passed_over(shared: Box, text: str) -> None:
    with conversation(shared, "/execute/stream") as talk:
        talk.connection.send(text)
        assert talk.hear()["code"] == "INVALID_REQUEST"
        talk.say(code="print(1)")
        assert text_of(talk.hear_until("complete"), "stdout") == "1\n"


def test_a_message_past_the_limit_ends_the_conversation(shared: Box) -> None:
    with conversation(shared, "/stream") as talk:
        talk.say(code="#" * 2_000_000)
        assert talk.hear_the_end()[0] == 1009


def test_conversations_are_counted_and_bounded(box: Box) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(64):
            open_ones.enter_context(conversation(box, "/stream"))
        with pytest.raises(InvalidStatus) as refused, conversation(box, "/stream"):
            pass
        assert refused.value.response.status_code == 409
        assert box.shell("echo alive") == "alive"

    def opens() -> bool:
        try:
            with conversation(box, "/stream"):
                return True
        except InvalidStatus:
            return False

    assert eventually(opens)


def test_a_killed_sandbox_ends_its_conversations(client: Client) -> None:
    box = client.create()
    with conversation(box, "/execute/stream") as talk:
        talk.say(code="import time; time.sleep(60)")
        box.kill()
        assert talk.hear_the_end()[0] == 1012


def test_a_client_that_vanishes_at_any_moment_leaves_nothing(box: Box) -> None:
    for delay in range(60):
        with conversation(box, "/commands/stream") as talk:
            talk.say(command="sleep 985", timeout=100)
            # From before the start to well after it.
            if delay > 30:
                box.shell(f"sleep {delay / 10_000}")
            talk.vanish()
    assert eventually(lambda: not alive(box, 985))


def test_a_service_that_stops_ends_its_conversations_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = SandboxServerProcess(API_KEY, options=SMALL, log=log)
    service.start()
    box = Client(service.url).create()
    members = psutil.Process(service.pid).children(recursive=True)
    with contextlib.ExitStack() as open_ones:
        for path in ALL:
            talk = open_ones.enter_context(conversation(box, path))
            talk.say(code="import time; time.sleep(60)", command="sleep 60", action="watch")
        assert eventually(lambda: alive(box, 60))
        members += psutil.Process(service.pid).children(recursive=True)
        assert service.stop() == 0
    assert not any(member.is_running() for member in members)
    assert log.read_text() == "", "and has nothing to complain of"


def test_clients_that_vanish_are_nothing_to_complain_of(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with SandboxServerProcess(API_KEY, options=SMALL, log=log) as service:
        box = Client(service.url).create()
        for number in range(40):
            for path in ALL:
                with conversation(box, path) as talk:
                    talk.say(code="print(1)", command="echo 1", action="watch", path="/tmp")
                    if number % 2:
                        talk.vanish()
        with pytest.raises(InvalidStatus), conversation(box, "/stream", "wrong"):
            pass
        assert eventually(lambda: box.ask("GET", "/system").body["processes"] <= 2)
    assert log.read_text() == ""

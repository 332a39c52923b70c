"""``/terminal``: a real terminal inside the sandbox, which ends with its client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import ERRNO_OF, Box, Client, eventually
from tests.integration.sandbox.conversation import Conversation, conversation, text_of


@contextlib.contextmanager
def terminal(box: Box, query: str = "") -> Iterator[Conversation]:
    with conversation(box, f"/terminal{query}") as talk:
        # Nothing between the lines but what programs print.
        talk.say(type="input", data="PS1=; bind 'set enable-bracketed-paste off'; stty -echo\n")
        answer(talk, "echo ready")
        yield talk


def read_to(talk: Conversation, end: str) -> str:
    """What is printed until this is; of a flood, the last of it."""
    seen = ""
    while end not in seen:
        message = talk.hear()
        assert message["type"] == "output", message
        seen = seen[-100_000:] + message["data"]
    return seen


def answer(talk: Conversation, line: str) -> list[str]:
    """The lines that a command printed."""
    talk.say(type="input", data=f"{line}\necho E''ND\n")
    printed = read_to(talk, "END\r\n").replace("\r", "").splitlines()
    return printed[:-1]


def alive(box: Box, number: int) -> bool:
    return bool(box.command(f"pgrep -f '[s]leep {number}'").body["exit_code"] == 0)


def test_it_is_a_terminal_of_the_sandbox_and_of_its_user(box: Box) -> None:
    with terminal(box) as talk:
        (name,) = answer(talk, "tty")
        assert name.startswith("/dev/pts/")
        assert answer(talk, f"stat -c '%U %a' {name}") == ["sandbox 620"]
        assert answer(talk, "echo written > /dev/tty") == ["written"]
        assert answer(talk, "id -un; pwd; echo $TERM") == [
            "sandbox",
            "/workspace",
            "xterm-256color",
        ]


def test_it_has_a_size_that_changes(box: Box) -> None:
    with terminal(box, "?cols=100&rows=30") as talk:
        assert answer(talk, "stty size") == ["30 100"]
        talk.say(type="resize", cols=33, rows=11)
        assert answer(talk, "stty size") == ["11 33"]
        talk.say(type="resize", cols=-5, rows=10**9)
        assert answer(talk, "stty size") == ["4096 1"]


@pytest.mark.parametrize("query", ["?cols=x&rows=-1", "?cols=999999999999", "?rows="])
def test_a_size_that_is_none_is_the_usual_one(box: Box, query: str) -> None:
    with terminal(box, query) as talk:
        assert answer(talk, "stty size") == ["24 80"]


def test_control_characters_act_on_what_runs_in_front(box: Box) -> None:
    with terminal(box) as talk:
        talk.say(type="input", data="sleep 971\n")
        assert eventually(lambda: alive(box, 971))
        talk.say(type="input", data="\x03")
        assert eventually(lambda: not alive(box, 971))
        assert answer(talk, "cat <<< back")[-1] == "back"


def test_the_exit_code_is_the_last_word(box: Box) -> None:
    with terminal(box) as talk:
        talk.say(type="input", data="echo bye; exit 7\n")
        heard = talk.hear_until("exit")
        assert heard[-1]["code"] == 7
        assert "bye" in "".join(message.get("data", "") for message in heard)
        assert talk.hear_the_end()[0] == 1000


def test_a_client_that_vanishes_leaves_no_process_of_any_kind(box: Box) -> None:
    with terminal(box) as talk:
        answer(
            talk, "(trap '' HUP TERM INT; sleep 972) & sleep 972 & nohup sleep 972 &>/dev/null &"
        )
        talk.say(type="input", data="sleep 972\n")
        assert eventually(lambda: box.shell("pgrep -fc '[s]leep 972'") >= "4")
        talk.vanish()
        assert eventually(lambda: not alive(box, 972))
    assert box.shell("pgrep -c bash") == "0"


def test_a_shell_that_ends_takes_its_background_along(box: Box) -> None:
    with terminal(box) as talk:
        answer(talk, "nohup sleep 973 &>/dev/null &")
        talk.say(type="input", data="exit\n")
        talk.hear_until("exit")
    assert eventually(lambda: not alive(box, 973))


def test_characters_cannot_be_pushed_into_its_input(box: Box) -> None:
    program = (
        ERRNO_OF
        + """
import fcntl
try:
    fcntl.ioctl(0, 0x5412, b"x")
    print("PUSHED")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    )
    box.write("/tmp/push.py", program)
    with terminal(box) as talk:
        assert answer(talk, "python /tmp/push.py") == ["EPERM"]


def test_a_flood_of_output_arrives_in_messages_that_fit_and_can_be_interrupted(box: Box) -> None:
    with terminal(box) as talk:
        talk.say(type="input", data="head -c 20000000 /dev/zero | tr '\\0' x; echo OV''ER\n")
        read_to(talk, "OVER")
        talk.say(type="input", data="cat /dev/zero | tr '\\0' y\n")
        while "y" not in talk.hear()["data"]:
            pass
        talk.say(type="input", data="\x03")
        assert answer(talk, "echo back")[-1].endswith("back")


def test_what_is_printed_right_before_the_end_arrives(box: Box) -> None:
    with terminal(box) as talk:
        talk.say(type="input", data="seq 300000; exit 3\n")
        heard = talk.hear_until("exit")
    assert text_of(heard, "output").replace("\r", "").splitlines() == [
        *(str(number) for number in range(1, 300_001)),
        "exit",
    ]


def test_input_that_nobody_reads_is_refused_at_last_and_blocks_nobody(box: Box) -> None:
    with terminal(box) as talk:
        talk.say(type="input", data="stty raw; exec sleep 974\n")
        assert eventually(lambda: alive(box, 974))
        for _ in range(40):
            talk.say(type="input", data="x" * 100_000)
        while True:
            message = talk.hear()
            if message["type"] == "error":
                break
        assert message["code"] == "INPUT_NOT_READ"
        assert box.shell("echo alive") == "alive"
    assert eventually(lambda: not alive(box, 974))


@pytest.mark.parametrize(
    "message",
    [{}, {"type": "input"}, {"type": "input", "data": 7}, {"type": "resize", "cols": "a"}],
)
def test_a_wrong_message_is_told_and_changes_nothing(box: Box, message: dict[str, object]) -> None:
    with terminal(box) as talk:
        talk.say(**message)
        assert talk.hear()["code"] == "INVALID_REQUEST"
        assert answer(talk, "echo still") == ["still"]


def test_a_sandboxs_variables_are_there(box: Box) -> None:
    box.ask("PATCH", "/env", {"env_vars": {"MINE": "value"}})
    with terminal(box) as talk:
        assert answer(talk, "echo $MINE") == ["value"]


def test_a_killed_sandbox_ends_its_terminal(client: Client) -> None:
    box = client.create()
    with terminal(box) as talk:
        box.kill()
        code, heard = talk.hear_the_end()
    assert code in (1000, 1012)
    assert [message["code"] for message in heard if message["type"] == "exit"] in ([], [-1])


def test_terminals_leave_no_descriptor_behind(box: Box, server: SandboxServerProcess) -> None:
    process = psutil.Process(server.pid)

    def use() -> None:
        with terminal(box) as talk:
            answer(talk, "true")

    use()
    before = process.num_fds()
    for _ in range(5):
        use()
    assert eventually(lambda: process.num_fds() <= before)

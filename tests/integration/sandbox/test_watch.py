"""``/files/watch``: changes are told, and nothing outside is ever watched."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil
import pytest
from glovebox_local.sandbox.server import SandboxServerProcess

from tests.integration.sandbox.client import Box, Client, eventually
from tests.integration.sandbox.conversation import Conversation, conversation


def watch(talk: Conversation, path: str) -> dict[str, Any]:
    talk.say(action="watch", path=path, ack=True)
    return talk.hear()


def changes(talk: Conversation, box: Box, line: str, folder: str = "/workspace") -> list[str]:
    """What is told of a command, without repetitions: "event name"."""
    box.shell(line)
    box.shell(f"touch {folder}/end")
    told: list[str] = []
    while not told or not told[-1].endswith(" /end"):
        message = talk.hear()
        assert message["type"] == "change", message
        name = message["path"].removeprefix(folder)
        new = message.get("new_path", "").removeprefix(folder)
        text = f"{message['event']} {name}{new}"
        if text not in told[-1:]:
            told.append(text)
    box.shell(f"rm {folder}/end")
    while talk.hear()["event"] != "deleted":
        pass
    return told[:-1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("echo x > a", ["created /a", "modified /a"]),
        ("echo y >> old", ["modified /old"]),
        ("chmod 600 old", ["modified /old"]),
        ("rm old", ["deleted /old"]),
        ("mv old new", ["renamed /old/new"]),
        ("mv old /tmp/", ["deleted /old"]),
        ("echo > /tmp/in; mv /tmp/in in", ["created /in", "modified /in"]),
        ("mkdir d", ["created /d"]),
        ("ln -s /etc/passwd link", ["created /link"]),
        ("touch dir/inner", []),
        ("touch $'new\\nline'", ["created /new\nline", "modified /new\nline"]),
    ],
)
def test_each_kind_of_change_is_told(box: Box, line: str, told: list[str]) -> None:
    box.shell("cd /workspace; echo x > old; mkdir dir")
    with conversation(box, "/files/watch") as talk:
        assert watch(talk, "/workspace")["type"] == "watching"
        seen = changes(talk, box, f"cd /workspace; {line}")
        # "mv" of a file from another file system is a copy: it may change more than once.
        assert [text for text in seen if not text.startswith("modified")] == [
            text for text in told if not text.startswith("modified")
        ]
        assert {t for t in told if t.startswith("modified")} <= {*seen, *told[1:]}


def test_a_single_file_is_watched_until_it_is_gone(box: Box) -> None:
    box.write("/workspace/file", "x")
    with conversation(box, "/files/watch") as talk:
        watch(talk, "file")
        box.shell("echo y >> /workspace/file")
        message = talk.hear()
        assert (message["event"], message["path"]) == ("modified", "/workspace/file")
        box.shell("rm /workspace/file")
        while (message := talk.hear())["event"] == "modified":
            pass
        assert (message["event"], message["path"]) == ("deleted", "/workspace/file")


@pytest.mark.parametrize("end", ["rm -r", "mv -t /tmp"])
def test_a_watched_folder_that_goes_is_told_and_ends_the_watch(box: Box, end: str) -> None:
    box.shell("mkdir -p /workspace/folder")
    with conversation(box, "/files/watch") as talk:
        watch(talk, "/workspace/folder")
        box.shell(f"{end} /workspace/folder")
        message = talk.hear()
        assert message["event"] == "deleted"
        assert message["path"] == "/workspace/folder"


def test_a_folder_replaced_by_a_link_is_not_followed(box: Box) -> None:
    box.shell("mkdir -p /workspace/folder /workspace/secret")
    with conversation(box, "/files/watch") as talk:
        watch(talk, "/workspace/folder")
        box.shell("cd /workspace; mv folder moved; ln -s secret folder")
        assert talk.hear()["event"] == "renamed"
        box.shell("touch /workspace/secret/seen")
        assert talk.hear_the_end()[0] == 1000


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/workspace/link", "PATH_NOT_ALLOWED"),
        ("/workspace/root/etc", "PATH_NOT_ALLOWED"),
        ("/etc", "PATH_NOT_ALLOWED"),
        ("/", "PATH_NOT_ALLOWED"),
        ("/workspace/../etc", "PATH_NOT_ALLOWED"),
        ("/proc/1", "PATH_NOT_ALLOWED"),
        ("/workspace/none", "FILE_NOT_FOUND"),
        ("", "INVALID_PATH"),
        (7, "INVALID_REQUEST"),
    ],
)
def test_nothing_outside_and_nothing_through_a_link_is_watched(
    box: Box, path: object, code: str
) -> None:
    box.shell("ln -s /etc /workspace/link; ln -s / /workspace/root")
    with conversation(box, "/files/watch") as talk:
        talk.say(action="watch", path=path)
        assert talk.hear()["code"] == code
        assert watch(talk, "/tmp")["type"] == "watching", "a refusal is not the end"


def test_a_flood_of_changes_is_told_or_said_to_be_lost(box: Box) -> None:
    with conversation(box, "/files/watch") as talk:
        watch(talk, "/tmp")
        box.python("for n in range(3000): open(f'/tmp/{n}', 'w').close()")
        created = 0
        while created < 3000:
            message = talk.hear()
            assert message["type"] == "change" or message["code"] == "EVENTS_LOST"
            if message["type"] == "error":
                break
            created += message["event"] == "created"
        assert box.shell("echo alive") == "alive"


def test_watches_leave_no_descriptor_behind(box: Box, server: SandboxServerProcess) -> None:
    process = psutil.Process(server.pid)

    def use() -> None:
        with conversation(box, "/files/watch") as talk:
            watch(talk, "/tmp")

    use()
    before = process.num_fds()
    for _ in range(5):
        use()
    assert eventually(lambda: process.num_fds() <= before)


def test_watches_are_bounded_over_all_sandboxes(client: Client, box: Box) -> None:
    other = client.create()
    with contextlib.ExitStack() as open_ones:
        for number in range(64):
            talk = open_ones.enter_context(conversation((box, other)[number % 2], "/files/watch"))
            assert watch(talk, "/tmp")["type"] == "watching"
        talk = open_ones.enter_context(conversation(box, "/files/watch"))
        assert watch(talk, "/tmp")["code"] == "TOO_MANY_WATCHES"
    with conversation(box, "/files/watch") as talk:
        assert eventually(lambda: watch(talk, "/tmp")["type"] == "watching")
    other.kill()

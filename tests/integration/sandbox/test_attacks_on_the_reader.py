"""Hostile files: what the service, as root, must not be led to read, write or wait for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.sandbox.client import Answer, Box, Client


@pytest.fixture(scope="module")
def trapped(client: Client) -> Iterator[Box]:
    """A sandbox full of traps."""
    box = client.create()
    box.shell(
        "cd /workspace; ln -s /etc/shadow link; ln -s / root; ln -s /tmp near; mkfifo pipe;"
        "truncate -s 60M sparse; ln -s loop loop; echo own > own; ln own hard; mkdir dir;"
        "python -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")';"
        "mkdir -p closed/in; chmod 000 closed; ln -s dir dirlink; touch $'new\\nline' $'\\xff'"
    )
    yield box
    box.kill()


def refused(answer: Answer) -> bool:
    return answer.status == 403 and answer.body["code"] in ("PATH_NOT_ALLOWED", "PERMISSION_DENIED")


@pytest.mark.parametrize("action", ["read", "download", "list"])
@pytest.mark.parametrize(
    "path",
    [
        *("/workspace/link", "/workspace/root/etc/shadow", "/workspace/loop", "/workspace/near"),
        *("/workspace/../etc/shadow", "/workspace/dir/../../etc/passwd", "/etc/shadow", "/"),
        *("/workspaces/x", "/tmp/../etc/passwd", "/proc/1/environ", "../etc/passwd"),
        "/workspace/closed/in",
    ],
)
def test_nothing_outside_is_read(trapped: Box, action: str, path: str) -> None:
    assert refused(trapped.file(action, path))


@pytest.mark.parametrize(
    "path",
    [
        *("/workspace/link", "/workspace/near/x", "/workspace/root/tmp/x", "/etc/x", "/tmp/../x"),
        *("/workspace/pipe", "/workspace/../x", "/workspace/closed/x"),
    ],
)
def test_nothing_outside_is_written(trapped: Box, path: str) -> None:
    assert refused(trapped.write(path, "planted"))


@pytest.mark.parametrize("path", ["/workspace/pipe", "/workspace/sock"])
def test_what_is_no_file_is_neither_read_nor_waited_for(trapped: Box, path: str) -> None:
    assert refused(trapped.file("read", path))
    assert refused(trapped.file("download", path))


def test_a_sparse_file_is_too_large_to_read_whole(trapped: Box) -> None:
    assert trapped.file("read", "/workspace/sparse").status == 413


def test_a_directory_through_a_link_is_not_made_or_removed(trapped: Box) -> None:
    assert refused(trapped.ask("POST", "/files/mkdir", {"path": "/workspace/root/tmp/made"}))
    assert refused(trapped.file("remove", "/workspace/near/anything", "DELETE"))


def test_removing_a_link_removes_the_link_alone(trapped: Box) -> None:
    trapped.shell("mkdir -p /workspace/kept; touch /workspace/kept/x; ln -s kept /workspace/gone")
    assert trapped.file("remove", "/workspace/gone", "DELETE").status == 200
    assert trapped.shell("ls /workspace/kept; ls -d /workspace/gone 2>/dev/null") == "x"


def test_a_tree_with_links_out_is_removed_without_following_them(trapped: Box) -> None:
    trapped.shell("mkdir -p /workspace/tree/a; ln -s /tmp /workspace/tree/t; touch /tmp/stays")
    assert trapped.file("remove", "/workspace/tree", "DELETE").status == 200
    assert trapped.shell("ls /tmp/stays; ls -d /workspace/tree 2>/dev/null") == "/tmp/stays"


def test_exists_tells_of_a_link_and_not_of_what_it_names(trapped: Box) -> None:
    answer = trapped.file("exists", "/workspace/link").body
    assert (answer["exists"], answer["is_directory"]) == (True, False)
    assert refused(trapped.file("exists", "/workspace/root/etc/shadow"))


def test_names_of_any_bytes_are_listed(trapped: Box) -> None:
    names = {file["name"] for file in trapped.file("list", "/workspace").body["files"]}
    assert {"new\nline", "\udcff", "link"} <= names


def test_a_download_is_an_attachment_that_nobody_sniffs(trapped: Box) -> None:
    answer = trapped.file("download", "/workspace/hard")
    assert answer.raw == b"own\n"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_that_arrive_belong_to_the_sandboxs_user(trapped: Box) -> None:
    path = "/workspace/arrived"
    body = {"path": path, "content": "#!/bin/sh\necho ran\n", "mode": "6755"}
    assert trapped.ask("POST", "/files/write", body).status == 200
    assert trapped.shell(f"stat -c '%a %U %G' {path}; {path}") == "755 sandbox sandbox\nran"


def test_a_full_file_system_is_told_and_does_no_harm(box: Box) -> None:
    answer = box.write("/tmp/x", "x" * 15_000_000)
    assert answer.status == 200
    assert box.write("/tmp/y", "x" * 15_000_000).status == 200
    assert box.write("/tmp/z", "x" * 15_000_000).body["code"] == "INSUFFICIENT_STORAGE"

"""Files through both SDKs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hopx_ai import Sandbox
from hopx_ai.errors import FileNotFoundError as SandboxFileNotFoundError

from tests.conformance.python.surface import covers, in_both

TEXT = "héllo\n\0end\r\n"


@in_both("Sandbox.files", "Files.write", "Files.read")
def test_text_comes_back_as_it_was_written(sandbox: Any) -> None:
    sandbox.files.write("/workspace/text", TEXT, mode="0600")
    assert sandbox.files.read("/workspace/text") == TEXT
    assert sandbox.commands.run("stat -c %a /workspace/text").stdout == "600\n"
    sandbox.files.write("/workspace/text", "shorter")
    assert sandbox.files.read("/workspace/text") == "shorter"


@in_both("Files.write_bytes", "Files.read_bytes")
@pytest.mark.parametrize("content", [bytes(range(256)), b"", os.urandom(300_000)])
def test_bytes_come_back_as_they_were_written(sandbox: Any, content: bytes) -> None:
    sandbox.files.write_bytes("/workspace/bytes", content, mode="0755")
    assert sandbox.files.read_bytes("/workspace/bytes") == content
    assert sandbox.commands.run("wc -c < /workspace/bytes").stdout == f"{len(content)}\n"


@in_both("Files.read_bytes")
def test_what_looks_like_base64_is_decoded_by_the_sdk(sandbox: Any) -> None:
    # The SDK's own: it takes content that could be base64 for something that it encoded itself.
    sandbox.files.write("/workspace/word", "abcd")
    assert sandbox.files.read_bytes("/workspace/word") == b"i\xb7\x1d"


@covers("Files.upload", "Files.download")
def test_a_file_goes_up_and_comes_down_whole(account: dict[str, str], tmp_path: Path) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    # A boundary's beginning within the content must not end it.
    sent.write_bytes(os.urandom(700_000) + b"\r\n--" * 1000 + b"\r\n")
    with Sandbox.create(template="base", timeout_seconds=120, **account) as sandbox:
        sandbox.files.upload(str(sent), "/workspace/up")
        sandbox.files.download("/workspace/up", str(received))
        assert received.read_bytes() == sent.read_bytes()
        with pytest.raises(SandboxFileNotFoundError):
            sandbox.files.download("/workspace/missing", str(received))


@in_both("Files.mkdir", "Files.list", "Files.exists", "Files.remove")
def test_directories_are_made_listed_found_and_removed(sandbox: Any) -> None:
    sandbox.files.mkdir("/workspace/a/b c")
    sandbox.files.write("/workspace/a/file", "12345", mode="0755")
    listed = {file.name: file for file in sandbox.files.list("/workspace/a")}
    assert set(listed) == {"b c", "file"}
    assert (listed["b c"].is_directory, listed["file"].is_directory) == (True, False)
    assert (listed["file"].path, listed["file"].size) == ("/workspace/a/file", 5)
    assert listed["file"].permissions == "-rwxr-xr-x"
    assert listed["file"].modified_time.tzinfo
    assert sandbox.files.exists("/workspace/a/file") is True
    sandbox.files.remove("/workspace/a/file")
    assert sandbox.files.exists("/workspace/a/file") is False
    sandbox.files.remove("/workspace/a")
    assert [file.name for file in sandbox.files.list()] == []


@in_both("Files.list", "Files.read", "Files.remove")
def test_a_missing_path_is_an_error_of_its_own(sandbox: Any) -> None:
    files = sandbox.files
    for ask in (files.read, files.read_bytes, files.remove):
        with pytest.raises(SandboxFileNotFoundError) as missing:
            ask("/workspace/missing")
        assert missing.value.path == "/workspace/missing"
    with pytest.raises(SandboxFileNotFoundError):
        files.list("/workspace/missing")
    assert files.exists("/workspace/missing") is False


@covers("Files.write", "Files.read", "Files.list")
@pytest.mark.parametrize("name", ["a&b", "a+b", "a#b", "a?b", "ü b", "%41"])
def test_any_name_is_a_name(account: dict[str, str], name: str) -> None:
    with Sandbox.create(template="base", timeout_seconds=120, **account) as sandbox:
        sandbox.files.write(f"/workspace/{name}", name)
        assert sandbox.files.read(f"/workspace/{name}") == name
        assert [file.name for file in sandbox.files.list()] == [name]


@in_both("Files.watch")
def test_changes_are_told_as_they_happen(sandbox: Any) -> None:
    sandbox.files.mkdir("/workspace/watched")
    # Again and again: nothing tells when the watch has begun.
    touch = "for i in $(seq 100); do sleep 0.1; date > /workspace/watched/new; done"
    sandbox.commands.run(touch, background=True)
    changes = sandbox.files.watch("/workspace/watched")
    change = next(item for item in changes if item["type"] == "change")
    changes.close()
    assert change["path"] == "/workspace/watched/new"
    assert change["event"] in {"created", "modified"}
    assert change["timestamp"]

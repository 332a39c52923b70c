"""The vendor's own SDK, unmodified, against the service."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import Sandbox
from hopx_ai.errors import (
    AuthenticationError,
    CodeExecutionError,
    FileOperationError,
    NotFoundError,
    RateLimitError,
    TemplateNotFoundError,
    ValidationError,
)
from hopx_ai.errors import FileNotFoundError as SandboxFileNotFoundError

from tests.integration.sandbox.client import API_KEY, Client


@pytest.fixture(scope="module")
def sdk(server: SandboxServerProcess) -> Iterator[Sandbox]:
    sandbox = make(server, timeout_seconds=120, env_vars={"GREETING": "hello", "API_TOKEN": "t"})
    yield sandbox
    sandbox.kill()


def make(server: SandboxServerProcess, **given: object) -> Sandbox:
    given = {"template": "code-interpreter", "internet_access": False} | given
    return Sandbox.create(api_key=API_KEY, base_url=server.url, **given)


def test_a_command_answers_code_and_both_streams(sdk: Sandbox) -> None:
    result = sdk.commands.run("echo out; echo err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert result.execution_time > 0


def test_a_commands_environment_is_what_was_set_and_nothing_of_the_host(sdk: Sandbox) -> None:
    printed = sdk.commands.run("env -0 | sort -z | tr '\\0' '\\n'", env={"ONE": "1"}).stdout
    names = {line.partition("=")[0] for line in printed.splitlines()}
    shells_own = {"PWD", "SHLVL", "_"}
    expected = {"PATH", "HOME", "LANG", "TMPDIR", "USER", "LOGNAME", "GREETING", "API_TOKEN", "ONE"}
    assert names - shells_own == expected
    assert "GREETING=hello" in printed


def test_a_commands_own_variables_win(sdk: Sandbox) -> None:
    assert sdk.commands.run("echo $GREETING", env={"GREETING": "bye"}).stdout == "bye\n"


def test_commands_start_in_the_workspace_or_where_they_are_told(sdk: Sandbox) -> None:
    assert sdk.commands.run("pwd").stdout == "/workspace\n"
    assert sdk.commands.run("pwd", working_dir="/tmp").stdout == "/tmp\n"


def test_a_working_directory_that_is_not_there_is_an_error_and_not_a_result(sdk: Sandbox) -> None:
    with pytest.raises(FileOperationError) as refused:
        sdk.commands.run("true", working_dir="/nowhere")
    assert refused.value.code == "INVALID_PATH"


def test_a_command_over_its_time_is_killed_and_told_apart(sdk: Sandbox) -> None:
    with pytest.raises(CodeExecutionError) as late:
        sdk.commands.run("sleep 30", timeout=1)
    assert (late.value.code, late.value.status_code) == ("EXECUTION_TIMEOUT", 408)
    assert late.value.request_id


def test_a_background_command_runs_on(sdk: Sandbox) -> None:
    result = sdk.commands.run("echo ran > /tmp/ran; sleep 60", background=True)
    assert re.fullmatch(r"Background process started: cmd_\d+", result.stdout)
    sdk.commands.run("until [ -s /tmp/ran ]; do sleep 0.01; done")
    assert sdk.commands.run("pgrep -fc 'sleep 60'").exit_code == 0


def test_python_pip_and_node_are_there(sdk: Sandbox) -> None:
    result = sdk.commands.run(
        "python -c 'import ssl, sqlite3; print(1)' && python3 -V && pip --version"
    )
    assert result.exit_code == 0, result.stderr
    if Path("/usr/bin/node").exists():
        assert sdk.commands.run("node -p 1+1").stdout == "2\n"


def test_the_hosts_own_packages_are_not_there(sdk: Sandbox) -> None:
    assert "No module named" in sdk.commands.run("python -c 'import pytest'").stderr
    assert "No module named" in sdk.commands.run("python3 -c 'import boto3'").stderr


def test_text_comes_back_as_it_was_written(sdk: Sandbox) -> None:
    sdk.files.write("/workspace/text", "héllo\n\0end")
    assert sdk.files.read("/workspace/text") == "héllo\n\0end"


def test_bytes_come_back_as_they_were_written(sdk: Sandbox) -> None:
    sdk.files.write_bytes("/workspace/bytes", bytes(range(256)))
    assert sdk.files.read_bytes("/workspace/bytes") == bytes(range(256))


def test_a_file_goes_up_and_comes_down_whole(sdk: Sandbox, tmp_path: Path) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    # A boundary's beginning within the content must not end it.
    sent.write_bytes(os.urandom(700_000) + b"\r\n--" * 1000 + b"\r\n")
    sdk.files.upload(str(sent), "/workspace/up")
    sdk.files.download("/workspace/up", str(received))
    assert received.read_bytes() == sent.read_bytes()


def test_directories_are_made_listed_found_and_removed(sdk: Sandbox) -> None:
    sdk.files.mkdir("/workspace/a/b c")
    sdk.files.write("/workspace/a/file", "12345", mode="0755")
    listed = {file.name: file for file in sdk.files.list("/workspace/a")}
    assert listed["b c"].is_directory
    assert (listed["file"].size, listed["file"].permissions) == (5, "-rwxr-xr-x")
    assert listed["file"].modified_time.tzinfo
    assert sdk.files.exists("/workspace/a/b c")
    sdk.files.remove("/workspace/a")
    assert not sdk.files.exists("/workspace/a")


def test_a_missing_file_and_a_forbidden_one_are_told_apart(sdk: Sandbox) -> None:
    with pytest.raises(SandboxFileNotFoundError):
        sdk.files.read("/workspace/missing")
    with pytest.raises(FileOperationError) as refused:
        sdk.files.read("/etc/shadow")
    assert refused.value.code == "PATH_NOT_ALLOWED"
    with pytest.raises(FileOperationError) as homeless:
        sdk.files.write("/workspace/no/such/folder", "")
    assert homeless.value.code == "DIRECTORY_NOT_FOUND"


def test_variables_are_set_merged_masked_and_applied(sdk: Sandbox) -> None:
    sdk.env.update({"ADDED": "1"})
    assert sdk.env.get_all() == {"GREETING": "hello", "API_TOKEN": "***MASKED***", "ADDED": "1"}
    assert sdk.commands.run("echo $API_TOKEN$ADDED").stdout == "t1\n"
    sdk.env.set_all({"GREETING": "hello", "API_TOKEN": "t"})
    assert sdk.commands.run("echo [$ADDED]").stdout == "[]\n"


def test_information_is_what_was_asked_for(sdk: Sandbox) -> None:
    info = sdk.get_info()
    assert (info.status, info.template_name) == ("running", "code-interpreter")
    assert (info.internet_access, info.timeout_seconds) == (False, 120)
    assert info.resources.memory_mb == 256
    assert info.expires_at > info.created_at


def test_a_second_client_connects_and_the_first_one_goes_on(
    sdk: Sandbox, server: SandboxServerProcess
) -> None:
    first = sdk.get_token()
    second = Sandbox.connect(sdk.sandbox_id, api_key=API_KEY, base_url=server.url)
    assert second.get_token() != first
    assert second.commands.run("echo second").stdout == "second\n"
    assert sdk.commands.run("echo first").stdout == "first\n"


def test_a_wrong_token_is_renewed_by_the_sdk(sdk: Sandbox) -> None:
    sdk.commands.run("true")
    sdk._agent_client.update_jwt_token("wrong")
    assert sdk.commands.run("echo renewed").stdout == "renewed\n"


def test_a_killed_sandbox_is_gone_for_good(server: SandboxServerProcess) -> None:
    sandbox = make(server)
    sandbox.kill()
    with pytest.raises(NotFoundError):
        sandbox.kill()
    with pytest.raises(NotFoundError):
        sandbox.get_info()


def test_a_sandbox_ends_with_its_time_and_a_new_time_counts_from_now(
    server: SandboxServerProcess, client: Client
) -> None:
    sandbox = make(server, timeout_seconds=600)
    sandbox.set_timeout(1)
    began = time.monotonic()
    # The command holds the connection until the sandbox ends under it: nothing to wait by guess.
    with pytest.raises(Exception, match="ended"):
        sandbox.commands.run("sleep 60")
    assert 0.5 < time.monotonic() - began < 5
    with pytest.raises(NotFoundError):
        sandbox.get_info()


def test_a_wrong_key_opens_nothing(server: SandboxServerProcess) -> None:
    with pytest.raises(AuthenticationError):
        Sandbox.create(template="base", api_key="wrong", base_url=server.url)


def test_an_unknown_template_is_told_with_those_that_exist(server: SandboxServerProcess) -> None:
    with pytest.raises(TemplateNotFoundError) as unknown:
        make(server, template="code-interpeter")
    assert set(unknown.value.available_templates) >= {"base", "code-interpreter"}


def test_templates_are_listed_and_usable_by_id(server: SandboxServerProcess) -> None:
    names = {"api_key": API_KEY, "base_url": server.url}
    templates = Sandbox.list_templates(**names)
    assert [template.name for template in templates][:2] == ["base", "code-interpreter"]
    assert Sandbox.get_template("base", **names).is_active
    sandbox = make(server, template=None, template_id=templates[0].id)
    assert sandbox.get_info().template_name == "base"
    sandbox.kill()


def test_a_malformed_request_is_a_validation_error(server: SandboxServerProcess) -> None:
    with pytest.raises(ValidationError):
        make(server, timeout_seconds=-1)


def test_too_many_sandboxes_are_refused_with_a_time_to_come_back(
    server: SandboxServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(sleep=waits.append, time=time.time)
    monkeypatch.setattr("hopx_ai._client.time", clock)
    with SandboxServerProcess(API_KEY, options=("--max-sandboxes", "1")) as small:
        kept = make(small)
        assert waits == [], "a server that has announced itself has room for all it may"
        with pytest.raises(RateLimitError) as full:
            make(small)
        assert full.value.retry_after == 1
        kept.kill()
        make(small).kill()
    assert waits == [1.0, 1.0, 1.0]

"""Templates (the server's images): built, used and deleted through both SDKs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hopx_ai.template as sdk_template
import pytest
from hopx_ai import AsyncSandbox, Sandbox
from hopx_ai.errors import NotFoundError, TemplateBuildError
from hopx_ai.template import BuildOptions, BuildResult, Template, build_flow
from hopx_ai.template.types import CreateVMOptions, RegistryAuth

from tests.conformance.python.blocking import Blocking
from tests.conformance.python.surface import covers, in_both

Account = dict[str, str]
Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks every two or three seconds for what is there in a moment."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.05)

    monkeypatch.setattr(build_flow, "asyncio", SimpleNamespace(sleep=sleep))


@pytest.fixture
def build(account: Account) -> Build:
    async def build(template: Template, **given: Any) -> BuildResult:
        wanted = {"name": f"t-{secrets.token_hex(4)}", "cpu": 1, "memory": 512, "disk_gb": 1}
        return await Template.build(template, BuildOptions(**wanted, **account, **given))

    return build


@covers(
    "Template.build",
    "BuildResult.create_vm",
    "BuildResult.get_logs",
    "VM.delete",
    "template.get_logs",
)
def test_a_template_is_built_and_used(
    build: Build, account: Account, runner: asyncio.Runner, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "data").write_text("from the host")
    # A sandbox with a network shares the machine's ports.
    port = free_port()
    lines: list[str] = []
    progress: list[int] = []
    template = (
        Template()
        .from_python_image("3.11")
        .set_env("STEP", "one")
        .set_workdir("/workspace/made")
        .copy("app/**", "/workspace/made/")
        .run_cmd("echo $STEP > here; echo said in the build")
        .set_start_cmd(f"python3 -m http.server {port}", sdk_template.wait_for_port(port))
    )
    fetch = f"python3 -c '{_FETCH}' {port}"

    async def scenario() -> None:
        result = await build(
            template,
            context_path=str(tmp_path),
            on_log=lambda entry: lines.append(entry["message"]),
            on_progress=progress.append,
        )
        assert any("said in the build" in line for line in lines)
        assert progress == [100]
        logs = await result.get_logs()
        assert "said in the build" in logs.logs
        assert logs.complete
        again = await sdk_template.get_logs(
            result.template_id, account["api_key"], logs.offset, account["base_url"]
        )
        assert again.logs == ""
        vm = await result.create_vm(CreateVMOptions(env_vars={"MINE": "1"}))
        sandbox = await AsyncSandbox.connect(vm.vm_id, **account)
        ran = await sandbox.commands.run("cat here data; echo; echo $MINE; " + fetch, **_MADE)
        assert ran.stdout == "one\nfrom the host\n1\n200\n", ran.stderr
        await vm.delete()
        with pytest.raises(NotFoundError):
            await sandbox.get_info()
        await AsyncSandbox.delete_template(result.template_id, **account)

    runner.run(scenario())


_MADE = {"working_dir": "/workspace/made"}
_FETCH = (
    "import sys, urllib.request as u; "
    'print(u.urlopen("http://localhost:" + sys.argv[1], timeout=5).status)'
)


def free_port() -> int:
    """A port that nobody listens at, and that no system hands out to whoever wants any."""
    for port in random.SystemRandom().sample(range(15_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    message = "no port is free"
    raise OSError(message)


@covers("Template.build", "Sandbox.create")
def test_what_a_build_left_is_in_every_sandbox_and_each_ones_own(
    build: Build, account: Account, runner: asyncio.Runner
) -> None:
    template = Template("base").run_cmd("echo built > /workspace/file")
    built = runner.run(build(template))
    first, second = (
        Sandbox.create(template_id=built.template_id, timeout_seconds=120, **account)
        for _ in range(2)
    )
    first.files.write("/workspace/file", "changed")
    assert second.files.read("/workspace/file") == "built\n"
    with Sandbox.create(template_id=built.template_id, timeout_seconds=120, **account) as third:
        assert third.files.read("/workspace/file") == "built\n"
    first.kill()
    second.kill()
    Sandbox.delete_template(built.template_id, **account)


@covers(
    "Template.build",
    "template.wait_for_file",
    "template.wait_for_url",
    "template.wait_for_process",
    "template.wait_for_command",
)
def test_every_ready_check_is_waited_for(
    build: Build, account: Account, runner: asyncio.Runner
) -> None:
    port = free_port()
    slow = f"sleep 0.3; touch /tmp/ready; exec python3 -m http.server {port}"
    checks = [
        sdk_template.wait_for_file("/tmp/ready", interval=50),
        sdk_template.wait_for_url(f"http://localhost:{port}/", interval=50),
        sdk_template.wait_for_process("python3", interval=50),
        sdk_template.wait_for_command("test -e /tmp/ready", interval=50),
    ]

    async def scenario() -> None:
        for check in checks:
            template = Template("base").run_cmd("true").set_start_cmd(slow, check)
            result = await build(template)
            vm = await result.create_vm()
            sandbox = await AsyncSandbox.connect(vm.vm_id, **account)
            assert (await sandbox.commands.run("test -e /tmp/ready")).exit_code == 0, check
            await vm.delete()
            await AsyncSandbox.delete_template(result.template_id, **account)

    runner.run(scenario())


@covers("Template.build", "Template.pip_install", "Template.npm_install", "Template.git_clone")
def test_packages_are_installed_from_what_was_copied(
    build: Build, account: Account, runner: asyncio.Runner, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "package.json").write_text('{"name": "mine", "version": "1.0.0"}')
    (package / "requirements.txt").write_text("# nothing that the network would be needed for\n")
    template = (
        Template("base")
        .copy("package/**", "/workspace/package/")
        .set_workdir("/workspace/package")
        .pip_install()
        .run_cmd("git init -q /tmp/origin || true")
    )
    if Path("/usr/bin/npm").exists():
        template.npm_install()
    if Path("/usr/bin/git").exists():
        template.git_clone("/tmp/origin", "/workspace/clone")
    built = runner.run(build(template, context_path=str(tmp_path)))
    Sandbox.delete_template(built.template_id, **account)


@covers(
    "Template.build",
    "Template.from_ubuntu_image",
    "Template.from_python_image",
    "Template.from_node_image",
)
def test_the_images_that_the_sdk_has_names_for_are_there(
    build: Build, account: Account, runner: asyncio.Runner
) -> None:
    for template in (
        Template().from_ubuntu_image("22.04"),
        Template().from_python_image("3.12-slim"),
        Template().from_node_image("20"),
    ):
        built = runner.run(build(template.run_cmd("python3 --version")))
        Sandbox.delete_template(built.template_id, **account)


@covers("Template.build")
def test_a_step_that_fails_fails_the_build_and_says_which(
    build: Build, runner: asyncio.Runner
) -> None:
    template = Template("base").run_cmd("echo reason >&2; exit 9")
    with pytest.raises(TemplateBuildError) as failed:
        runner.run(build(template))
    metadata = failed.value.metadata
    assert metadata.build_status == "failed"
    assert "9" in str(failed.value)


@covers("Template.build")
def test_a_name_is_taken_once_and_updated_when_that_is_said(
    build: Build, account: Account, runner: asyncio.Runner
) -> None:
    name = f"t-{secrets.token_hex(4)}"
    options = {"cpu": 1, "memory": 512, "disk_gb": 1, **account}

    def built(number: int, update: bool) -> BuildResult:
        template = Template("base").run_cmd(f"echo {number} > /workspace/number")
        return runner.run(
            Template.build(template, BuildOptions(name=name, update=update, **options))
        )

    with pytest.raises(Exception, match=r"Build trigger failed \(404\)"):
        built(0, update=True)
    built(1, update=False)
    with pytest.raises(Exception, match=r"Build trigger failed \(409\)"):
        built(2, update=False)
    result = built(3, update=True)
    with Sandbox.create(template=name, timeout_seconds=60, **account) as sandbox:
        assert sandbox.files.read("/workspace/number") == "3\n"
    Sandbox.delete_template(result.template_id, **account)


@covers("Template.build", "Template.from_private_image")
def test_a_registrys_image_is_refused_without_telling_its_password(
    build: Build, runner: asyncio.Runner
) -> None:
    private = Template().from_private_image("registry.example/i:1", RegistryAuth("me", "hunter2"))
    with pytest.raises(Exception, match=r"Build trigger failed \(400\)") as refused:
        runner.run(build(private.run_cmd("true")))
    assert "hunter2" not in str(refused.value)


@in_both("Sandbox.delete_template")
def test_a_deleted_template_is_gone(
    sdk: Blocking, build: Build, account: Account, runner: asyncio.Runner
) -> None:
    built = runner.run(build(Template("base").run_cmd("true")))
    assert sdk.get_template(built.template_id, **account).status == "active"
    sdk.delete_template(built.template_id, **account)
    for ask in (sdk.get_template, sdk.delete_template):
        with pytest.raises(NotFoundError):
            ask(built.template_id, **account)

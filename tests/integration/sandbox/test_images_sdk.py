"""The vendor's own template builder, unmodified, against the service."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from glovebox_local.sandbox.server import SandboxServerProcess
from hopx_ai import AsyncSandbox, Sandbox
from hopx_ai.errors import TemplateBuildError
from hopx_ai.template import BuildOptions, Template, wait_for_file, wait_for_port
from hopx_ai.template.types import BuildResult, LogsResponse

from tests.integration.sandbox.client import API_KEY, Client
from tests.integration.sandbox.image_building import fresh_name

SERVER = "python -m http.server 8123 --directory /app"


@dataclass(frozen=True)
class Built:
    """What the builder gave back, and what it said meanwhile."""

    name: str
    result: BuildResult
    said: list[str]
    logs: LogsResponse


def wheel(folder: Path) -> str:
    """A package of one line; returns the file's name."""
    name = "tinything-1.0-py3-none-any.whl"
    info = "tinything-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("tinything.py", "VALUE = 42\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return name


def options(server: SandboxServerProcess, folder: Path, **given: object) -> BuildOptions:
    chosen = {"name": fresh_name(), "api_key": API_KEY, "base_url": server.url, "cpu": 1}
    return BuildOptions(**{**chosen, "context_path": str(folder), **given})


@pytest.fixture(scope="module")
def built(
    server: SandboxServerProcess, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("context")
    (folder / "app" / "static").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("print('main')\n")
    (folder / "app" / "static" / "page").write_text("a page\n")
    package = wheel(folder)
    template = (
        Template()
        .from_python_image("3.11")
        .copy("app/", "/app/")
        .copy([package, "app/main.py"], "/workspace/")
        .set_workdir("/workspace")
        .pip_install(f"./{package}")
        .set_env("GREETING", "hello")
        .run_cmd('echo "$GREETING from the build" > said')
        .set_start_cmd(SERVER, wait_for_port(8123, timeout=20_000, interval=50))
    )
    said: list[str] = []
    chosen = options(server, folder, on_log=lambda entry: said.append(entry["message"]))

    async def build() -> tuple[BuildResult, LogsResponse]:
        result = await Template.build(template, chosen)
        return result, await result.get_logs()

    result, logs = asyncio.run(build())
    yield Built(chosen.name, result, said, logs)
    assert client.ask("DELETE", f"/v1/templates/{result.template_id}").status == 200


@pytest.fixture(scope="module")
def sandbox(server: SandboxServerProcess, built: Built) -> Iterator[Sandbox]:
    sandbox = Sandbox.create(
        template=built.name, api_key=API_KEY, base_url=server.url, internet_access=False
    )
    yield sandbox
    sandbox.kill()


@pytest.mark.needs_root
def test_copied_files_lie_where_the_steps_say(sandbox: Sandbox) -> None:
    found = sandbox.commands.run("cd /app && find . -type f | sort && ls /workspace").stdout.split()
    assert found[:2] == ["./main.py", "./static/page"]
    assert {"main.py", "said"} <= set(found[2:])


@pytest.mark.needs_root
def test_installed_packages_and_the_environment_are_there(sandbox: Sandbox) -> None:
    assert (
        sandbox.commands.run("python -c 'import tinything as t; print(t.VALUE)'").stdout == "42\n"
    )
    assert sandbox.commands.run("echo $GREETING; cat said").stdout == (
        "hello\nhello from the build\n"
    )
    assert sandbox.env.get_all()["GREETING"] == "hello"


@pytest.mark.needs_root
def test_the_start_command_runs_in_every_sandbox_and_is_ready(sandbox: Sandbox) -> None:
    page = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8123/static/page').read())"
    )
    assert sandbox.commands.run(f'python -c "{page}"').stdout == "b'a page\\n'\n"


@pytest.mark.needs_root
def test_the_log_tells_every_step(built: Built) -> None:
    for told in ("Step 1/6: COPY", "Successfully installed tinything", "stands in", "Start:"):
        assert any(told in line for line in built.said), built.said
    assert built.logs.complete
    assert built.logs.status == "active"
    assert "Step 6/6: RUN" in built.logs.logs


@pytest.mark.needs_root
def test_the_sdk_lists_and_gets_it(server: SandboxServerProcess, built: Built) -> None:
    listed = Sandbox.list_templates(api_key=API_KEY, base_url=server.url)
    assert {"base", "code-interpreter", built.name} <= {template.name for template in listed}
    template = Sandbox.get_template(built.name, api_key=API_KEY, base_url=server.url)
    assert (template.id, template.status) == (built.result.template_id, "active")
    assert template.is_public is False


@pytest.mark.needs_root
def test_the_async_sdk_starts_it_too(server: SandboxServerProcess, built: Built) -> None:
    async def use() -> str:
        sandbox = await AsyncSandbox.create(
            template_id=built.result.template_id,
            api_key=API_KEY,
            base_url=server.url,
            internet_access=False,
        )
        try:
            return str((await sandbox.commands.run("cat said")).stdout)
        finally:
            await sandbox.kill()

    assert asyncio.run(use()) == "hello from the build\n"


def test_a_failing_step_is_the_builders_error(server: SandboxServerProcess, tmp_path: Path) -> None:
    template = Template("base").run_cmd("echo why it failed; exit 7")
    chosen = options(server, tmp_path)
    with pytest.raises(TemplateBuildError) as failed:
        asyncio.run(Template.build(template, chosen))
    assert "step 1 ended with exit code 7" in str(failed.value)
    logs = Client(server.url).ask(
        "GET", f"/v1/templates/build/{failed.value.metadata.build_id}/logs"
    )
    assert "why it failed" in logs.body["logs"]
    assert Client(server.url).ask("DELETE", f"/v1/templates/{chosen.name}").status == 200


def test_an_image_that_does_not_start_is_not_built(
    server: SandboxServerProcess, tmp_path: Path
) -> None:
    template = (
        Template("base")
        .run_cmd("true")
        .set_start_cmd("echo no use; sleep 60", wait_for_file("/workspace/never", 300, 50))
    )
    chosen = options(server, tmp_path)
    with pytest.raises(TemplateBuildError) as failed:
        asyncio.run(Template.build(template, chosen))
    assert Client(server.url).ask("DELETE", f"/v1/templates/{chosen.name}").status == 200
    assert "not ready in 0.3 s (file /workspace/never): no use" in str(failed.value)

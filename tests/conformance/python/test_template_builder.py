"""The builder of templates: the steps that the server is asked for, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import hopx_ai.template as sdk
import pytest
from hopx_ai.template import ReadyCheckType, StepType, Template
from hopx_ai.template.types import AWSRegistryAuth, GCPRegistryAuth, RegistryAuth

from tests.conformance.python.surface import covers


def _lines(template: Template) -> list[str]:
    assert all(step.type == StepType.RUN for step in template.get_steps())
    return [step.args[0] for step in template.get_steps()]


@covers(
    "template.create_template",
    "Template.get_from_image",
    "Template.from_ubuntu_image",
    "Template.from_python_image",
    "Template.from_node_image",
)
def test_a_template_begins_with_an_image() -> None:
    assert sdk.create_template("base").get_from_image() == "base"
    assert Template().from_ubuntu_image("24.04").get_from_image() == "ubuntu:24.04"
    assert Template().from_python_image("3.12").get_from_image() == "python:3.12"
    assert Template().from_node_image("20").get_from_image() == "node:20-slim"


@covers(
    "Template.from_private_image",
    "Template.from_gcp_private_image",
    "Template.from_aws_private_image",
    "Template.get_registry_auth",
)
def test_a_registry_is_opened_with_a_name_and_a_password(tmp_path: Path) -> None:
    private = Template().from_private_image("r.example/i", RegistryAuth("me", "secret"))
    assert private.get_registry_auth() == RegistryAuth("me", "secret")
    account = tmp_path / "account.json"
    account.write_text(json.dumps({"key": 1}))
    google = Template().from_gcp_private_image("g", GCPRegistryAuth(str(account)))
    assert google.get_registry_auth() == RegistryAuth("_json_key", '{"key": 1}')
    amazon = Template().from_aws_private_image("a", AWSRegistryAuth("id", "key", "us-east-1"))
    assert amazon.get_registry_auth() == RegistryAuth("id", "key")


@covers(
    "Template.run_cmd",
    "Template.apt_install",
    "Template.pip_install",
    "Template.npm_install",
    "Template.go_install",
    "Template.cargo_install",
    "Template.git_clone",
)
def test_what_is_installed_is_a_command_with_full_paths() -> None:
    template = (
        Template("base")
        .run_cmd("echo 1")
        .apt_install("a", ["b", "c"])
        .pip_install("d")
        .pip_install()
        .npm_install("e")
        .npm_install()
        .go_install(["f"])
        .cargo_install(["g"])
        .git_clone("u", "/d")
    )
    assert _lines(template) == [
        "echo 1",
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y a b c",
        "/usr/local/bin/pip3 install --no-cache-dir d",
        "/usr/local/bin/pip3 install --no-cache-dir -r requirements.txt",
        "/usr/local/bin/npm install -g e",
        "/usr/local/bin/npm install",
        "go install f",
        "cargo install g",
        "git clone u /d",
    ]


@covers(
    "Template.copy",
    "Template.set_env",
    "Template.set_envs",
    "Template.set_workdir",
    "Template.set_user",
    "Template.get_steps",
    "Template.skip_cache",
)
def test_the_other_steps_have_types_of_their_own() -> None:
    template = (
        Template("base")
        .copy(["a", "b/**"], "/workspace/")
        .set_env("A", "1")
        .set_envs({"B": "2"})
        .set_workdir("/workspace/w")
        .set_user("user")
        .skip_cache()
    )
    assert [(step.type.value, step.args) for step in template.get_steps()] == [
        ("COPY", ["a,b/**", "/workspace/"]),
        ("ENV", ["A", "1"]),
        ("ENV", ["B", "2"]),
        ("WORKDIR", ["/workspace/w"]),
        ("USER", ["user"]),
    ]
    assert [step.skip_cache for step in template.get_steps()] == [False] * 4 + [True]


@covers(
    "Template.set_start_cmd",
    "Template.get_start_cmd",
    "Template.get_ready_check",
    "template.wait_for_port",
    "template.wait_for_url",
    "template.wait_for_file",
    "template.wait_for_process",
    "template.wait_for_command",
)
def test_a_start_command_is_waited_for() -> None:
    checks = {
        ReadyCheckType.PORT: sdk.wait_for_port(80),
        ReadyCheckType.URL: sdk.wait_for_url("http://localhost:80/"),
        ReadyCheckType.FILE: sdk.wait_for_file("/tmp/ready"),
        ReadyCheckType.PROCESS: sdk.wait_for_process("sleep"),
        ReadyCheckType.COMMAND: sdk.wait_for_command("true", timeout=5, interval=1),
    }
    for kind, check in checks.items():
        template = Template("base").set_start_cmd("sleep 600", check)
        assert template.get_start_cmd() == "sleep 600"
        ready = template.get_ready_check()
        assert ready is not None
        assert ready.type == kind


@covers("Template.add_metadata", "Template.get_metadata")
def test_metadata_is_kept() -> None:
    template = Template("base").add_metadata("agent_version", "3.2.8")
    assert template.get_metadata() == {"agent_version": "3.2.8"}


@covers("Template.apt_install", "Template.pip_install", "Template.npm_install")
def test_nothing_to_install_is_an_error() -> None:
    for install in (
        Template("base").apt_install,
        lambda: Template("base").pip_install([]),
        lambda: Template("base").npm_install([]),
    ):
        with pytest.raises(ValueError, match="requires at least one package"):
            install()

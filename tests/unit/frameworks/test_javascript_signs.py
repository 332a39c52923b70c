"""What a source's files say of its JavaScript framework. package.json is untrusted."""

from __future__ import annotations

import json

import pytest
from glovebox.domain.manifest import FrameworkName, Suite
from glovebox.frameworks.contract import Detection
from glovebox.frameworks.registry import framework_of

from tests.unit.frameworks.test_detection import Folder

NAMES = ("jest", "vitest", "mocha", "node:test", "playwright")


def detect(framework: str, files: dict[str, str]) -> Detection | None:
    suite = Suite(name="unit", framework=FrameworkName(framework))
    return framework_of(suite).detect(Folder(files))


def package(**about: object) -> dict[str, str]:
    return {"package.json": json.dumps(about)}


@pytest.mark.parametrize(
    ("framework", "files", "because"),
    [
        ("jest", {"jest.config.ts": ""}, "jest.config.ts is there"),
        ("jest", package(jest={}), "package.json has jest"),
        ("jest", package(devDependencies={"jest": "^30"}), "has jest in devDependencies"),
        ("vitest", {"vitest.config.mts": ""}, "vitest.config.mts is there"),
        ("vitest", package(dependencies={"vitest": "5"}), "has vitest in dependencies"),
        ("mocha", {".mocharc.yml": ""}, ".mocharc.yml is there"),
        ("mocha", package(devDependencies={"mocha": "12"}), "has mocha in devDependencies"),
        ("playwright", {"playwright.config.ts": ""}, "playwright.config.ts is there"),
        ("playwright", package(devDependencies={"@playwright/test": "1"}), "@playwright/test"),
        ("node:test", package(scripts={"test": "node --test"}), "its script test"),
        ("node:test", package(scripts={"t": "node --import tsx --test a"}), "its script t"),
    ],
)
def test_what_belongs_to_one_framework_alone_makes_certain(
    framework: str, files: dict[str, str], because: str
) -> None:
    found = detect(framework, files)
    assert found is not None
    assert found.certain
    assert because in found.because
    others = [name for name in NAMES if name != framework]
    assert not any(detect(other, files) for other in others)


@pytest.mark.parametrize("framework", NAMES)
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 60_000, '{"devDependencies": ["jest"], "scripts": 7}', "\x00"],
)
def test_a_package_json_that_is_none_tells_nothing(framework: str, text: str) -> None:
    assert detect(framework, {"package.json": text, "a.test.js": ""}) is None


@pytest.mark.parametrize("script", ["node --test-reporter=x a.js", "mynode-test", "jest && --test"])
def test_a_script_that_only_looks_like_it_is_not_node_test(script: str) -> None:
    assert detect("node:test", package(scripts={"test": script})) is None


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        ({"package-lock.json": ""}, ("npm ci",)),
        ({"pnpm-lock.yaml": ""}, ("npx --yes pnpm install --frozen-lockfile",)),
        ({"yarn.lock": ""}, ("npx --yes yarn install --frozen-lockfile",)),
        ({}, ("npm install",)),
    ],
)
def test_the_setup_installs_what_the_lock_file_names(
    files: dict[str, str], setup: tuple[str, ...]
) -> None:
    found = detect("jest", {**files, **package(devDependencies={"jest": "30"})})
    assert found is not None
    assert found.setup == setup


def test_a_package_without_dependencies_needs_no_setup() -> None:
    found = detect("node:test", package(scripts={"test": "node --test"}))
    assert found is not None
    assert found.setup == ()

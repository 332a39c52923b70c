"""AWS's own tools accept the stack, and what `sam build` makes can be imported."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from statelint.linter import Linter

from tests.stack.definitions import NOUNS, ROOT, STATE_MACHINE, TEMPLATE, logical_id

SAM = ROOT / ".venv-sam" / "bin" / "sam"
CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
RUNTIME = "python3.13"
LAYER_LIMIT_BYTES = 250 * 1024 * 1024
# statelint checks the States Language itself; the kind of an S3 item is AWS's addition to it.
NOT_IN_THE_LANGUAGE = [
    'Field "InputType" not allowed in State Machine.States.Launch.ItemReader.ReaderConfig'
]


def _run(argv: list[str | Path], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=540,
        check=False,
    )


def _sam(
    argv: list[str | Path], cwd: Path, app: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    if not SAM.is_file():
        pytest.fail(f"{SAM.relative_to(ROOT)} is missing: run `make setup`, which installs it")
    return _run(
        [SAM, *argv],
        cwd,
        SAM_CLI_TELEMETRY="0",
        __SAM_CLI_APP_DIR=str(app),
        AWS_DEFAULT_REGION="eu-central-1",
        **env,
    )


def test_cfn_lint_has_nothing_to_say() -> None:
    done = _run([Path(sys.executable).with_name("cfn-lint"), TEMPLATE], ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def test_checkov_has_nothing_to_say_but_what_is_answered_in_place() -> None:
    if not CHECKOV.is_file():
        pytest.fail(f"{CHECKOV.relative_to(ROOT)} is missing: run `make tools`")
    command: list[str | Path] = [CHECKOV, "--file", TEMPLATE, "--framework", "cloudformation"]
    done = _run([*command, "--skip-download", "--compact", "--output", "json"], ROOT)
    found = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    assert found["parsing_errors"] == []
    assert [(c["check_id"], c["resource"]) for c in found["failed_checks"]] == []
    assert found["passed_checks"]
    # An answer to what nobody asks is out of date.
    answered = re.findall(
        r"^    # checkov:skip=(CKV_AWS_\d+): \S.{20,}$", TEMPLATE.read_text(), re.M
    )
    assert sorted(c["check_id"] for c in found["skipped_checks"]) == sorted(answered)


def test_statelint_has_nothing_to_say() -> None:
    filled = re.sub(
        r"\$\{(\w+)\}", r"arn:aws:service:eu-central-1:123456789012:\1", STATE_MACHINE.read_text()
    )
    assert Linter.validate(filled) == NOT_IN_THE_LANGUAGE


def test_sam_validates_the_template(tmp_path: Path) -> None:
    done = _sam(["validate", "--lint", "--template-file", TEMPLATE], ROOT, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "is a valid SAM Template" in done.stdout


def _interpreter() -> Path | None:
    """A real python3.13: SAM refuses a version manager's shim, which is a script."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    managers = [
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions",
        Path.home() / ".local" / "share" / "uv" / "python",
        Path.home() / ".local" / "share" / "mise" / "installs" / "python",
        Path.home() / ".asdf" / "installs" / "python",
    ]
    for manager in managers:
        folders += sorted(manager.glob("*3.13*/bin"))
    for folder in folders:
        candidate = folder / RUNTIME
        if candidate.is_file() and os.access(candidate, os.X_OK):
            with candidate.open("rb") as file:
                if file.read(2) != b"#!":
                    return candidate
    return None


@dataclass(frozen=True)
class Built:
    """What `sam build` left."""

    folder: Path
    interpreter: Path
    seconds: float

    @property
    def core(self) -> Path:
        return self.folder / "CoreLayer" / "python"

    @property
    def deps(self) -> Path:
        return self.folder / "DepsLayer" / "python"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build of a copy of the tree, so that nothing is left in the real one."""
    interpreter = _interpreter()
    if interpreter is None:
        pytest.skip(f"no real {RUNTIME} on this machine; `sam build --use-container` needs none")
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("functions", "layers", "statemachine"):
        shutil.copytree(
            ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for file in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / file, tree / file)
    target = tmp_path_factory.mktemp("built")
    started = time.monotonic()
    done = _sam(
        ["build", "--build-dir", target, "--cache-dir", tree / ".cache"],
        tree,
        tmp_path_factory.mktemp("app"),
        PATH=os.pathsep.join([str(interpreter.parent), os.environ["PATH"]]),
    )
    assert done.returncode == 0, done.stdout
    return Built(target, interpreter, time.monotonic() - started)


def _sources(folder: Path) -> set[Path]:
    """The files of a package, without what Python or an editor leaves beside them."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_core_layer_is_the_package_glovebox(
    built: Built, record_property: Callable[[str, object], None]
) -> None:
    record_property("sam_build_seconds", round(built.seconds, 1))
    source = ROOT / "layers" / "core" / "glovebox"
    assert _sources(built.core / "glovebox") == _sources(source)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_dependency_layer_is_for_the_runtime(built: Built) -> None:
    assert (built.deps / "hopx_ai" / "__init__.py").is_file()
    compiled = [path.name for path in built.deps.rglob("*.so")]
    assert compiled
    assert all("cpython-313-x86_64" in name or "abi3" in name for name in compiled)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_layers_stay_within_lambdas_limit(built: Built) -> None:
    size = sum(
        path.stat().st_size
        for layer in (built.core, built.deps)
        for path in layer.rglob("*")
        if path.is_file()
    )
    assert size < LAYER_LIMIT_BYTES


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the layers are built for Linux on x86_64",
)
@pytest.mark.parametrize("noun", NOUNS)
def test_a_built_function_imports_with_nothing_but_its_layers(built: Built, noun: str) -> None:
    function = built.folder / logical_id(noun)
    done = subprocess.run(
        [
            built.interpreter,
            "-S",
            "-B",
            "-c",
            "import app, glovebox, boto3, sys; assert callable(app.lambda_handler); "
            "print(glovebox.__file__, boto3.__file__)",
        ],
        cwd=function,
        # As Lambda sets it: the function's folder, then /opt/python, where layers are unpacked.
        env={"PYTHONPATH": os.pathsep.join(map(str, (function, built.core, built.deps)))},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(built.folder)) == 2

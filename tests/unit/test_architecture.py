"""The direction of imports: domain ← ports ← usecases ← functions → adapters → vendors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers/core/glovebox"

# Room, then what it may import of ours, and which third parties.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "domain": ({"glovebox.domain"}, {"pydantic", "pydantic_core", "ruamel"}),
    "frameworks": ({"glovebox.domain", "glovebox.frameworks"}, {"defusedxml"}),
    "ports.py": ({"glovebox.domain"}, set()),
    "usecases": (
        {"glovebox.domain", "glovebox.frameworks", "glovebox.ports", "glovebox.usecases"},
        {"pydantic"},
    ),
    "adapters": (
        {"glovebox.domain", "glovebox.ports", "glovebox.adapters"},
        {"aws_lambda_powertools", "boto3", "botocore", "hopx_ai", "httpcore", "httpx"}
        | {"mypy_boto3_dynamodb", "mypy_boto3_s3"}
        | {"mypy_boto3_secretsmanager", "mypy_boto3_sns", "mypy_boto3_sqs"}
        | {"mypy_boto3_stepfunctions"},
    ),
    "http_answers.py": (
        {"glovebox.domain", "glovebox.usecases"},
        {"aws_lambda_powertools"},
    ),
    "settings.py": ({"glovebox.domain"}, {"pydantic"}),
    "telemetry.py": (set(), {"aws_lambda_powertools"}),
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager"}
# The payload runs in sandboxes and imports what is there.
PAYLOAD = CORE / "frameworks/payload"


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


def is_standard(module: str) -> bool:
    import sys

    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names


def files_of(room: str) -> list[Path]:
    place = CORE / room
    if place.is_file():
        return [place]
    return [path for path in place.rglob("*.py") if PAYLOAD not in path.parents]


def breaches(path: Path, own: set[str], vendors: set[str]) -> set[str]:
    wrong = set()
    for module in imports_of(path):
        head = module.split(".")[0]
        if head == "glovebox":
            if not any(module == room or module.startswith(room + ".") for room in own):
                wrong.add(module)
        elif not is_standard(module) and head not in vendors:
            wrong.add(module)
    return wrong


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    own, vendors = ROOMS[room]
    wrong = {str(path): found for path in files_of(room) if (found := breaches(path, own, vendors))}
    assert not wrong


def test_every_room_of_the_core_is_named_here() -> None:
    rooms = {path.name for path in CORE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__.py", "__pycache__"} == set(ROOMS)


def test_a_broken_direction_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("import boto3\nfrom glovebox.adapters import aws\nimport json\n")
    assert breaches(path, *ROOMS["domain"]) == {"boto3", "glovebox.adapters"}


def test_the_command_line_knows_the_domain_and_what_says_which_framework_a_source_has() -> None:
    known = ("glovebox.domain", "glovebox.frameworks.detection", "glovebox.frameworks.registry")
    for path in (ROOT / "cli").rglob("*.py"):
        for module in imports_of(path):
            if module.startswith("glovebox."):
                assert module.startswith(known), f"{path} imports {module}"
            assert module.split(".")[0] not in {"boto3", "hopx_ai", "functions"}, path


def test_the_embedded_stack_never_imports_a_function_or_the_core() -> None:
    for path in (ROOT / "local").rglob("*.py"):
        heads = {module.split(".")[0] for module in imports_of(path)}
        assert not heads & {"functions", "glovebox", "glovebox_cli"}, path


def test_functions_do_not_import_each_other() -> None:
    for path in (ROOT / "functions").rglob("*.py"):
        assert not {m for m in imports_of(path) if m.split(".")[0] in {"functions", "app"}}, path


def test_no_module_has_a_name_that_means_anything() -> None:
    code = [
        path
        for room in ("layers", "functions", "cli", "local")
        for path in (ROOT / room).rglob("*.py")
    ]
    assert not [path for path in code if path.stem in FORBIDDEN_NAMES]

"""The layer's packages are locked by hash and are the ones that the tests ran with."""

from __future__ import annotations

import re
from pathlib import Path

from tests.stack.definitions import ROOT

LAYER = ROOT / "layers" / "deps" / "requirements.txt"


def _pins(file: Path) -> dict[str, str]:
    """Package name, normalised, to version."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", file.read_text(), re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_layer_has_what_the_tests_ran_with() -> None:
    layer, tested = _pins(LAYER), _pins(ROOT / "requirements" / "dev.txt")
    assert layer
    assert {name: tested.get(name) for name in layer} == layer


def test_the_lock_follows_from_what_was_asked_for() -> None:
    asked = _pins(LAYER.with_suffix(".in"))
    assert asked.items() <= _pins(LAYER).items()


def test_every_package_is_locked_by_hash() -> None:
    entries = re.split(r"^(?=[a-z])", LAYER.read_text(), flags=re.M)[1:]
    assert len(entries) == len(_pins(LAYER))
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


def test_the_lock_names_no_index() -> None:
    assert not re.search(r"^--(extra-)?index-url|^--find-links|://", LAYER.read_text(), re.M)

"""One laboratory for the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.lab.laboratory import Laboratory


@pytest.fixture(scope="package")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with Laboratory(tmp_path_factory.mktemp("lab")) as laboratory:
        yield laboratory

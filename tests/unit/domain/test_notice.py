"""The published schemas of what subscribers are told are the models'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from glovebox.domain.notice import PUBLISHED, schema_text
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[3] / "docs/schema"
REFRESH = 'run: python -c "from glovebox.domain.notice import schema_text as text; '


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_up_to_date(name: str) -> None:
    refresh = f"{REFRESH}print(text('{name}'), end='')\" > docs/schema/{name}.json"
    assert (FOLDER / f"{name}.json").read_text() == schema_text(name), refresh


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema_text(name)))

"""The vendor's two OpenAPI files: which answers they promise. They are not ours to ship."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Api = Literal["control", "agent"]

FOLDER_VARIABLE = "GLOVEBOX_HOPX_OPENAPI"
_BESIDE_US = Path(__file__).parents[3] / "shared" / "hopx"
_FILES: dict[Api, str] = {"control": "openapi_public.json", "agent": "openapi_agent.json"}
_METHODS = ("get", "post", "put", "patch", "delete")

MISSING = (
    "the vendor's OpenAPI files are not here: put openapi_public.json and openapi_agent.json into "
    f"../shared/hopx beside this repository, or name their folder in {FOLDER_VARIABLE}"
)


@dataclass(frozen=True)
class Description:
    """One of the two files."""

    api: Api
    raw: dict[str, Any]

    def promised(self, method: str, path: str) -> frozenset[int] | None:
        """The statuses promised to a request; None if the file has no such operation."""
        name = method.lower()
        known = [t for t in self._templates(path) if name in self.raw["paths"][t]]
        if not known:
            return None
        responses = self.raw["paths"][min(known, key=_variables)][name]["responses"]
        return frozenset(int(status) for status in responses)

    def has(self, path: str) -> bool:
        """Whether the file has the path, for whatever method."""
        return bool(self._templates(path))

    def _templates(self, path: str) -> list[str]:
        return [known for known in self.raw["paths"] if _pattern(known).fullmatch(path)]

    def operations(self) -> list[tuple[str, str]]:
        """Every method and path, in the file's order."""
        paths = self.raw["paths"].items()
        return [(m.upper(), path) for path, item in paths for m in item if m in _METHODS]


@cache
def load(api: Api) -> Description | None:
    """A file of the vendor's, None where it is not to be had."""
    folder = Path(os.environ.get(FOLDER_VARIABLE) or _BESIDE_US)
    file = folder / _FILES[api]
    return Description(api, json.loads(file.read_text())) if file.is_file() else None


def _variables(path: str) -> int:
    return path.count("{")


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]*", re.escape(path)))

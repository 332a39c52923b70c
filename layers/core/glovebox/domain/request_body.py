"""The body of a request: one strict JSON object, or a refusal that names the place."""

from __future__ import annotations

from glovebox.domain.document import MapNode, TreeBuilder, plain
from glovebox.domain.document_json import read_json
from glovebox.domain.errors import ManifestError
from glovebox.domain.problem import Problem

NAME = "body"


class BodyRefused(ManifestError):
    """The body is no JSON object. Every problem has its path."""


def read_body(text: str) -> dict[str, object]:
    """Read an object: no duplicate keys, no NaN, no half characters, bounded in depth and count.

    Raises BodyRefused.
    """
    builder = TreeBuilder(NAME)
    try:
        read_json(text, builder)
    except ManifestError as error:
        raise BodyRefused(error.problems) from None
    if builder.problems:
        raise BodyRefused(builder.problems)
    document = plain(builder.root) if isinstance(builder.root, MapNode) else None
    if not isinstance(document, dict):
        raise BodyRefused([Problem("the body is not a JSON object", "", NAME, 1, 1)])
    return document

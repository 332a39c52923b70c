"""While a release is rolled out, two of them read each other's documents.

A field that this release does not know is ignored: whoever adds one keeps the version. A raised
version says that this release would misread the document. It is then refused in a way that is
tried again, by a launcher or planner of the newer release, and nothing is lost meanwhile.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from glovebox.domain.errors import NewerRelease

KNOWN_VERSION = 1
"""Of launch messages, batches, plans and rounds."""


def known_version(version: int) -> int:
    """The version, if this release can read it. Raises NewerRelease."""
    if version > KNOWN_VERSION:
        raise NewerRelease(version, KNOWN_VERSION)
    return version


SchemaVersion = Annotated[int, AfterValidator(known_version)]
"""The type of `schema_version` in a document that a release hands to another."""

"""The documents that a run leaves, all made of its report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from glovebox.domain.ctrf import to_ctrf
from glovebox.domain.junit import to_junit
from glovebox.domain.markdown import to_markdown
from glovebox.domain.report import Report


class DocumentFormat(StrEnum):
    """The forms in which a report can be had."""

    JSON = "json"
    JUNIT = "junit"
    CTRF = "ctrf"
    MARKDOWN = "md"


@dataclass(frozen=True)
class DocumentKind:
    """One of them."""

    file_name: str
    media_type: str
    write: Callable[[Report], bytes]
    """Pure: the same report gives the same bytes."""


DOCUMENTS = {
    DocumentFormat.JSON: DocumentKind(
        "report.json",
        "application/json",
        lambda report: report.model_dump_json(indent=1).encode(),
    ),
    DocumentFormat.JUNIT: DocumentKind("junit.xml", "application/xml", to_junit),
    DocumentFormat.CTRF: DocumentKind("ctrf.json", "application/json", to_ctrf),
    DocumentFormat.MARKDOWN: DocumentKind(
        "summary.md",
        "text/markdown; charset=utf-8",
        lambda report: to_markdown(report).encode(),
    ),
}

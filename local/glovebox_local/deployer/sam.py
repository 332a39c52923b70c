"""From SAM to CloudFormation, offline: finds the code on disk, then lets AWS's translator run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glovebox_local.deployer.document import read_document
from glovebox_local.deployer.translator import TranslatorProcess
from glovebox_local.errors import TemplateError, UnsupportedError

_BUCKET = "glovebox-local-code"
_FUNCTION = "AWS::Serverless::Function"
_LAYER = "AWS::Serverless::LayerVersion"
_CODE_PROPERTY = {
    _FUNCTION: "CodeUri",
    _LAYER: "ContentUri",
    "AWS::Lambda::LayerVersion": "Content",
    "AWS::Lambda::Function": "Code",
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A plain CloudFormation template, and the folders that its code objects stand for."""

    template: dict[str, Any]
    folders: Mapping[str, Path] = field(default_factory=dict)
    """By the S3 key that the translator was given in place of the folder."""


def translate(
    path: Path, parameters: Mapping[str, Any], translator: TranslatorProcess | None = None
) -> Translated:
    """Read a template and expand its SAM resources, by a translator that was started before, if
    there is one. Raises TemplateError."""
    document = read_document(path)
    folders: dict[str, Path] = {}
    default_code = (document.get("Globals") or {}).get("Function", {}).pop("CodeUri", None)
    for name, resource in (document.get("Resources") or {}).items():
        if not isinstance(resource, dict) or "Type" not in resource:
            msg = f"{name} has no Type"
            raise TemplateError(msg)
        properties = resource.setdefault("Properties", {})
        if resource["Type"] == _FUNCTION and default_code is not None:
            properties.setdefault("CodeUri", default_code)
        _package(path.parent, name, resource["Type"], properties, folders)
    if "Transform" not in document:
        return Translated(document, folders)
    translated = (translator or TranslatorProcess()).translate(document, parameters)
    return Translated(translated, folders)


def _package(
    root: Path, name: str, kind: str, properties: dict[str, Any], folders: dict[str, Path]
) -> None:
    """Do what `sam package` does, but leave the code where it is."""
    if "InlineCode" in properties:
        msg = f"{name}: InlineCode is not supported locally; put the code in a folder"
        raise UnsupportedError(msg)
    code = _CODE_PROPERTY.get(kind)
    if code is not None and isinstance(properties.get(code), str):
        folder = (root / properties[code]).resolve()
        if not folder.is_dir():
            msg = f"{name}: {code} {properties[code]!r} is not a folder"
            raise TemplateError(msg)
        folders[name] = folder
        properties[code] = (
            {"S3Bucket": _BUCKET, "S3Key": name}
            if kind.startswith("AWS::Lambda::")
            else f"s3://{_BUCKET}/{name}"
        )
    for uri, inline in (("DefinitionUri", "Definition"), ("DefinitionUri", "DefinitionBody")):
        wanted = "Definition" if kind == "AWS::Serverless::StateMachine" else "DefinitionBody"
        if inline == wanted and isinstance(properties.get(uri), str):
            properties[inline] = read_document(root / properties.pop(uri))

"""From a manifest on disk to what is posted: the source is packed and sent first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glovebox_cli.api_client import ApiClient
from glovebox_cli.exit_codes import ExitCode
from glovebox_cli.failure import CommandFailure
from glovebox_cli.manifest_file import ManifestFile
from glovebox_cli.packing import Archive, packed
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen

_MOST_WARNINGS = 10


def prepare(
    api: ApiClient,
    source: ManifestFile,
    screen: Screen,
    *,
    parallelism: int | None = None,
    fail_fast: bool = False,
) -> dict[str, Any]:
    """The manifest to post, its source where the service can fetch it."""
    document: dict[str, Any] = source.manifest.to_dict()
    if parallelism is not None:
        document["parallelism"] = parallelism
    if fail_fast:
        document["fail_fast"] = True
    path = source.manifest.source.path
    if path is not None:
        with packed(source_folder(source.folder, path)) as archive:
            _tell(archive, screen)
            address, upload = api.create_source(archive.sha256, archive.size)
            api.upload(upload, archive.file, archive.size)
        document["source"] = {"s3": address}
    return document


def source_folder(folder: Path, path: str) -> Path:
    """The source's folder. In somebody else's checkout it may be a link to anywhere."""
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        message = f"source.path leads out of the manifest's folder: {one_line(path)}"
        raise CommandFailure(message, code=ExitCode.USAGE, hint="Put the manifest further up.")
    return place


def _tell(archive: Archive, screen: Screen) -> None:
    for warning in archive.warnings[:_MOST_WARNINGS]:
        screen.warn(warning)
    if len(archive.warnings) > _MOST_WARNINGS:
        screen.warn(f"… and {len(archive.warnings) - _MOST_WARNINGS} more that are not sent")
    plural = "" if archive.files == 1 else "s"
    screen.chat(f"Sending {archive.files} file{plural}, {archive.size / 1024:.1f} KiB packed")

"""`glovebox plan`: what a run of a manifest would do, as far as that is known before it."""

from __future__ import annotations

import json
from typing import Any

from glovebox.domain.duration import format_duration
from glovebox.domain.manifest import FrameworkName, Manifest, Source, Suite
from glovebox.domain.report import DOLLARS_PER_SANDBOX_SECOND

from glovebox_cli.manifest_file import ManifestFile
from glovebox_cli.safe_text import one_line
from glovebox_cli.screen import Screen
from glovebox_cli.source_listing import Listing, list_source
from glovebox_cli.submission import source_folder


def show_plan(found: ManifestFile, screen: Screen, *, as_json: bool) -> None:
    """Show what would be sent, run and paid at most. Raises CommandFailure."""
    manifest, listing = found.manifest, Listing([])
    sent = None
    if manifest.source.path is not None:
        folder = source_folder(found.folder, manifest.source.path)
        listing = list_source(folder)
        sizes = [(folder / name).lstat().st_size for name in listing.names]
        sent = {"files": len(sizes), "bytes": sum(sizes)}
    document = plan_document(manifest, sent)
    for warning in listing.warnings:
        screen.warn(warning)
    if as_json:
        screen.emit(json.dumps(document, indent=2).encode() + b"\n")
        return
    for line in _lines(document):
        screen.show(one_line(line))


def plan_document(manifest: Manifest, sent: dict[str, int] | None) -> dict[str, Any]:
    """The plan for programs. Times are seconds; a count that only discovery knows is null."""
    seconds = most_sandbox_seconds(manifest)
    return {
        "name": manifest.name,
        "source": _place(manifest.source),
        "sent": sent,
        "image": manifest.image.base,
        "setup": list(manifest.image.setup),
        "network": manifest.network,
        "secrets": list(manifest.secrets),
        "parallelism": manifest.parallelism,
        "timeout": manifest.timeout,
        "suites": [_suite(suite) for suite in manifest.suites],
        "at_most": {
            "sandbox_seconds": seconds,
            "cost": round(seconds * DOLLARS_PER_SANDBOX_SECOND, 4),
        },
    }


def most_sandbox_seconds(manifest: Manifest) -> int:
    """What a run cannot exceed: all its sandboxes at work until its time is over."""
    return manifest.timeout * manifest.parallelism


def count_of(suite: Suite) -> int | None:
    """How many tests the suite has; None where only its framework can tell."""
    if suite.tests is not None:
        return len(suite.tests)
    return 1 if suite.framework is FrameworkName.COMMAND else None


def _suite(suite: Suite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "framework": suite.framework.value,
        "paths": list(suite.paths),
        "tests": count_of(suite),
        "isolation": suite.isolation.value,
        "timeout": suite.timeout,
        "retries": suite.retries,
    }


def _place(source: Source) -> str:
    if source.git is not None:
        return f"{source.git.url} at {source.git.ref}"
    if source.inline is not None:
        return f"{len(source.inline.files)} files in the manifest"
    return source.s3 or f"folder {source.path}"


def _lines(plan: dict[str, Any]) -> list[str]:
    sent = plan["sent"]
    size = f", {sent['files']} files, {sent['bytes'] / 1024:.1f} KiB unpacked" if sent else ""
    network = "with network" if plan["network"] else "without network"
    lines = [
        f"{plan['name']}: up to {plan['parallelism']} sandboxes of {plan['image']} at once, "
        f"{network}, for at most {format_duration(plan['timeout'])}",
        f"  source: {plan['source']}{size}",
        *(f"  set-up: {line}" for line in plan["setup"]),
        *([f"  secrets: {', '.join(plan['secrets'])}"] if plan["secrets"] else []),
    ]
    for suite in plan["suites"]:
        count = suite["tests"]
        known = "1 test" if count == 1 else f"{count} tests"
        tests = known if count is not None else "its tests are listed in a sandbox at the start"
        where = f" in {', '.join(suite['paths'])}" if suite["paths"] else ""
        retries = f", {suite['retries']} more tries" if suite["retries"] else ""
        lines.append(
            f"  {suite['name']}: {suite['framework']}{where}: {tests}; a sandbox for each "
            f"{suite['isolation']}, {format_duration(suite['timeout'])} a test{retries}"
        )
    most = plan["at_most"]
    lines.append(
        f"  at most {most['sandbox_seconds']} seconds of sandboxes, ${most['cost']:.2f} at the "
        "hosted list price; local sandboxes cost nothing"
    )
    return lines

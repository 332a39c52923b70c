"""``python -m glovebox_local.sandbox``: the service as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from glovebox_local.sandbox import linux
from glovebox_local.sandbox.isolation import LEVELS
from glovebox_local.sandbox.service import REFUSALS, run
from glovebox_local.sandbox.settings import Quotas, SandboxSettings

API_KEY_VARIABLE = "GLOVEBOX_SANDBOX_API_KEY"


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and serve; 2 for a wrong command line, 1 if it cannot start."""
    parser = _parser()
    given = parser.parse_args(argv)
    api_key = given.api_key or os.environ.get(API_KEY_VARIABLE, "")
    if not api_key:
        parser.error(f"an API key is needed: set {API_KEY_VARIABLE} (or pass --api-key)")
    if given.die_with_parent:
        linux.die_with_parent(signal.SIGTERM)
    settings = SandboxSettings(
        api_key=api_key,
        host=given.host,
        port=given.port,
        runtime_site=given.runtime_site.resolve() if given.runtime_site else None,
        max_sandboxes=given.max_sandboxes,
        memory_mb=given.memory_mb,
        pids=given.pids,
        cpus=given.cpus,
        workspace_mb=given.workspace_mb,
        tmp_mb=given.tmp_mb,
        output_bytes=given.output_bytes,
        quotas=Quotas(
            creates_per_minute=given.creates_per_minute,
            credits=given.credits,
            plan_limit=given.plan_limit,
        ),
        flat_errors=given.flat_errors,
        without_filter=given.without_filter,
        max_images=given.max_images,
        images_mb=given.images_mb,
        build_seconds=given.build_seconds,
        build_network=not given.build_offline,
    )
    try:
        return run(settings, given.isolation)
    except REFUSALS as refusal:
        print(f"the sandbox service cannot start: {refusal}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    default = SandboxSettings(api_key="")
    parser = argparse.ArgumentParser(prog="python -m glovebox_local.sandbox", description=__doc__)
    add = parser.add_argument
    add("--host", default=default.host, help="address to listen at")
    add("--port", type=int, default=default.port, help="0 takes a free one")
    add("--api-key", help=f"shows in ps; prefer the variable {API_KEY_VARIABLE}")
    add("--runtime-site", type=Path, help="directory of `pip install --target` for the sandboxes")
    add("--max-sandboxes", type=int, default=default.max_sandboxes)
    add("--memory-mb", type=int, default=default.memory_mb, help="MiB per sandbox")
    add("--pids", type=int, default=default.pids, help="processes and threads per sandbox")
    add("--cpus", type=float, default=default.cpus, help="processors per sandbox")
    add("--workspace-mb", type=int, default=default.workspace_mb, help="MiB of /workspace")
    add("--tmp-mb", type=int, default=default.tmp_mb, help="MiB of /tmp")
    add("--output-bytes", type=int, default=default.output_bytes, help="kept of each stream")
    add("--creates-per-minute", type=_count, help="answer 429 beyond this many")
    add("--credits", type=_count, help="sandboxes in all; then creates are answered 402")
    add("--plan-limit", type=_count, help="live sandboxes; then creates are answered 403")
    add("--flat-errors", action="store_true", help="errors as the vendor's pages show them")
    add("--without-filter", action="store_true", help="if there is none for this processor")
    add("--max-images", type=int, default=default.max_images)
    add("--images-mb", type=int, default=default.images_mb, help="MiB of all images together")
    add("--build-seconds", type=float, default=default.build_seconds, help="of one image's build")
    add("--build-offline", action="store_true", help="no network for the builds of images")
    add("--isolation", choices=LEVELS, default=LEVELS[0], help="refuse to start below this level")
    add("--die-with-parent", action="store_true", help="stop when the starting thread ends")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        message = "must be at least 1"
        raise argparse.ArgumentTypeError(message)
    return value


if __name__ == "__main__":
    sys.exit(main())

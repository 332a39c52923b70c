"""`make live`: the contract suite and the demo against the hosted service, for real money.

First both run against the sandbox server on this machine, through a proxy that counts: so the
estimate is what they really ask for, and what fails here already costs nothing there.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glovebox_local.sandbox.runtime import set_up_site
from glovebox_local.sandbox.server import SandboxServerProcess
from glovebox_local.stack import LocalStack

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, for `make`

from tests.faults.hopx_proxy import HopxFaultProxy  # noqa: E402

HOSTED_URL = "https://api.hopx.dev"
KEY_VARIABLE = "HOPX_API_KEY"
CONTRACT = "tests/contract/test_sandboxes.py"
OK, FAILED, USAGE = 0, 1, 2
NEEDS = f"""make live runs against a HopX account and needs its key: set {KEY_VARIABLE}.
It says what it will create, and asks, before it creates anything. Options go into LIVE, such as
make live LIVE="--yes --skip-images"; .venv/bin/python tests/live.py --help lists them."""


@dataclass(frozen=True)
class Estimate:
    """What a rehearsal asked the provider for."""

    sandboxes: int
    lived_seconds: float
    longest_seconds: int
    builds: int

    def text(self, second_price: float | None, build_price: float | None) -> str:
        """The estimate in words; a price that was not given is not known."""
        lines = [
            f"  sandboxes        {self.sandboxes}",
            f"  sandbox-seconds  {self.lived_seconds:.0f} on this machine; at most "
            f"{self.longest_seconds}, if each lived until its time to live ends it",
            f"  image builds     {self.builds} (minutes each)",
        ]
        known = second_price is not None and (build_price is not None or not self.builds)
        if known:
            builds = self.builds * (build_price or 0.0)
            low = self.lived_seconds * (second_price or 0.0) + builds
            high = self.longest_seconds * (second_price or 0.0) + builds
            lines.append(f"  cost             {low:.4f} to {high:.4f}, by the prices given")
        else:
            lines.append("  cost             unknown: HopX's prices are not documented, give yours")
        return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, estimate, ask, run. 0: all passed, 1: something failed, 2: not run."""
    options = _options(arguments)
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        print(NEEDS, file=sys.stderr)
        return USAGE
    print("Rehearsing on this machine …", flush=True)
    estimate = rehearse(options)
    if estimate is None:
        print("\nThe rehearsal failed; nothing was asked of the service.", file=sys.stderr)
        return FAILED
    print(f"\nThis will create, at {options.base_url}:")
    print(estimate.text(options.second_price, options.build_price), flush=True)
    if not options.yes and not _confirmed():
        print("Not run: answer y, or give --yes.", file=sys.stderr)
        return USAGE
    return OK if run(options, options.base_url, key) else FAILED


def rehearse(options: argparse.Namespace) -> Estimate | None:
    """Run all of it here; None where it failed."""
    key = secrets.token_hex(16)
    with (
        SandboxServerProcess(key, runtime_site=set_up_site()) as server,
        HopxFaultProxy(server.url) as proxy,
    ):
        if not run(options, proxy.url, key):
            return None
        return Estimate(
            len(proxy.created), proxy.lived_seconds, proxy.longest_seconds, proxy.builds
        )


def run(options: argparse.Namespace, base_url: str, key: str) -> bool:
    """Whether all of it passed."""
    good = True
    if options.only in (None, "contract"):
        good = _contract(options, base_url, key)
    if options.only in (None, "demo"):
        good = _demo(base_url, key) and good
    return good


def _contract(options: argparse.Namespace, base_url: str, key: str) -> bool:
    marks = "live and not bakes" if options.skip_images else "live"
    command = [sys.executable, "-m", "pytest", "-q", "-m", marks, "-k", options.select, CONTRACT]
    environment = {**os.environ, "GLOVEBOX_LIVE_HOPX": base_url, KEY_VARIABLE: key}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def _demo(base_url: str, key: str) -> bool:
    """The demo on an embedded AWS whose sandboxes are the service's."""
    parameters = {"HopxBaseUrl": base_url, "HopxApiKey": key}
    with LocalStack(parameters=parameters) as stack:
        api = ["--api", stack.endpoints.api_url]
        command = [sys.executable, str(ROOT / "examples/demo.py"), *api]
        return subprocess.run(command, check=False).returncode == 0


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="live", description=__doc__)
    given = os.environ.get("HOPX_BASE_URL") or HOSTED_URL
    parser.add_argument("--base-url", default=given, help="the service (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--only", choices=["contract", "demo"], help="one of the two")
    parser.add_argument("--select", default="", metavar="EXPRESSION", help="tests, as pytest -k")
    parser.add_argument("--skip-images", action="store_true", help="nothing that takes minutes")
    parser.add_argument("--second-price", type=float, metavar="N", help="of a sandbox, a second")
    parser.add_argument("--build-price", type=float, metavar="N", help="of an image build")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""What in a source says which JavaScript framework its tests are of, and how to install it.

package.json is untrusted text of which only the first 64 KiB are seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from glovebox.frameworks.contract import Detection, SourceView

PACKAGE = "package.json"
_NODE_TEST = re.compile(r"\bnode\b[^&|;]*\s--test(?=\s|$)")
_LOCKS = (
    ("package-lock.json", "npm ci"),
    ("npm-shrinkwrap.json", "npm ci"),
    ("pnpm-lock.yaml", "npx --yes pnpm install --frozen-lockfile"),
    ("yarn.lock", "npx --yes yarn install --frozen-lockfile"),
)
"""Lock files, and what installs exactly what they name."""


def detect_by_package(
    source: SourceView, package: str, config: str, key: str | None = None
) -> Detection | None:
    """A framework by its configuration file, its key in package.json, or its dependency."""
    named = next((name for name in source.files if re.fullmatch(config, name)), None)
    if named is not None:
        return Detection(f"{named} is there", certain=True, setup=javascript_setup(source))
    about = package_json(source)
    if key is not None and key in about:
        return Detection(f"{PACKAGE} has {key}", certain=True, setup=javascript_setup(source))
    for kind in ("devDependencies", "dependencies"):
        if package in _mapping(about.get(kind)):
            because = f"{PACKAGE} has {package} in {kind}"
            return Detection(because, certain=True, setup=javascript_setup(source))
    return None


def detect_node_test(source: SourceView) -> Detection | None:
    """A script that calls `node --test`: it needs no dependency and no configuration."""
    for name, script in _mapping(package_json(source).get("scripts")).items():
        if isinstance(script, str) and _NODE_TEST.search(script):
            because = f"{PACKAGE} calls node --test in its script {name[:80]}"
            return Detection(because, certain=True, setup=javascript_setup(source))
    return None


def package_json(source: SourceView) -> Mapping[str, object]:
    """The package.json at the source's root; empty where there is none that can be read."""
    try:
        return _mapping(json.loads(source.text(PACKAGE) or ""))
    except (ValueError, RecursionError):
        return {}


def javascript_setup(source: SourceView) -> tuple[str, ...]:
    """The command that installs a package's dependencies, if it has any."""
    names = set(source.files)
    for lock, command in _LOCKS:
        if lock in names:
            return (command,)
    about = package_json(source)
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    needs = any(_mapping(about.get(kind)) for kind in kinds)
    return ("npm install",) if needs else ()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}

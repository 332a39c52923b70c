"""Imports single modules of hopx_ai without the whole package.

`import hopx_ai` brings aiohttp, websockets, the desktop and the template builder: 0.6 s and 25 MB
in every launcher, for two HTTP clients and the error classes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

PACKAGE = "hopx_ai"


@contextmanager
def without_the_whole() -> Iterator[None]:
    """Within the block, modules of the package can be imported and its `__init__` does not run.

    Afterwards the block's modules belong to whoever imported them there, and `import hopx_ai`
    works as ever, with modules of its own, for whoever wants all of it.
    """
    if PACKAGE in sys.modules:
        yield
        return
    spec = find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        message = "hopx-ai is not installed"
        raise ModuleNotFoundError(message, name=PACKAGE)
    stand_in = ModuleType(PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = stand_in
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]

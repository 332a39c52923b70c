"""botocore's descriptions of the services: several megabytes of JSON, to be parsed once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any


@cache
def loader() -> Any:
    """The loader that the sessions of this process's emulator share; it remembers what it read."""
    from botocore.loaders import create_loader

    return create_loader()


@contextlib.contextmanager
def private_sessions() -> Iterator[None]:
    """Have every botocore session that is made meanwhile share one loader and ignore the user.

    moto and the SAM translator make a dozen. Each would read the same files again, which was 0.6 of
    the 2.9 seconds that a stack took to start, and each would fail on an AWS_PROFILE that the user
    has set for another purpose.
    """
    import botocore.session

    loader()  # made by the stock function
    module: Any = botocore.session
    stock = module.create_loader, module.Session.get_scoped_config
    module.create_loader = lambda *_: loader()
    module.Session.get_scoped_config = lambda _: {}
    try:
        yield
    finally:
        module.create_loader, module.Session.get_scoped_config = stock

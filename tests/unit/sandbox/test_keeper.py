"""What a keeper must never do, whatever it is told."""

from __future__ import annotations

from typing import Any, cast

from glovebox_local.sandbox import wire
from glovebox_local.sandbox.spawner.keeper import Keeper


def test_a_keeper_outside_of_a_sandbox_signals_nobody() -> None:
    ours, theirs = wire.pair()
    keeper = Keeper(cast("Any", None), theirs, 0)
    # Not even the harmless signal: here, everyone would be everyone on this machine.
    keeper._signal_everyone(0)
    assert wire.receive(ours)[0] == ("signalled", 1)

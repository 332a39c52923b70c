from __future__ import annotations

import os

import pytest
from glovebox_local.sandbox import wire


def test_packets_stay_whole_and_in_order() -> None:
    here, there = wire.pair()
    wire.send(here, ("start", 1, ["bash", "-c", "é"], {"A": "1"}, "/workspace"))
    wire.send(here, ("signal", 1, 9))
    assert wire.receive(there) == (("start", 1, ["bash", "-c", "é"], {"A": "1"}, "/workspace"), [])
    assert wire.receive(there) == (("signal", 1, 9), [])


def test_descriptors_travel_beside_and_close_themselves_on_exec() -> None:
    here, there = wire.pair()
    read, write = os.pipe()
    wire.send(here, ("start",), (write,))
    os.close(write)
    _, (received,) = wire.receive(there)
    assert not os.get_inheritable(received)
    os.write(received, b"through")
    assert os.read(read, 100) == b"through"
    for descriptor in (read, received):
        os.close(descriptor)


def test_the_largest_packet_arrives_and_a_larger_one_is_refused() -> None:
    here, there = wire.pair()
    largest = "x" * (wire.MAX_PACKET_BYTES - 100)
    wire.send(here, (largest,))
    assert wire.receive(there)[0] == (largest,)
    with pytest.raises(wire.TooLarge):
        wire.send(here, ("x" * wire.MAX_PACKET_BYTES,))


def test_a_closed_end_is_told_to_both() -> None:
    here, there = wire.pair()
    there.close()
    with pytest.raises(wire.Closed):
        wire.send(here, ("ready",))
    with pytest.raises(wire.Closed):
        wire.receive(here)


def test_nothing_yet_is_not_the_end() -> None:
    here, _there = wire.pair()
    here.setblocking(False)
    with pytest.raises(BlockingIOError):
        wire.receive(here)

"""Each of these would spoil the other in a shared process. Each has its own sandbox."""

import os
import socket
from pathlib import Path

MARK = Path("/tmp/i-was-here")


def _nobody_was_here():
    assert not MARK.exists()
    assert "SPOILED" not in os.environ
    MARK.write_text("me")
    os.environ["SPOILED"] = "yes"


def test_first_of_two_that_leave_traces():
    _nobody_was_here()


def test_second_of_two_that_leave_traces():
    _nobody_was_here()


def test_both_may_use_the_same_port():
    with socket.create_server(("127.0.0.1", 8080)):
        pass


def test_there_is_no_way_out():
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]

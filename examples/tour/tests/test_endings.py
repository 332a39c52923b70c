"""What can go wrong, on purpose: the report tells these apart."""

import os
import time


def test_that_fails_on_purpose():
    basket = {"tea": 3}
    assert basket == {"tea": 4}, "three is not four"


def test_that_is_flaky_on_purpose():
    # A real flaky test needs luck; this one asks which attempt it is.
    assert os.environ.get("GLOVEBOX_ATTEMPT", "1") != "1", "works the second time"


def test_that_never_ends_on_purpose():
    time.sleep(3600)

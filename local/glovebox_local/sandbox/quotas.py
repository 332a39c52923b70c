"""Who may create one more sandbox: the hosted service's refusals, to be rehearsed at home.

As hopx-ai reads them: 429 with ``details.retry_after_seconds``, 402, and 403 with the word "limit"
in its message and the numbers in its details.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from glovebox_local.sandbox.http import ApiError
from glovebox_local.sandbox.settings import Quotas


class TokenBucket:
    """As many creations as a minute allows at once, and then one whenever its time has come."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._tokens = self._capacity
        self._counted = clock()

    def take(self) -> float:
        """Take one and return 0, or take none and return the seconds until there is one."""
        now = self._clock()
        self._tokens += (now - self._counted) * self._per_second
        self._tokens = min(self._capacity, self._tokens)
        self._counted = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0

    def give_back(self) -> None:
        """Undo a ``take``."""
        self._tokens = min(self._capacity, self._tokens + 1)


class QuotaCounter:
    """Counts creations against the quotas."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float] = time.monotonic) -> None:
        self._quotas = quotas
        self._spent = 0
        per_minute = quotas.creates_per_minute
        self._bucket = None if per_minute is None else TokenBucket(per_minute, clock)

    def admit(self, live: int) -> None:
        """Count one more creation while ``live`` sandboxes live (or are being made).

        Raises ``ApiError`` 402, 403 or 429; then nothing is counted.
        """
        quotas = self._quotas
        if quotas.credits is not None and self._spent >= quotas.credits:
            message = "the credits are used up"
            raise ApiError(402, "INSUFFICIENT_CREDITS", message, credits=quotas.credits)
        if quotas.plan_limit is not None and live >= quotas.plan_limit:
            raise ApiError(
                403,
                "RESOURCE_LIMIT_EXCEEDED",
                f"the plan's limit of {quotas.plan_limit} live sandboxes is reached",
                limit=quotas.plan_limit,
                current=live,
                available=0,
            )
        wait = self._bucket.take() if self._bucket is not None else 0.0
        if wait:
            seconds = math.ceil(wait)
            message = f"{quotas.creates_per_minute} creations a minute are allowed"
            raise ApiError(
                429,
                "RATE_LIMIT_EXCEEDED",
                message,
                retry_after_seconds=seconds,
                limit=quotas.creates_per_minute,
            )
        self._spent += 1

    def refund(self) -> None:
        """The creation that was admitted last came to nothing; its credit is not spent.

        It still counts against the rate, as any request does.
        """
        self._spent -= 1

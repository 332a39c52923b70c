"""How fast, and how many at once, sandboxes may be created: the arithmetic, without a store.

All launchers share one `PaceState`. A *permit* is the right to create one sandbox, from a moment
on; permits are an interval apart. What the provider's 429 teaches is kept as a factor of the
configured rate. A *lease* is the number of sandboxes that one launcher may have alive at once.

Moments are seconds since the epoch on whichever machine wrote last. Clocks may step, so every
moment that lies further ahead than anything here ever writes is taken for a step and cut; what
leaves this module are delays, which callers count on a clock that never steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

SAVED_SECONDS = 5.0
"""The bucket: permits that nobody took within this time are saved, older ones are lost."""
STAGGER_SHARE = 0.2
"""Of the interval, what lies at least between two permits of one taking, saved ones too."""
FREE_INTERVAL_SECONDS = 0.01
"""Permits closer than this are as good as unlimited: they are taken for a whole batch at once."""
LONGEST_WAIT_SECONDS = 120.0
"""No permit further ahead than this is handed out: who wants it is told to come again."""
MAX_RETRY_AFTER_SECONDS = 120.0
"""Of a provider's wish to wait, what is followed; it may ask for an hour."""
MIN_FACTOR = 1 / 16
"""Learning never slows below this share of the configured rate."""
RECOVERY_STEP = 0.01
"""What one sandbox that was created gives back of the factor: half takes fifty."""
LEASE_SECONDS = 960.0
"""How long a crashed launcher's lease keeps its places: a launcher's longest life and a minute."""
WAITING_SECONDS = 30.0
"""How long somebody without a place counts as waiting, after asking last."""
CLOCK_MARGIN_SECONDS = 30.0
"""By which two machines' clocks may differ before one of them is taken to have stepped."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Lease(_Document):
    """The places of one launcher."""

    width: int
    """Sandboxes at once; 0 while it waits for its first place."""
    wanted: int
    ends_at: float


class PaceState(_Document):
    """What all launchers share."""

    next_at: float = 0.0
    """When the next permit is free."""
    factor: float = 1.0
    """The share of the configured rate that the provider was seen to bear."""
    not_before: float = 0.0
    """When the provider wants to be asked again."""
    slowed_at: float = 0.0
    """When the factor was halved last."""
    leases: dict[str, Lease] = Field(default_factory=dict)
    """By owner."""


@dataclass(frozen=True)
class PaceLimits:
    """What the stack allows, over all its runs."""

    per_minute: int
    """Creations a minute."""
    sandboxes: int
    """Sandboxes at once."""


@dataclass(frozen=True)
class Demand:
    """What a launcher asks for."""

    owner: str
    wanted: int
    """Sandboxes at once that it could use."""
    live: int
    """Sandboxes that it has, or is creating."""
    permits: int
    """Creations that it could begin now."""
    expected: int = 0
    """Creations that it has before it, as far as it knows."""
    within_seconds: float = LONGEST_WAIT_SECONDS
    """How far ahead a permit is of use."""
    created: int = 0
    """Sandboxes created since it asked last: each is a proof that the rate is borne."""


@dataclass(frozen=True)
class Permits:
    """What a launcher was given."""

    delays: tuple[float, ...]
    """In how many seconds each permit may be used, soonest first. Empty where there is none soon
    enough, or no place."""
    width: int
    """Sandboxes at once that it may have; 0 means that it must wait for a place."""
    wait_seconds: float
    """How far ahead the first permit is that was, or could have been, given."""
    interval: float
    """Seconds between two permits."""
    mark: float
    """Where the permits end; with it, unused ones can be given back."""


def take_permits(
    state: PaceState, limits: PaceLimits, demand: Demand, now: float
) -> tuple[PaceState, Permits]:
    """Give permits and places, as many as there are. `now` is the moment of the write."""
    state = _steady(state, now)
    width, leases = _grant(state, limits, demand, now)
    factor = min(1.0, state.factor + demand.created * RECOVERY_STEP)
    interval = 60 / (limits.per_minute * factor)
    start = max(state.next_at, now - SAVED_SECONDS, state.not_before)
    wait = max(0.0, start - now)
    within = min(demand.within_seconds, LONGEST_WAIT_SECONDS)
    delays: tuple[float, ...] = ()
    if width > 0:
        free = interval <= FREE_INTERVAL_SECONDS
        asked = max(demand.permits, demand.expected) if free else demand.permits
        all_delays = (
            max(count * interval * STAGGER_SHARE, start + count * interval - now)
            for count in range(asked)
        )
        delays = tuple(delay for delay in all_delays if delay <= within)
    mark = start + len(delays) * interval if delays else state.next_at
    changed = state.model_copy(update={"next_at": mark, "factor": factor, "leases": leases})
    return changed, Permits(delays, width, wait, interval, mark)


def slow_down(
    state: PaceState, now: float, *, asked_at: float, retry_after_seconds: float
) -> PaceState:
    """The provider said 429 to a creation that was asked for at `asked_at`.

    Halves the rate once for all creations that were under way together, and lets nobody ask
    before the provider's wish is over.
    """
    state = _steady(state, now)
    factor, slowed_at = state.factor, state.slowed_at
    if asked_at > slowed_at:
        factor, slowed_at = max(MIN_FACTOR, factor / 2), now
    wish = min(max(retry_after_seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    return state.model_copy(
        update={
            "factor": factor,
            "slowed_at": slowed_at,
            # Never before now: permits that were saved are lost.
            "not_before": max(state.not_before, now + wish),
        }
    )


def leave(
    state: PaceState, now: float, *, owner: str, live: int, unused: int, given: Permits | None
) -> PaceState:
    """A launcher ends. `live` sandboxes outlive it and keep their places; of its last permits,
    `given`, the last `unused` are free again, unless somebody took later ones since."""
    state = _steady(state, now)
    leases = dict(_others(state, owner, now))
    if live > 0:
        leases[owner] = Lease(width=live, wanted=live, ends_at=now + LEASE_SECONDS)
    next_at = state.next_at
    if given is not None and next_at == given.mark:
        next_at = max(now - SAVED_SECONDS, next_at - unused * given.interval)
    return state.model_copy(update={"leases": leases, "next_at": next_at})


def _grant(
    state: PaceState, limits: PaceLimits, demand: Demand, now: float
) -> tuple[int, dict[str, Lease]]:
    """The asker's places, and all leases after it. Where somebody has none, nobody is given
    more than an equal share, so that its permit comes; what lives keeps its place."""
    others = dict(_others(state, demand.owner, now))
    ceiling = demand.wanted
    if any(lease.width == 0 for lease in others.values()):
        ceiling = min(ceiling, max(1, limits.sandboxes // (len(others) + 1)))
    free = limits.sandboxes - sum(lease.width for lease in others.values())
    width = max(min(ceiling, free), demand.live, 0)
    lasts = LEASE_SECONDS if width else WAITING_SECONDS
    lease = Lease(width=width, wanted=demand.wanted, ends_at=now + lasts)
    return width, {**others, demand.owner: lease}


def _others(state: PaceState, owner: str, now: float) -> Iterable[tuple[str, Lease]]:
    return (
        (name, lease)
        for name, lease in state.leases.items()
        if name != owner and lease.ends_at > now
    )


def _steady(state: PaceState, now: float) -> PaceState:
    """The state without what only a stepped clock can have written."""
    permit_horizon = now + LONGEST_WAIT_SECONDS + MAX_RETRY_AFTER_SECONDS + CLOCK_MARGIN_SECONDS
    lease_horizon = now + LEASE_SECONDS
    return state.model_copy(
        update={
            "next_at": state.next_at if state.next_at <= permit_horizon else now,
            "not_before": min(state.not_before, now + MAX_RETRY_AFTER_SECONDS),
            "slowed_at": min(state.slowed_at, now),
            "leases": {
                owner: lease
                if lease.ends_at <= lease_horizon + CLOCK_MARGIN_SECONDS
                else lease.model_copy(update={"ends_at": lease_horizon})
                for owner, lease in state.leases.items()
            },
        }
    )

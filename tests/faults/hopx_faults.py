"""What can go wrong between us and HopX, and who decides when it does."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """One way to fail. `before` and `after` say whether the request reached the provider."""

    ANSWERED_504_AFTER = "answered_504_after"
    """The request was carried out, its answer was lost on the way."""
    ANSWERED_502_AFTER = "answered_502_after"
    DROPPED_BEFORE = "dropped_before"
    """FIN without an answer."""
    DROPPED_AFTER = "dropped_after"
    RATE_LIMITED_NESTED = "rate_limited_nested"
    """`{"error": {"details": {"retry_after_seconds": …}}}`, which the SDK reads."""
    RATE_LIMITED_FLAT = "rate_limited_flat"
    """`{"error": "…", "retry_after": …}`, which the vendor documents."""
    RATE_LIMITED_HEADER = "rate_limited_header"
    """No body, `Retry-After` alone."""
    SERVER_500 = "server_500"
    SERVER_502 = "server_502"
    SERVER_503 = "server_503"
    EMPTY_OBJECT = "empty_object"
    """`{}` in the answer's place."""
    EXIT_CODE_NULL = "exit_code_null"
    HTML_200 = "html_200"
    TRUNCATED = "truncated"
    """Half of the answer, then RST."""
    MISSING_ID = "missing_id"
    JSON_NULL = "json_null"
    SLOW = "slow"
    BLACKHOLE = "blackhole"
    """No answer; the connection is held, and dropped in the end."""
    BLACKHOLE_AFTER = "blackhole_after"
    CUT_UNDER_WAY = "cut_under_way"
    """The connection breaks, on both sides, while the provider is at work."""
    EMPTY_204 = "empty_204"
    EXPIRED_TOKEN = "expired_token"
    """401 from the agent until the token is refreshed."""


CONTROL = frozenset({"create", "get", "list", "delete", "refresh", "images"})
AGENT = frozenset({"upload", "run", "download", "health", "other"})
EVERY = CONTROL | AGENT

# Where a kind makes sense.
APPLIES: dict[Kind, frozenset[str]] = {
    **dict.fromkeys(
        (
            Kind.DROPPED_BEFORE,
            Kind.DROPPED_AFTER,
            Kind.SERVER_500,
            Kind.SERVER_502,
            Kind.SERVER_503,
            Kind.HTML_200,
            Kind.TRUNCATED,
            Kind.JSON_NULL,
            Kind.SLOW,
            Kind.BLACKHOLE,
            Kind.BLACKHOLE_AFTER,
        ),
        EVERY,
    ),
    # Not the control plane: what came of it could not be written down.
    Kind.CUT_UNDER_WAY: AGENT,
    Kind.RATE_LIMITED_NESTED: CONTROL,
    Kind.RATE_LIMITED_FLAT: EVERY,
    Kind.RATE_LIMITED_HEADER: EVERY,
    Kind.ANSWERED_504_AFTER: frozenset({"create", "delete", "run", "upload", "images"}),
    Kind.ANSWERED_502_AFTER: frozenset({"create", "delete", "run", "upload", "images"}),
    Kind.EMPTY_OBJECT: frozenset({"create", "get", "list", "refresh", "run", "images"}),
    Kind.EXIT_CODE_NULL: frozenset({"run"}),
    Kind.MISSING_ID: frozenset({"create"}),
    Kind.EMPTY_204: frozenset({"delete"}),
    Kind.EXPIRED_TOKEN: frozenset({"upload", "run", "download"}),
}


def operation(method: str, path: str, *, agent: bool) -> str:
    """The word for a request: one of `EVERY`."""
    path = path.partition("?")[0].rstrip("/")
    if agent:
        words = {
            "/files/upload": "upload",
            "/commands/run": "run",
            "/files/download": "download",
            "/health": "health",
        }
        return words.get(path, "other")
    if not path.startswith("/v1/sandboxes"):
        return "images"
    if path.endswith("/token/refresh"):
        return "refresh"
    if path == "/v1/sandboxes":
        return "create" if method == "POST" else "list"
    return "delete" if method == "DELETE" else "get"


@dataclass
class Fault:
    """A rule: the requests that it meets go wrong in this way."""

    kind: Kind
    when: Callable[[str, str], bool] | None = None
    """Given method and path (of the control plane or of an agent); None: where `on` says."""
    times: int | None = 1
    """How often; None: always."""
    rate: float = 1.0
    """Probability, for each request that it meets."""
    on: str | None = None
    """An operation; None: wherever the kind makes sense."""
    seconds: float | None = None
    """How long to hold or to be slow, or the wish of a 429; None: the proxy's own."""

    def meets(self, asked: str, method: str, path: str) -> bool:
        """Whether the rule speaks of this request."""
        if self.times == 0:
            return False
        if self.when is not None:
            return self.when(method, path)
        return asked == self.on if self.on else asked in APPLIES[self.kind]


class Faults:
    """The rules, and a seeded draw from all kinds. Thread-safe.

    The draw for the n-th request of an operation depends on the seed and n alone, so that threads
    that come in another order change who meets a fault and not how many there are.
    """

    def __init__(self, seed: int, rate: float = 0.0, kinds: Iterable[Kind] = tuple(Kind)) -> None:
        self.rate = rate
        self.kinds = tuple(kinds)
        self.seed = seed
        self._rules: list[Fault] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, *rules: Fault) -> None:
        """Rules are asked in the order in which they came, all of them before the draw."""
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """No rules, and no draw either."""
        with self._lock:
            self._rules.clear()
            self.rate = 0.0

    def choose(self, asked: str, method: str, path: str) -> Fault | None:
        """What happens to this request; None: nothing."""
        with self._lock:
            self._seen[asked] += 1
            draw = random.Random(f"{self.seed}:{asked}:{self._seen[asked]}")
            for rule in self._rules:
                if rule.meets(asked, method, path) and draw.random() < rule.rate:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
            if draw.random() >= self.rate:
                return None
            kinds = [kind for kind in self.kinds if asked in APPLIES[kind]]
            return Fault(draw.choice(kinds)) if kinds else None

"""How often somebody may ask: a bucket per caller that leaks at a steady rate, and a smaller one for failed authentications.

The buckets are this process's own. Two API processes let a caller ask twice as often; a gateway that must not let that happen has a
limit of its own, by address.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.web.problems import ProblemError

MOST_REMEMBERED = 10_000  # callers; those that asked last. Whoever is forgotten begins with an empty bucket
FAILURES_A_SECOND, FAILURES_AT_ONCE = 5.0, 50


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` requests on average, `burst` of them at once."""

    per_second: float
    burst: int

    @property
    def window(self) -> float:
        """Seconds in which a full bucket has become empty."""
        return self.burst / self.per_second

    def admit(self, empty_at: float, now: float) -> tuple[float, float]:
        """One more request: when the bucket is empty then, and how many seconds it comes too early; 0 for one in time, which
        alone fills the bucket. `empty_at`: when it was to be empty before (the generic cell rate algorithm, ITU-T I.371).
        """
        filled = max(empty_at, now) + 1 / self.per_second
        early = filled - now - self.window
        return (filled, 0.0) if early <= 1e-9 else (empty_at, early)


class Limiter:
    """One bucket per name. `clock`: seconds that never go back."""

    def __init__(self, rate: Rate, code: str, detail: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._code, self._detail = code, detail
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def count(self, name: str) -> None:
        """Raises ProblemError 429, with the seconds to wait."""
        self._empty_at[name], early = self._rate.admit(self._empty_at.get(name, 0.0), self._clock())
        self._empty_at.move_to_end(name)
        if len(self._empty_at) > MOST_REMEMBERED:
            self._empty_at.popitem(last=False)
        if early:
            raise self._too_many(math.ceil(early))

    def _too_many(self, seconds: int) -> ProblemError:
        rate = self._rate
        policy = f'"{self._code}";q={rate.burst};w={math.ceil(rate.window)}'
        told = {
            "Retry-After": str(seconds),
            "RateLimit-Policy": policy,
            "RateLimit": f'"{self._code}";r=0;t={seconds}',
        }
        allowed = f"{rate.per_second:g} a second on average, {rate.burst} at once"
        return ProblemError(429, self._code, f"{self._detail}: {allowed}. Wait {seconds} s", headers=told)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one app. `callers` None: as often as they like."""

    callers: Limiter | None
    failures: Limiter

    def request(self, subject: str) -> None:
        """A request of somebody whose token is good. Raises ProblemError 429."""
        if self.callers is not None:
            self.callers.count(subject)

    def failure(self, address: str) -> None:
        """A token that is not good, from this address: whoever has a good one is never stopped by those of others. Raises
        ProblemError 429."""
        self.failures.count(address)


def limits(per_second: float, burst: int) -> Limits:
    """`per_second` 0: no limit on callers. Failed authentications are always limited."""
    return Limits(
        Limiter(Rate(per_second, burst), "rate_limited", "more requests than one caller may make")
        if per_second
        else None,
        Limiter(
            Rate(FAILURES_A_SECOND, FAILURES_AT_ONCE),
            "too_many_failures",
            "more tokens that are not good than one address may send",
        ),
    )

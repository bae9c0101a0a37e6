"""How right submitted forecasts were: each against what was won within its period (R2).

Whole minor units; shares in basis points.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from services.opportunity.domain.forecast.category import COUNTED
from shared.contracts.opportunity import ForecastJudgement, ForecastMoney

Measure = Literal["weighted", "commit", "judged"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
BANDS: tuple[tuple[int, int | None], ...] = ((0, 7), (8, 30), (31, 60), (61, 90), (91, None))
"""Days from the submission to the last day of its period, both included.

Not data to be defined by anybody: they only sort out what is told, nothing is decided by them, and figures of two years can be
compared only by the same ones. Whoever wants others asks for the submissions by `days_from` and `days_to`.
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a submission expected of its period in a currency: what was won by then, and what was to come. `judged` None: nobody
    judged."""

    weighted: int
    commit: int
    judged: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A submission in a currency, and what was won within its period. `days`: from the submission to the period's last day."""

    holder: tuple[str, str]
    days: int
    currency: str
    expected: Expected
    won: int


@dataclass(frozen=True, slots=True)
class Against:
    """Submitted against won, over `submissions`. `ratio_bp`: won per submitted, None: nothing was submitted. `error`: submitted −
    won, positive: too much was promised; `absolute_error`: each by itself, so that they do not cancel out."""

    submissions: int
    submitted: int
    won: int
    ratio_bp: int | None
    error: int
    absolute_error: int


def expected(
    figures: Iterable[ForecastMoney], judged: Iterable[ForecastJudgement], currencies: Iterable[str]
) -> Mapping[str, Expected]:
    """By currency, also those of which nothing was expected; what is omitted is not expected."""
    found: dict[str, list[int]] = {currency: [0, 0] for currency in currencies}
    for one in figures:
        sums = found.setdefault(one.currency, [0, 0])
        if one.category in (*COUNTED, "closed"):
            sums[0] += one.weighted_minor
        if one.category in ("commit", "closed"):
            sums[1] += one.minor
    by_word = {one.currency: one.minor for one in judged}
    for currency in by_word:
        found.setdefault(currency, [0, 0])
    return {
        currency: Expected(weighted, commit, by_word.get(currency))
        for currency, (weighted, commit) in sorted(found.items())
    }


def horizon(submitted_on: date, last_day: date) -> int:
    """Days to the end of the period; 0 on its last day."""
    return max((last_day - submitted_on).days, 0)


def band(days: int) -> tuple[int, int | None]:
    return next(one for one in BANDS if one[1] is None or days <= one[1])


def against(samples: Sequence[Sample], measure: Measure) -> Against | None:
    """None: none of them says anything by this measure."""
    pairs = [(getattr(one.expected, measure), one.won) for one in samples]
    said = [(submitted, won) for submitted, won in pairs if submitted is not None]
    if not said:
        return None
    submitted, won = (sum(values) for values in zip(*said, strict=True))
    return Against(
        submissions=len(said),
        submitted=submitted,
        won=won,
        ratio_bp=share_bp(won, submitted),
        error=submitted - won,
        absolute_error=sum(abs(one - other) for one, other in said),
    )


def share_bp(part: int, whole: int) -> int | None:
    """Basis points, halves rounded up; None of nothing."""
    return (2 * 10_000 * part + whole) // (2 * whole) if whole > 0 else None


def by_holder(samples: Iterable[Sample]) -> Mapping[tuple[tuple[str, str], str], Sequence[Sample]]:
    """(holder, currency) → samples."""
    found: dict[tuple[tuple[str, str], str], list[Sample]] = defaultdict(list)
    for one in samples:
        found[one.holder, one.currency].append(one)
    return found


def by_horizon(samples: Iterable[Sample]) -> Mapping[tuple[tuple[int, int | None], str], Sequence[Sample]]:
    """(band, currency) → samples, the nearest band first."""
    found: dict[tuple[tuple[int, int | None], str], list[Sample]] = defaultdict(list)
    for one in samples:
        found[band(one.days), one.currency].append(one)
    return dict(sorted(found.items(), key=lambda one: (one[0][0][0], one[0][1])))

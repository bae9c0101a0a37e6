"""Submitting a forecast (R2): the figures and lines of a period as they stand, kept as they were."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from services.opportunity.domain.forecast.targets import period_asked
from shared.contracts.event import Event, Recorded
from shared.contracts.opportunity import (
    EntityId,
    ForecastCategory,
    ForecastJudgement,
    ForecastLine,
    ForecastMoney,
    ForecastSubmitted,
    Text,
)
from shared.contracts.opportunity.forecast import MOST_LINES, PeriodLabel
from shared.contracts.refusal import refuse
from shared.kit.calendar import BusinessCalendar, Period
from shared.kit.moments import Moment

CATEGORIES: tuple[ForecastCategory, ...] = get_args(ForecastCategory)


class SubmitForecast(BaseModel):
    """For oneself, or for a team that one leads with all teams below it. `occurred_at` and `person_id` are for those who bring in
    what was submitted elsewhere: it is then told as it stood at that moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: PeriodLabel
    team_id: EntityId | None = Field(default=None, description="Default: for oneself.")
    person_id: EntityId | None = Field(default=None, description="Whose it was, when it is brought in.")
    note: Text | None = None
    occurred_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who answers for it. `teams`: a team and all below it; none for a person."""

    kind: Literal["person", "team"]
    id: str
    teams: tuple[str, ...] = ()

    def stream(self, period: str) -> str:
        """The id of the stream of its submissions for a period."""
        return f"{self.kind}-{self.id}-{period}"


@dataclass(frozen=True, slots=True)
class Submissions:
    """How many a holder has made for a period."""

    made: int = 0


def evolve_submissions(state: Submissions, e: Recorded[Any]) -> Submissions:
    return Submissions(state.made + 1) if isinstance(e.event, ForecastSubmitted) else state


def open_period(label: str, calendar: BusinessCalendar, at: datetime) -> Period:
    """Refuses a period that is over: what came of it is known."""
    period = period_asked(label, calendar)
    if period.end <= at:
        raise refuse(
            "period_over",
            f"{label} ended on {period.last_day}",
            field="period",
            expected=f"{calendar.period_of(at, period.kind)}, or a later one",
        )
    return period


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`lines`: what is expected to close within the period, and what was won in it so far. `beside`: what is judged to close in it
    though it is in no line."""

    lines: Sequence[ForecastLine] = field(default=())
    beside: Sequence[ForecastLine] = field(default=())


def decide_submit(
    command: SubmitForecast, holder: Holder, period: Period, snapshot: Snapshot, submission_id: str
) -> Sequence[Event]:
    """Every submission is one of its own, also when nothing has changed: that is what it says. Refuses too many lines."""
    kept = (*snapshot.lines, *snapshot.beside)
    check_lines(len(kept), period)
    return [
        ForecastSubmitted(
            submission_id=submission_id,
            holder_kind=holder.kind,
            holder_id=holder.id,
            teams=holder.teams,
            period=period.label,
            first_day=period.first_day,
            last_day=period.last_day,
            figures=figures(snapshot.lines),
            judged=judged(kept, period.first_day, period.last_day),
            lines=tuple(snapshot.lines),
            beside=tuple(snapshot.beside),
            note=command.note,
        )
    ]


def check_lines(count: int, period: Period) -> None:
    if count > MOST_LINES:
        raise refuse(
            "too_many_lines",
            f"{period.label} has {count} opportunities or more, and one submission keeps at most {MOST_LINES}",
            field="period",
            expected="a shorter period, or a submission for each of the teams below",
        )


def share(line: ForecastLine, doubled_per_cent: int) -> int:
    """Minor units of a line times half of so many per cent, rounded to the nearest: as the pipeline has it."""
    minor = 0 if line.amount is None else line.amount.minor
    return (doubled_per_cent * minor + 100) // 200


def weighted(line: ForecastLine) -> int:
    return share(line, line.low + line.high)


def figures(lines: Iterable[ForecastLine]) -> tuple[ForecastMoney, ...]:
    """By currency and category, of lines with an amount."""
    of: dict[tuple[str, ForecastCategory], list[ForecastLine]] = defaultdict(list)
    for line in lines:
        if line.amount is not None:
            of[line.amount.currency, line.category].append(line)
    return tuple(
        ForecastMoney(
            category=category,
            currency=currency,
            count=len(some),
            minor=sum(line.amount.minor for line in some if line.amount),
            low_minor=sum(share(line, 2 * line.low) for line in some),
            high_minor=sum(share(line, 2 * line.high) for line in some),
            weighted_minor=sum(weighted(line) for line in some),
        )
        for (currency, category), some in sorted(of.items(), key=lambda one: (one[0][0], CATEGORIES.index(one[0][1])))
    )


def judged(lines: Iterable[ForecastLine], first_day: date, last_day: date) -> tuple[ForecastJudgement, ...]:
    """By currency in which somebody judged: what was won, what was judged to come in within the days, and the rest weighted."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in lines:
        word = line.judged_amount is not None or line.judged_close_date is not None
        is_judged = word and line.category != "closed"
        money = (line.judged_amount if is_judged else None) or line.amount
        if money is None or line.category == "omitted":
            continue
        sums[money.currency][0] += is_judged
        if not is_judged:
            sums[money.currency][1] += weighted(line)
        elif line.judged_close_date is None or first_day <= line.judged_close_date <= last_day:
            sums[money.currency][1] += money.minor
    return tuple(
        ForecastJudgement(currency=currency, count=count, minor=minor)
        for currency, (count, minor) in sorted(sums.items())
        if count
    )

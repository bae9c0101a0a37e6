"""Answers about what the funnel does over time (R3)."""

from datetime import datetime

from pydantic import BaseModel

from services.opportunity.api.groups import Group
from services.opportunity.queries.moment import By
from services.opportunity.queries.view import Belonging
from shared.kit.money import Money


class PeriodTold(BaseModel):
    """`start <= moment < end`."""

    label: str
    start: datetime
    end: datetime


class Counted(BaseModel):
    """`drill`: the list of exactly these."""

    count: int
    drill: str


class Placed(BaseModel):
    """`process` is null for funnel states, which are the same in all."""

    process: Group | None
    place: Group


class Cohort(Placed):
    """Those that first stood there within the period, and what has become of them by `as_of`.

    `advanced`: went on to a later place, or were won; `rate` = advanced ÷ entered. `days_median`: until the next place.
    """

    entered: Counted
    advanced: Counted
    won: Counted
    lost: Counted
    abandoned: Counted
    still_open: Counted
    rate: float
    days_median: float | None


class Conversion(BaseModel):
    period: PeriodTold
    belonging: Belonging
    stages: list[Cohort]
    states: list[Cohort]


class Stay(Placed):
    """Days that opportunities stood there, all visits together. `running`: those that still do; else those that are through."""

    running: bool
    count: int
    drill: str
    days_median: float
    days_p90: float
    days_longest: float


class TimeInStage(BaseModel):
    belonging: Belonging
    stages: list[Stay]
    states: list[Stay]


class Leak(Placed):
    """So many were lost or abandoned there for this reason. `minor`: what they were worth; currency null: not known."""

    outcome: str
    reason: str | None
    competitor: str | None
    currency: str | None
    count: int
    minor: int
    drill: str


class Leakage(BaseModel):
    period: PeriodTold
    belonging: Belonging
    by: By
    items: list[Leak]


class Earning(BaseModel):
    """Of the wins that have an amount in the currency, in its smallest unit. `share`: of all wins with an amount.

    open × win rate × share × average won ÷ cycle = `minor_per_day`; null where a component is missing.
    """

    currency: str
    won_count: int
    won_minor: int
    average_won_minor: int
    share: float
    minor_per_day: int | None


class Velocity(BaseModel):
    """Counts, win rate and cycle are of all opportunities; so many of them are `…_without_amount`. What they earn stands under
    each currency of what was won. `win_rate` = won ÷ ended in the period, `cycle_days` from opening to winning on average,
    `lacking`: why nothing is earned per day.
    """

    period: PeriodTold
    belonging: Belonging
    open_count: int
    open_without_amount: int
    ended_count: int
    won_count: int
    won_without_amount: int
    win_rate: float | None
    cycle_days: float | None
    lacking: str | None
    items: list[Earning]


class Required(BaseModel):
    """What must enter the funnel at the top to win `target`, by what became of all of the period's cohort; averages are of those
    with an amount in the target's currency. `lacking`: why not known."""

    period: PeriodTold
    belonging: Belonging
    target: Money
    entered: int
    won: int
    won_without_amount: int
    still_open: int
    conversion: float | None
    average_won_minor: int | None
    average_entered_minor: int | None
    days_to_win_median: float | None
    wins_needed: int | None
    entries_needed: int | None
    amount_needed_minor: int | None
    lacking: str | None

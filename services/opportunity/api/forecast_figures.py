"""The figures of a forecast, as they are answered."""

from datetime import date, datetime

from pydantic import BaseModel

from services.opportunity.api.converting import RateUsed
from services.opportunity.api.groups import Group
from services.opportunity.api.rows import Coded
from services.opportunity.queries.funnel import GroupBy
from services.opportunity.queries.view import Belonging


class ForecastPeriodTold(BaseModel):
    label: str
    kind: str
    first_day: date
    last_day: date


class Category(Coded):
    """What `count` opportunities of the category are worth: in all, and times the bounds and the middle of the probability range,
    rounded per opportunity."""

    count: int
    minor: int
    low_minor: int
    high_minor: int
    weighted_minor: int
    drill: str


class Target(BaseModel):
    """What is to be won; `drill`: every word that was said on it."""

    minor: int
    effective_from: datetime
    drill: str


class ForecastJudged(BaseModel):
    """What managers who have another amount or close date in mind expect of the period; in no other figure."""

    count: int
    minor: int
    drill: str


class InOne(BaseModel):
    """The same money in another currency; `rate` is null where it was in that currency already, and of a sum."""

    currency: str
    minor: int
    low_minor: int
    high_minor: int
    weighted_minor: int
    closed_minor: int
    target_minor: int | None
    gap_minor: int | None
    gap_low_minor: int | None
    gap_high_minor: int | None
    judged_minor: int | None
    rate: RateUsed | None


class ForecastWorth(BaseModel):
    """Of a currency. `count` and the money are of what is open, without what is omitted; `closed_minor` was won so far. The gap is
    target − closed − weighted (low, high); negative: more is expected than was asked for; null: there is no target."""

    currency: str
    count: int
    minor: int
    low_minor: int
    high_minor: int
    weighted_minor: int
    closed_minor: int
    categories: list[Category]
    target: Target | None
    gap_minor: int | None
    gap_low_minor: int | None
    gap_high_minor: int | None
    judged: ForecastJudged | None
    converted: InOne | None
    drill: str


class Unpriced(BaseModel):
    """Open without an amount: in `count`, and in no money. `drill` null: there is none."""

    count: int
    drill: str | None


class SlotSum(BaseModel):
    """`count`: open, without what is omitted. `converted`: the sum of what each currency is converted to."""

    count: int
    worth: list[ForecastWorth]
    without_amount: Unpriced
    converted: InOne | None
    drill: str


class SlotFigure(SlotSum):
    """`groups`: by name of the group."""

    groups: dict[GroupBy, Group]


class ForecastSum(SlotSum):
    """Of a period."""

    period: ForecastPeriodTold


class ForecastFigure(ForecastSum):
    """`groups`: by name of the group."""

    groups: dict[GroupBy, Group]


class ForecastAnswer(BaseModel):
    """Figures by period, in order of their groups. `overdue`: still open though the close date is over; `undated`: without one;
    both in no period. `rates`: those that were used, of the day `rate_on` or the last before it."""

    group_by: list[GroupBy]
    belonging: Belonging
    as_of: datetime | None
    known_at: datetime | None
    figures: list[ForecastFigure]
    totals: list[ForecastSum]
    overdue: list[SlotFigure]
    undated: list[SlotFigure]
    rate_on: date | None
    rates: list[RateUsed]

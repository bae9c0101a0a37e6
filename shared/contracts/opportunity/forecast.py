"""Forecast (R2): what is said of an opportunity (stream `opportunity-<id>`), and what a person or team submitted for a period
(stream `forecast-<kind>-<holder>-<period>`)."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.event import Event
from shared.contracts.opportunity.contract import CONTRACT, Code, EntityId, Text
from shared.contracts.opportunity.process import Part
from shared.kit.money import MAX_MINOR, Currency, Money

ForecastCategory = Literal["pipeline", "best_case", "commit", "closed", "omitted"]
ChosenCategory = Literal["pipeline", "best_case", "commit", "omitted"]
PeriodLabel = Annotated[str, Field(pattern=r"^([0-9]{4}-([0-9]{2}|Q[1-4])|FY[0-9]{4})$", examples=["2026-Q4"])]
"""A month, a quarter or a fiscal year of the business calendar."""
MOST_LINES = 500
"""Of a submission, which is one event: `lines` and `beside` together."""
_Minor = Annotated[int, Field(ge=-MAX_MINOR * MOST_LINES, le=MAX_MINOR * MOST_LINES)]
_PerCent = Annotated[int, Field(ge=0, le=100)]


@CONTRACT.event("opportunity.forecast_categorised")
class ForecastCategorised(Event):
    """What may be counted on; none: as its funnel state has it."""

    category: ChosenCategory | None = None


@CONTRACT.event("opportunity.forecast_judged")
class ForecastJudged(Event):
    """How a manager judges it, complete: kept beside what is computed, never over it. Nothing but `judged_by`: no longer judged."""

    judged_by: str = Field(max_length=200, examples=["lin"])
    amount: Money | None = None
    close_date: date | None = None
    note: Text | None = None


class ForecastMoney(Part):
    """What `count` opportunities of a category are worth: in all, and times the bounds and the middle of the probability range,
    rounded per opportunity."""

    category: ForecastCategory
    currency: Currency
    count: int = Field(ge=0)
    minor: _Minor
    low_minor: _Minor
    high_minor: _Minor
    weighted_minor: _Minor


class ForecastJudgement(Part):
    """What came in so far, and what is judged to: by a manager where one judged, weighted where nobody did. `count`: judged."""

    currency: Currency
    count: int = Field(ge=0)
    minor: _Minor


class ForecastLine(Part):
    """An opportunity as it stood: the number of its working stage, the bounds of its probability in per cent."""

    opportunity_id: EntityId
    process: Code
    process_version: int = Field(ge=1)
    stage: int = Field(ge=1, le=40)
    category: ForecastCategory
    amount: Money | None = None
    low: _PerCent
    high: _PerCent
    close_date: date | None = None
    judged_amount: Money | None = None
    judged_close_date: date | None = None


@CONTRACT.event("opportunity.forecast_submitted", stream="forecast")
class ForecastSubmitted(Event):
    """What a person, or a team with those below it (`teams`), expected of a period on the day: never changed, at most superseded
    by the next one of the same holder and period. `judged`: of currencies in which something was judged. `beside`: what a manager
    judged to close within the period though its close date lies elsewhere, or is over: in `judged`, and in no other figure."""

    submission_id: EntityId
    holder_kind: Literal["person", "team"]
    holder_id: EntityId
    teams: tuple[EntityId, ...] = Field(default=(), max_length=500)
    period: PeriodLabel
    first_day: date
    last_day: date
    figures: tuple[ForecastMoney, ...] = ()
    judged: tuple[ForecastJudgement, ...] = ()
    lines: tuple[ForecastLine, ...] = Field(default=(), max_length=MOST_LINES)
    beside: tuple[ForecastLine, ...] = Field(default=(), max_length=MOST_LINES)
    note: Text | None = None

"""The business calendar: which day and which period a moment falls into."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.opportunity.api.roles import MAY_READ
from services.opportunity.labels import PERIODS, word
from shared.kit.calendar import Period, PeriodKind
from shared.web.commanding import PROBLEMS, BackendNow
from shared.web.language import LanguageNow
from shared.web.problems import bad_request
from shared.web.reading import moment_of

router = APIRouter(tags=["calendar"], dependencies=[MAY_READ])
MOST_PERIODS = 400
DEFAULT_PERIODS = 8


class CalendarQuery(BaseModel):
    """Without `from` and `to`: the period of `at` and the seven before it."""

    model_config = ConfigDict(extra="forbid")

    kind: PeriodKind = Field(default="quarter", description="Which periods.")
    first_day: date | None = Field(default=None, alias="from", description="The first day of interest.")
    last_day: date | None = Field(default=None, alias="to", description="The last day of interest.")
    at: str | None = Field(default=None, max_length=40, description="A day or a moment; default now.")


class PeriodRow(BaseModel):
    """`start <= moment < end`."""

    label: str
    kind: PeriodKind
    start: datetime
    end: datetime
    first_day: date
    last_day: date


class PeriodKindName(BaseModel):
    kind: PeriodKind
    label: str


class CalendarAnswer(BaseModel):
    """`current`: the period of `at`. `periods`: all of the kind that overlap the days asked for, in order."""

    time_zone: str
    fiscal_year_start_month: int
    week_start: int = Field(description="0 Monday … 6 Sunday")
    today: date
    kinds: list[PeriodKindName]
    current: PeriodRow
    periods: list[PeriodRow]


@router.get("/calendars", summary="The business calendar and its periods", operation_id="calendars", responses=PROBLEMS)
async def calendars(
    ask: Annotated[CalendarQuery, Query()], backend: BackendNow, language: LanguageNow
) -> CalendarAnswer:
    """The day of a moment, the period around it, and periods from one day to another: every day and period is decided here."""
    calendar, now = backend.calendar, backend.clock.now()
    current = calendar.period_of(moment_of(ask.at, "at", calendar) or now, ask.kind)
    return CalendarAnswer(
        time_zone=calendar.time_zone,
        fiscal_year_start_month=calendar.fiscal_year_start_month,
        week_start=calendar.week_start,
        today=calendar.day_of(now),
        kinds=[PeriodKindName(kind=kind, label=word(PERIODS, kind, language)) for kind in PERIODS],  # type: ignore[arg-type]
        current=_row(current),
        periods=[_row(one) for one in _periods(ask, backend, current)],
    )


def _periods(ask: CalendarQuery, backend: BackendNow, current: Period) -> list[Period]:
    calendar = backend.calendar
    last = calendar.period_of_day(_checked(ask.last_day, "to"), ask.kind) if ask.last_day else current
    if ask.first_day is None:
        found = [last]
        while len(found) < DEFAULT_PERIODS:
            found.insert(0, calendar.preceding(found[0]))
        return found
    found = [calendar.period_of_day(_checked(ask.first_day, "from"), ask.kind)]
    while found[-1].end < last.end:
        if len(found) == MOST_PERIODS:
            raise bad_request(
                "too_many_periods",
                f"more than {MOST_PERIODS} periods of kind {ask.kind} lie between these days",
                field="from",
                expected="days closer to each other, or longer periods",
            )
        found.append(calendar.following(found[-1]))
    return found if found[-1].end == last.end else []


def _checked(day: date, field: str) -> date:
    if not 1900 <= day.year <= 9000:
        raise bad_request("bad_day", f"{field} {day} is out of range", field=field, expected="years 1900 to 9000")
    return day


def _row(period: Period) -> PeriodRow:
    return PeriodRow(
        label=period.label,
        kind=period.kind,
        start=period.start,
        end=period.end,
        first_day=period.first_day,
        last_day=period.last_day,
    )

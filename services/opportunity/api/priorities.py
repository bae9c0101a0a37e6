"""Priorities (R4): what stands under each, and what is spent on it against what it deserves."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from services.opportunity import labels
from services.opportunity.api.asking import Asking, AskingNow, Within
from services.opportunity.api.columns import columns
from services.opportunity.api.roles import MAY_READ
from services.opportunity.api.rows import Coded, Totals, coded, totals_of
from services.opportunity.domain.assessment.model import AssessmentModel
from services.opportunity.queries.moment import OPEN
from services.opportunity.queries.priorities import effort, model_of, standing
from services.opportunity.queries.view import WORK_LIST, Belonging
from shared.contracts.opportunity import Priority, PriorityRule
from shared.projections.reads import NotYetVisibleError
from shared.web.commanding import PROBLEMS
from shared.web.export import FILES, AcceptedNow, Cell, Column, Exported, at_once, export, in_parts, whole_units

router = APIRouter(tags=["assessment"], dependencies=[MAY_READ])


class PrioritiesQuery(Within, Exported):
    """Which opportunities, and the period in which effort counts; default the current fiscal year."""

    belonging: Belonging = Field(default=WORK_LIST, description="Whose they are: `now`, or whose they were `then`.")


class Effort(BaseModel):
    visits: int
    minutes: int


class PriorityFigure(BaseModel):
    """`totals` of those that are open or paused. `effort` within the period, by the priority that each had when it was spent;
    `visits_share` and `minutes_share` in per cent of all priorities, null: nothing was spent. `deserves`: per cent."""

    priority: Coded
    totals: Totals
    effort: Effort
    visits_share: float | None
    minutes_share: float | None
    deserves: int
    drill: str


class Priorities(BaseModel):
    """`most_visits_on_a`, `most_minutes_on_a`: did no other priority get as much as A; null: nothing was spent. `after_the_end`:
    spent on what had ended already, in no share."""

    items: list[PriorityFigure]
    most_visits_on_a: bool | None
    most_minutes_on_a: bool | None
    after_the_end: Effort
    model_version: int
    first_day: date
    last_day: date
    as_of: datetime | None
    known_at: datetime | None


@router.get("/priorities", summary="Effort against what each priority deserves", operation_id="priorities",
            response_model=Priorities, responses={**PROBLEMS, 200: {"content": FILES}})  # fmt: skip
async def priorities(
    ask: Annotated[PrioritiesQuery, Query()], asking: AskingNow, accepted: AcceptedNow
) -> Priorities | Response:
    """Opportunities, amounts and effort by priority A to D: the share that was spent against the share deserved."""
    told, form = await _priorities(ask, asking), ask.format or accepted
    if form == "json":
        return told
    rows = in_parts(told.items, at_once)
    return await export(form, "priorities", _columns(told, asking), rows, asking.backend.calendar.time_zone)


async def _priorities(ask: PrioritiesQuery, asking: Asking) -> Priorities:
    model = await latest_model(asking)
    view, period = await asking.view(ask), asking.period(ask)
    stands = await standing(asking.connection, view)
    spent = {
        row["priority"]: Effort(visits=row["visits"], minutes=row["minutes"])
        for row in await effort(asking.connection, view, period.start, period.end)
    }
    on = {rule.priority: spent.get(rule.priority, Effort(visits=0, minutes=0)) for rule in model.priorities}
    return Priorities(
        items=[_figure(rule, on, stands, ask, asking) for rule in model.priorities],
        most_visits_on_a=_most([one.visits for one in on.values()]),
        most_minutes_on_a=_most([one.minutes for one in on.values()]),
        after_the_end=spent.get(None, Effort(visits=0, minutes=0)),
        model_version=model.version,
        first_day=period.first_day,
        last_day=period.last_day,
        as_of=view.as_of,
        known_at=view.known_at,
    )


def _columns(told: Priorities, asking: Asking) -> list[Column[PriorityFigure]]:
    """What is worth something, in each currency that there is."""
    currencies = sorted({one.currency for item in told.items for one in item.totals.sums})

    def worth(currency: str) -> Column[PriorityFigure]:
        def cell(row: PriorityFigure) -> Cell:
            minor = sum(one.minor for one in row.totals.sums if one.currency == currency)
            return whole_units(minor, currency)

        return Column(currency, cell)

    return [
        *columns(
            asking.language,
            priority=lambda row: row.priority.label,
            count=lambda row: row.totals.count,
            visits=lambda row: row.effort.visits,
            visits_share=lambda row: row.visits_share,
            minutes=lambda row: row.effort.minutes,
            minutes_share=lambda row: row.minutes_share,
            deserves=lambda row: row.deserves,
        ),
        *(worth(currency) for currency in currencies),
    ]


async def latest_model(asking: Asking) -> AssessmentModel:
    """Raises NotYetVisibleError: one is defined when the service is installed."""
    model = await model_of(asking.connection)
    if model is None:
        raise NotYetVisibleError("the assessment model is not visible here yet")
    return model


def _figure(
    rule: PriorityRule,
    on: Mapping[Priority, Effort],
    stands: Sequence[RowMapping],
    ask: PrioritiesQuery,
    asking: Asking,
) -> PriorityFigure:
    spent = on[rule.priority]
    return PriorityFigure(
        priority=coded(labels.PRIORITIES, rule.priority, asking.language),
        totals=totals_of(row for row in stands if row["priority"] == rule.priority),
        effort=spent,
        visits_share=_share(spent.visits, sum(one.visits for one in on.values())),
        minutes_share=_share(spent.minutes, sum(one.minutes for one in on.values())),
        deserves=rule.deserves,
        drill=asking.list_link(ask, priority=rule.priority, outcome=list(OPEN)),
    )


def _share(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole > 0 else None


def _most(spent: Sequence[int]) -> bool | None:
    first, *others = spent
    return first > max(others) if sum(spent) > 0 else None

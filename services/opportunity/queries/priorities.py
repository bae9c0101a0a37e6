"""How many opportunities have each priority, and what was spent on them (R4)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import BigInteger, RowMapping, and_, cast, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.assessment.model import DEFAULT_MODEL_KEY, AssessmentModel
from services.opportunity.projections.deal_control import assessment_model
from services.opportunity.projections.timeline import fact, span
from services.opportunity.queries.moment import OPEN, known, with_probability
from services.opportunity.queries.priority import LATEST_MODEL, day_of, priority
from services.opportunity.queries.view import View, seen
from shared.contracts.opportunity import EffortSpent


async def standing(connection: AsyncConnection, view: View) -> Sequence[RowMapping]:
    """Number and money of the view's open and paused opportunities by priority and currency (null: no amount known)."""
    rows = seen(replace(view, filters=replace(view.filters, outcome=OPEN)))
    statement = (
        select(
            rows.c.priority,
            rows.c.currency,
            func.count().label("count"),
            cast(func.coalesce(func.sum(rows.c.amount_minor), 0), BigInteger).label("amount_minor"),
        )
        .group_by(rows.c.priority, rows.c.currency)
        .order_by(rows.c.priority, rows.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


async def effort(connection: AsyncConnection, view: View, start: datetime, end: datetime) -> Sequence[RowMapping]:
    """Visits and minutes spent within [start, end) on the view's opportunities, by the priority that each had when they were spent
    on it; null: it had ended. The model is the latest one all the while."""
    rows = seen(view)
    source, range_ = with_probability(span, span)
    had = priority(span, range_, day_of(fact.c.occurred_at, view.calendar.time_zone)).label("priority")
    then = and_(
        span.c.opportunity_id == fact.c.opportunity_id,
        span.c.valid_from <= fact.c.occurred_at,
        span.c.valid_to > fact.c.occurred_at,
        known(span, view.known_at),
    )
    statement = (
        select(
            had,
            func.sum(fact.c.data["visits"].as_integer()).label("visits"),
            func.sum(fact.c.data["minutes"].as_integer()).label("minutes"),
        )
        .select_from(
            source.outerjoin(LATEST_MODEL, true())
            .join(fact, then)
            .join(rows, rows.c.opportunity_id == fact.c.opportunity_id)
        )
        .where(fact.c.type_name == EffortSpent.type_name, fact.c.occurred_at >= start, fact.c.occurred_at < end)
        .group_by(had)
        .order_by(had)
    )
    if view.as_of is not None:
        statement = statement.where(fact.c.occurred_at <= view.as_of)
    if view.known_at is not None:
        statement = statement.where(fact.c.recorded_at <= view.known_at)
    return (await connection.execute(statement)).mappings().all()


async def model_of(connection: AsyncConnection, version: int | None = None) -> AssessmentModel | None:
    """A version of the assessment model, by default the latest; None: there is none."""
    statement = select(assessment_model.c.model).where(assessment_model.c.key == DEFAULT_MODEL_KEY)
    if version is not None:
        statement = statement.where(assessment_model.c.version == version)
    found = await connection.scalar(statement.order_by(assessment_model.c.version.desc()).limit(1))
    return None if found is None else AssessmentModel.model_validate(found)

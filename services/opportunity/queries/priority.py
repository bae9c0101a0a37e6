"""The priority of opportunities (R4) within the database: as `domain.priority` has it, by the latest assessment model."""

from datetime import date
from typing import Any

from sqlalchemy import Date, DateTime, FromClause, and_, case, cast, func, literal, null, or_, select
from sqlalchemy.sql.elements import ColumnElement

from services.opportunity.domain.assessment.model import DEFAULT_MODEL_KEY, PRIORITIES
from services.opportunity.projections.deal_control import assessment_model
from services.opportunity.queries.moment import OPEN

LATEST_MODEL = (
    select(assessment_model)
    .where(assessment_model.c.key == DEFAULT_MODEL_KEY)
    .order_by(assessment_model.c.version.desc())
    .limit(1)
    .subquery("latest_model")
)
"""One row, or none while nobody has defined a model; to be joined to whatever it judges."""


def priority(
    of: FromClause, probability: tuple[ColumnElement[int], ColumnElement[int]], today: date | ColumnElement[date]
) -> ColumnElement[Any]:
    """Of a span on a day; NULL for what has ended, and while there is no model; needs `LATEST_MODEL` joined."""
    day = literal(today, Date) if isinstance(today, date) else today
    low, high = probability
    fits = []
    for letter in PRIORITIES[:-1]:
        days, least = (LATEST_MODEL.c[f"{letter.lower()}_{part}"] for part in ("days", "from"))
        near = or_(days.is_(None), of.c.close_date - day <= days)
        fits.append((and_(near, low + high >= 2 * least), literal(letter)))
    judged = and_(of.c.outcome.in_(OPEN), LATEST_MODEL.c.version.is_not(None))
    return case((~judged, null()), *fits, else_=literal(PRIORITIES[-1])).collate("C")


def day_of(moment: ColumnElement[Any], time_zone: str) -> ColumnElement[date]:
    """The day of the business calendar that a moment falls into."""
    return cast(func.timezone(time_zone, moment), Date)


def morning(day: ColumnElement[Any], time_zone: str) -> ColumnElement[Any]:
    """The moment at which a day of the business calendar begins."""
    return func.timezone(time_zone, cast(day, DateTime))

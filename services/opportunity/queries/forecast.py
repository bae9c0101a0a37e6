"""The forecast (R2): what is to close within periods, by category, what was won in them, and what managers judge beside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, String, and_, case, func, literal, null, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import Subquery

from services.opportunity.domain.forecast.category import COUNTED
from services.opportunity.queries.funnel import GroupBy, groups_of, weighted, whole
from services.opportunity.queries.moment import OPEN, Due, due, judged, judged_close, judged_currency
from services.opportunity.queries.view import View, seen
from shared.kit.calendar import Period

APART: tuple[Due, ...] = ("overdue", "undated")
"""Slots beside the periods: still open though its close date is over, and open without one."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Rows by `slot` (the label of a period, or one of APART), groups and currency (null: no amount known).

    `figures`, by category too: count, amount_minor, low_minor, high_minor, weighted_minor. `judged`: of those on which a manager
    has a word, in the period that he expects: count, amount_minor.
    """

    figures: Sequence[RowMapping]
    judged: Sequence[RowMapping]


async def expectation(
    connection: AsyncConnection, view: View, by: Sequence[GroupBy], periods: Sequence[Period]
) -> Expectation:
    """Every opportunity counts once: won in the period in which it was won; open in that of its close date, or in a slot apart."""
    rows = seen(replace(view, filters=replace(view.filters, outcome=(*OPEN, "won"))))
    return Expectation(
        (await connection.execute(_figures(rows, view, by, periods))).mappings().all(),
        (await connection.execute(_judged(rows, view, by, periods))).mappings().all(),
    )


def _figures(rows: Subquery, view: View, by: Sequence[GroupBy], periods: Sequence[Period]) -> Any:
    at = due(rows.c.close_date, view.today)
    won = _within([and_(rows.c.outcome_since >= one.start, rows.c.outcome_since < one.end) for one in periods], periods)
    open_ = _within([rows.c.close_date.between(one.first_day, one.last_day) for one in periods], periods)
    slot = case((rows.c.outcome == "won", won), *((at[name], literal(name)) for name in APART), else_=open_)
    one = select(
        slot.label("slot"),
        *groups_of(rows, by, view.calendar),
        rows.c.currency,
        rows.c.forecast.label("category"),
        rows.c.amount_minor,
        ((rows.c.probability_low * rows.c.amount_minor + 50) // 100).label("low_minor"),
        ((rows.c.probability_high * rows.c.amount_minor + 50) // 100).label("high_minor"),
        weighted(rows).label("weighted_minor"),
    ).subquery("one")
    sums = ("amount_minor", "low_minor", "high_minor", "weighted_minor")
    keys = [one.c.slot, *(one.c[name] for name in by), one.c.currency, one.c.category]
    return (
        select(*keys, func.count().label("count"), *(whole(func.sum(one.c[name])).label(name) for name in sums))
        .where(one.c.slot.is_not(None))
        .group_by(*keys)
        .order_by(*(key.asc().nulls_last() for key in keys))
    )


def _judged(rows: Subquery, view: View, by: Sequence[GroupBy], periods: Sequence[Period]) -> Any:
    slot = _within([judged_close(rows).between(one.first_day, one.last_day) for one in periods], periods)
    one = select(
        slot.label("slot"),
        *groups_of(rows, by, view.calendar),
        judged_currency(rows).label("currency"),
        func.coalesce(rows.c.judged_minor, rows.c.amount_minor).label("amount_minor"),
    ).where(judged(rows), rows.c.outcome.in_(OPEN), rows.c.forecast.in_(COUNTED))
    said = one.subquery("said")
    keys = [said.c.slot, *(said.c[name] for name in by), said.c.currency]
    return (
        select(*keys, func.count().label("count"), whole(func.sum(said.c.amount_minor)).label("amount_minor"))
        .where(said.c.slot.is_not(None))
        .group_by(*keys)
        .order_by(*(key.asc().nulls_last() for key in keys))
    )


def _within(conditions: Sequence[ColumnElement[bool]], periods: Sequence[Period]) -> ColumnElement[Any]:
    """The label of the period whose condition holds; null: of none."""
    cases = [(condition, literal(one.label, String)) for condition, one in zip(conditions, periods, strict=True)]
    return case(*cases, else_=null())

"""The pipeline (R2): how many and how much stand where, between low and high, how many wins that promises, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import ColumnElement, RowMapping, Subquery, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.process import Synchrony
from services.opportunity.queries.funnel import GroupBy, groups_of, in_order, weighted, whole
from services.opportunity.queries.view import View, seen

SYNCHRONIES: tuple[Synchrony, ...] = get_args(Synchrony)


@dataclass(frozen=True, slots=True)
class Standing:
    """`all`: the whole group; `worth`: it by currency, null for those without an amount, last."""

    all: RowMapping
    worth: tuple[RowMapping, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The groups in order, and all of them together."""

    groups: tuple[Standing, ...]
    total: Standing


async def pipeline(connection: AsyncConnection, view: View, by: Sequence[GroupBy]) -> Pipeline:
    """Of each group and currency: count, amount_minor; low_minor, high_minor, weighted_minor (the money times the bounds and the
    middle of the probability range, rounded per opportunity to whole minor units); low, high (the sum of the probabilities in per
    cent: a hundred is a win expected); days_median, days_longest in the stage; and how many are in_sync, behind, at_risk, ahead.

    One pass over the opportunities: groups, currencies and totals are of one moment.
    """
    rows = seen(view)
    # Aliased inside, so that a grouping set names a column and not an expression with parameters of its own.
    wanted = (*groups_of(rows, by, view.calendar), rows.c.currency)
    days = (
        func.extract("epoch", literal(view.as_of or view.now, rows.c.stage_since.type) - rows.c.stage_since) / 86_400.0
    )
    one = select(
        *wanted,
        rows.c.synchrony.label("in_step"),
        rows.c.amount_minor,
        ((rows.c.probability_low * rows.c.amount_minor + 50) // 100).label("low_minor"),
        ((rows.c.probability_high * rows.c.amount_minor + 50) // 100).label("high_minor"),
        weighted(rows).label("weighted_minor"),
        rows.c.probability_low.label("low"),
        rows.c.probability_high.label("high"),
        func.greatest(days, 0).label("days"),
    ).subquery("one")
    groups = [one.c[name] for name in by]
    sets = (tuple_(*groups, one.c.currency), tuple_(*groups), tuple_(one.c.currency), tuple_())
    level = func.grouping(*groups, one.c.currency)
    statement = (
        select(*groups, one.c.currency, level.label("level"), *_figures(one))
        .group_by(func.grouping_sets(*sets))
        .order_by(level.desc(), *(in_order(group) for group in groups), one.c.currency.asc().nulls_last())
    )
    found = (await connection.execute(statement)).mappings().all()
    return _sorted_out(found, by)


def _figures(one: Subquery) -> list[ColumnElement[Any]]:
    sums = ("amount_minor", "low_minor", "high_minor", "weighted_minor", "low", "high")
    return [
        func.count().label("count"),
        *(whole(func.sum(one.c[name])).label(name) for name in sums),
        func.percentile_cont(0.5).within_group(one.c.days).label("days_median"),
        func.max(one.c.days).label("days_longest"),
        *(func.count().filter(one.c.in_step == name).label(name) for name in SYNCHRONIES),
    ]


def _sorted_out(found: Sequence[RowMapping], by: Sequence[GroupBy]) -> Pipeline:
    """`level` has a bit for each column that a row adds up over: the last one is the currency's."""
    everything = 2 ** (len(by) + 1) - 1
    of_level = {level: [row for row in found if row["level"] == level] for level in (everything, everything - 1, 1, 0)}
    worth: dict[tuple[Any, ...], list[RowMapping]] = {}
    for row in of_level[0]:
        worth.setdefault(tuple(row[name] for name in by), []).append(row)
    groups = tuple(Standing(row, tuple(worth[tuple(row[name] for name in by)])) for row in of_level[1])
    return Pipeline(groups, Standing(of_level[everything][0], tuple(of_level[everything - 1])))

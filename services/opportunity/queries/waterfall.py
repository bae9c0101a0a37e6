"""The change waterfall (R2): what moved the pipeline between two moments of either clock, step by step.

A step is a moment at which something about an opportunity became otherwise; what it did to the pipeline is said here and
nowhere else. In the pipeline is who exists, is open or paused, and is a *member*: fits the filters, the period in which it is
expected to close among them. Bars are sums over steps, so those from a to b and those from b to c add up to those from a to c.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Subquery, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.timeline import fact
from services.opportunity.queries.funnel import whole
from services.opportunity.queries.moves import Bar, Between, PartBy, moves
from services.opportunity.queries.view import View


@dataclass(frozen=True, slots=True)
class Chosen:
    """Steps of one bar, of one currency (None: without an amount); `bar` None: of all."""

    bar: Bar | None = None
    currency: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class AfterStep:
    """The last step of the page before."""

    at: datetime
    opportunity_id: str
    place: int


async def bars(
    connection: AsyncConnection, view: View, between: Between, by: PartBy | None = None
) -> Sequence[RowMapping]:
    """Per part (`by`), bar and currency: `minor` and `count` with their signs, what they add to the pipeline's money and number;
    `changes`, the steps behind them. Currency null: opportunities without an amount."""
    moved = moves(view, between, by)
    groups = [moved.c.part.label(by)] if by else []
    statement = select(
        *groups,
        moved.c.bar,
        moved.c.currency,
        whole(func.sum(moved.c.minor)).label("minor"),
        whole(func.sum(moved.c.number)).label("count"),
        func.count().label("changes"),
    ).group_by(*groups, moved.c.bar, moved.c.currency)
    return (await connection.execute(statement)).mappings().all()


async def steps(
    connection: AsyncConnection,
    view: View,
    between: Between,
    chosen: Chosen,
    limit: int,
    after: AfterStep | None = None,
) -> Sequence[RowMapping]:
    """The next `limit` steps in order of time: opportunity_id, name, at, place, bar, currency, minor, count, owner_id, team_id,
    account_id, process."""
    moved = moves(view, between, None)
    order = _in_time(moved)
    statement = _listed(moved, chosen).limit(limit)
    if after is not None:
        # One by one, for a tuple of parameters has no types of its own.
        last = (literal(after.at, order[0].type), literal(after.opportunity_id, order[1].type), literal(after.place))
        statement = statement.where(tuple_(*order) > tuple_(*last))
    found: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return found


async def all_steps(
    connection: AsyncConnection, view: View, between: Between, chosen: Chosen, size: int
) -> AsyncIterator[Sequence[RowMapping]]:
    """All of them in the same order, `size` at a time; asked for once."""
    found = await connection.stream(_listed(moves(view, between, None), chosen))
    async for chunk in found.mappings().partitions(size):
        yield chunk


async def count_steps(connection: AsyncConnection, view: View, between: Between, chosen: Chosen) -> int:
    moved = moves(view, between, None)
    found = await connection.scalar(select(func.count()).select_from(moved).where(*_of(moved, chosen)))
    return int(found or 0)


async def facts_behind(
    connection: AsyncConnection, between: Between, of: Sequence[RowMapping]
) -> Mapping[tuple[str, datetime], list[RowMapping]]:
    """(opportunity, moment) of the steps → what was recorded of that moment, in order: position, version, event_id, type_name."""
    if not of:
        return {}
    moment = fact.c.occurred_at if between.clock == "business" else fact.c.recorded_at
    statement = (
        select(
            fact.c.opportunity_id,
            moment.label("at"),
            fact.c.position,
            fact.c.version,
            fact.c.event_id,
            fact.c.type_name,
        )
        .where(
            fact.c.opportunity_id.in_(sorted({row["opportunity_id"] for row in of})),
            moment.in_(sorted({row["at"] for row in of})),
        )
        .order_by(fact.c.position)
    )
    if between.clock == "business" and between.known_at is not None:
        statement = statement.where(fact.c.recorded_at <= between.known_at)
    found: dict[tuple[str, datetime], list[RowMapping]] = {}
    for row in (await connection.execute(statement)).mappings():
        found.setdefault((row["opportunity_id"], row["at"]), []).append(row)
    return found


def _in_time(moved: Subquery) -> tuple[ColumnElement[Any], ...]:
    return moved.c.at, moved.c.opportunity_id, moved.c.place


def _listed(moved: Subquery, chosen: Chosen) -> Select[Any]:
    found = select(moved, moved.c.number.label("count")).where(*_of(moved, chosen))
    return found.order_by(*_in_time(moved))


def _of(moved: Subquery, chosen: Chosen) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.bar is not None:
        found.append(moved.c.bar == chosen.bar)
    if chosen.currency:
        some = [one for one in chosen.currency if one is not None]
        without = moved.c.currency.is_(None) if None in chosen.currency else literal(False)
        found.append(or_(moved.c.currency.in_(some), without))
    return found

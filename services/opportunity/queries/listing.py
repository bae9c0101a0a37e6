"""Lists of opportunities with totals, in a stated order, page by page; and the board, which is a list per column."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, RowMapping, and_, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import Subquery

from services.opportunity.queries.view import View, amounts, seen

SortBy = Literal["updated", "opened", "name", "amount", "close_date", "stage", "priority"]
SORT_COLUMNS: dict[SortBy, str] = {
    "updated": "updated_at",
    "opened": "opened_at",
    "name": "sort_name",
    "amount": "amount_minor",
    "close_date": "close_date",
    "stage": "working_stage",
    "priority": "priority",
}


@dataclass(frozen=True, slots=True)
class Order:
    """`descending` for a leading minus: `-updated`. Rows without a value come last either way; the id breaks ties."""

    by: SortBy = "updated"
    descending: bool = True

    @classmethod
    def parse(cls, text: str) -> "Order":
        """`name` or `-name`. Raises ValueError with the list of sorts."""
        by = text.removeprefix("-")
        if by not in SORT_COLUMNS:
            raise ValueError(
                f"sort {text!r} is none of {', '.join(SORT_COLUMNS)}, each with or without a leading minus"
            )
        return cls(by, text.startswith("-"))


@dataclass(frozen=True, slots=True)
class After:
    """The last row of the page before: its sort value (None sorts last) and id."""

    value: Any
    opportunity_id: str

    @classmethod
    def row(cls, row: RowMapping, order: Order) -> "After":
        return cls(row[SORT_COLUMNS[order.by]], row["opportunity_id"])


async def page(
    connection: AsyncConnection, view: View, order: Order, limit: int, after: After | None = None
) -> Sequence[RowMapping]:
    """The next `limit` rows of the view in this order."""
    rows = seen(view)
    return (await connection.execute(_ordered(rows, order, after).limit(limit))).mappings().all()


async def in_chunks(
    connection: AsyncConnection, view: View, order: Order, size: int
) -> AsyncIterator[Sequence[RowMapping]]:
    """All rows of the view in this order, `size` at a time; asked for once."""
    found = await connection.stream(_ordered(seen(view), order, None))
    async for chunk in found.mappings().partitions(size):
        yield chunk


async def totals(connection: AsyncConnection, view: View) -> Sequence[RowMapping]:
    """Number and money of all rows of the view, a row per currency (null: no amount known)."""
    rows = amounts(view)
    statement = (
        select(
            rows.c.currency,
            func.count().label("count"),
            cast(func.coalesce(func.sum(rows.c.amount_minor), 0), BigInteger).label("amount_minor"),
        )
        .group_by(rows.c.currency)
        .order_by(rows.c.currency.asc().nulls_last())
    )
    return (await connection.execute(statement)).mappings().all()


async def first_cards(
    connection: AsyncConnection, view: View, column: str, order: Order, cards: int
) -> Sequence[RowMapping]:
    """The first `cards` rows of every value of `column`, with `place` 1… in its column."""
    rows = seen(view)
    value = rows.c[SORT_COLUMNS[order.by]]
    direction = value.desc().nulls_last() if order.descending else value.asc().nulls_last()
    place = func.row_number().over(partition_by=rows.c[column], order_by=(direction, rows.c.opportunity_id))
    placed = select(rows, place.label("place")).subquery("placed")
    statement = (
        select(placed).where(placed.c.place <= cards).order_by(placed.c[column].asc().nulls_last(), placed.c.place)
    )
    return (await connection.execute(statement)).mappings().all()


def _ordered(rows: Subquery, order: Order, after: After | None) -> Any:
    value = rows.c[SORT_COLUMNS[order.by]]
    direction = value.desc().nulls_last() if order.descending else value.asc().nulls_last()
    statement = select(rows).order_by(direction, rows.c.opportunity_id)
    return statement if after is None else statement.where(_beyond(value, rows.c.opportunity_id, order, after))


def _beyond(value: ColumnElement[Any], row_id: ColumnElement[Any], order: Order, after: After) -> ColumnElement[bool]:
    same_later = row_id > after.opportunity_id
    if after.value is None:
        return and_(value.is_(None), same_later)
    bound = literal(after.value, value.type)
    further = value < bound if order.descending else value > bound
    return or_(further, and_(value == bound, same_later), value.is_(None))

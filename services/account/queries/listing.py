"""Lists in a stated order, page by page, with how many rows there are in all."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, RowMapping, Table, and_, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.search import terms

LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Order:
    """By these columns, none of them nullable, together unique: all upwards, or all downwards."""

    columns: Sequence[ColumnElement[Any]]
    descending: bool = False

    def values(self, row: RowMapping) -> list[Any]:
        """Where a row stands: what `after` is made of."""
        return [row[str(column.key)] for column in self.columns]

    def checked(self, values: Sequence[Any]) -> list[Any]:
        """Values that came from outside. Raises ValueError for one that cannot be of its column."""
        return [_checked(column, value) for column, value in zip(self.columns, values, strict=True)]


async def page(
    connection: AsyncConnection,
    source: FromClause,
    where: Sequence[ColumnElement[bool]],
    order: Order,
    limit: int,
    after: Sequence[Any] | None = None,
) -> Sequence[RowMapping]:
    """The next `limit` rows after the one that has the values `after`."""
    ordered = [column.desc() if order.descending else column.asc() for column in order.columns]
    statement = select(source).where(and_(True, *where)).order_by(*ordered).limit(limit)
    if after is not None:
        here = tuple_(*order.columns)
        bounds = zip(order.columns, after, strict=True)
        there = tuple_(*(literal(value, column.type) for column, value in bounds))
        statement = statement.where(here < there if order.descending else here > there)
    return (await connection.execute(statement)).mappings().all()


async def total(connection: AsyncConnection, source: FromClause, where: Sequence[ColumnElement[bool]]) -> int:
    counted = await connection.scalar(select(func.count()).select_from(source).where(and_(True, *where)))
    return int(counted or 0)


async def one(connection: AsyncConnection, table: Table, *where: ColumnElement[bool]) -> RowMapping | None:
    """The first that fits: external ids can stand at two entities while they are handed over."""
    statement = select(table).where(*where).order_by(table.c.updated_at.desc(), table.c.id).limit(1)
    return (await connection.execute(statement)).mappings().first()


def found(table: Table, q: str | None) -> list[ColumnElement[bool]]:
    """Every word of `q` occurs; `%`, `_` and the like are plain letters."""
    return [table.c.search.contains(term, autoescape=True) for term in terms(q or "")]


def _checked(column: ColumnElement[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is uuid.UUID or getattr(column.type, "as_uuid", None) is False:
        return str(uuid.UUID(value)) if isinstance(value, str) else _wrong(value)
    if kind is datetime:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else _wrong(value)
        return moment if moment.tzinfo is not None else _wrong(value)
    if kind is int:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER
        return value if whole else _wrong(value)
    if not isinstance(value, str) or "\0" in value:
        return _wrong(value)
    value.encode()  # half of a surrogate pair is a UnicodeEncodeError, which is a ValueError
    return value


def _wrong(value: Any) -> Any:
    raise ValueError(f"{value!r} is no value of this column")

"""Files that are attached to an opportunity, read off its facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, cast, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.projections.spans import recorded
from services.opportunity.projections.timeline import fact
from shared.contracts.opportunity import FileAttached

SortBy = Literal["attached", "name", "size"]
_ATTACHED = fact.c.type_name == FileAttached.type_name
_SIZE = cast(fact.c.data["size"].astext, BigInteger)
_COLUMNS: dict[SortBy, list[ColumnElement[Any]]] = {
    "attached": [fact.c.version],
    "name": [fact.c.data["name"].astext.collate("C"), fact.c.version],
    "size": [_SIZE, fact.c.version],
}


@dataclass(frozen=True, slots=True)
class Attached:
    """`version`: of the opportunity, by which the fact is known."""

    file: FileAttached
    version: int
    attached_at: datetime
    attached_by: str


async def files(
    connection: AsyncConnection,
    opportunity_id: str,
    by: SortBy,
    descending: bool,
    limit: int,
    after: Sequence[Any] | None = None,
) -> Sequence[Attached]:
    """`after`: the sort values of the last one of the page before: the version, preceded by name or size when ordered by these."""
    columns = _COLUMNS[by]
    statement = select(fact).where(fact.c.opportunity_id == opportunity_id, _ATTACHED)
    if after is not None:
        bound = tuple_(*(literal(value, column.type) for value, column in zip(after, columns, strict=True)))
        row = tuple_(*columns)
        statement = statement.where(row < bound if descending else row > bound)
    order = [column.desc() if descending else column.asc() for column in columns]
    found = await connection.execute(statement.order_by(*order).limit(limit))
    return [_attached(dict(row)) for row in found.mappings()]


async def file(connection: AsyncConnection, opportunity_id: str, file_id: str) -> Attached | None:
    """None: the opportunity has no such file."""
    named = fact.c.data["file_id"].astext == file_id
    found = await connection.execute(select(fact).where(fact.c.opportunity_id == opportunity_id, _ATTACHED, named))
    row = found.mappings().one_or_none()
    return None if row is None else _attached(dict(row))


async def totals(connection: AsyncConnection, opportunity_id: str) -> tuple[int, int]:
    """How many there are, and their bytes."""
    counted = select(func.count(), func.coalesce(func.sum(_SIZE), 0))
    row = (await connection.execute(counted.where(fact.c.opportunity_id == opportunity_id, _ATTACHED))).one()
    return int(row[0]), int(row[1])


def _attached(row: dict[str, Any]) -> Attached:
    e = recorded(row)
    return Attached(e.event, e.version, e.occurred_at, e.actor)

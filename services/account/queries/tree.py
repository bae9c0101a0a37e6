"""Trees of accounts and of teams: what is above, what is below.

While the streams of a tree are folded one after the other, a circle can show for a moment: no walk goes round twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, RowMapping, Table, all_, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID, array
from sqlalchemy.ext.asyncio import AsyncConnection

from services.account.domain.tree import DEEPEST

IDS = ARRAY(UUID(as_uuid=False))


@dataclass(frozen=True, slots=True)
class Tree:
    """`parent`: the column that names the row above."""

    table: Table
    parent: ColumnElement[Any]

    def below(self, tops: ColumnElement[bool], depth: int = DEEPEST) -> FromClause:
        """Columns `id` and `depth`: the rows that fit `tops` at depth 0, and what is below them, `depth` levels down."""
        table = self.table
        reached = (
            select(table.c.id, literal(0, Integer).label("depth"), cast(array([table.c.id]), IDS).label("path"))
            .where(tops)
            .cte("below", recursive=True)
        )
        step = (
            select(table.c.id, reached.c.depth + 1, func.array_append(reached.c.path, table.c.id))
            .join(reached, self.parent == reached.c.id)
            .where(reached.c.depth < depth, table.c.id != all_(reached.c.path))
        )
        return reached.union_all(step)

    def with_depth(self, top_id: str, depth: int) -> FromClause:
        """The rows of the tree below `top_id`, itself among them, with their `depth`."""
        reached = self.below(self.table.c.id == top_id, depth)
        return select(self.table, reached.c.depth).join(reached, reached.c.id == self.table.c.id).subquery("tree")

    async def above(self, connection: AsyncConnection, row_id: str) -> Sequence[RowMapping]:
        """`id`, `name` and `names` of the rows above, from the top down to the parent."""
        table = self.table
        reached = (
            select(table.c.id, self.parent.label("parent"), literal(0, Integer).label("height"))
            .where(table.c.id == row_id)
            .cte("above", recursive=True)
        )
        step = (
            select(table.c.id, self.parent, reached.c.height + 1)
            .join(reached, table.c.id == reached.c.parent)
            .where(reached.c.height < DEEPEST, table.c.id != row_id)
        )
        reached = reached.union_all(step)
        statement = (
            select(table.c.id, table.c.name, table.c.names)
            .join(reached, reached.c.id == table.c.id)
            .where(reached.c.height > 0)
            .order_by(reached.c.height.desc())
        )
        return (await connection.execute(statement)).mappings().all()

    async def children(self, connection: AsyncConnection, row_id: str) -> int:
        counted = await connection.scalar(select(func.count()).select_from(self.table).where(self.parent == row_id))
        return int(counted or 0)

"""What is defined version by version, and read from a table with a row for each."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.reads import NotYetVisibleError


async def versions_of(connection: AsyncConnection, table: Table, key: str) -> Sequence[RowMapping]:
    """In order. Raises NotYetVisibleError while there is none: one is defined when the service is installed."""
    mine = select(table).where(table.c.key == key)
    rows = (await connection.execute(mine.order_by(table.c.version))).mappings().all()
    if not rows:
        raise NotYetVisibleError(f"{table.name.replace('_', ' ')}: no version is visible here yet")
    return rows

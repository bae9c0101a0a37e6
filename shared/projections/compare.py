"""Are two generations the same, row for row?"""

from dataclasses import dataclass

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.definition import Projection
from shared.projections.generations import schema_of


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows of a table that only one side has, with a few of them as text."""

    table: str
    only_live: int
    only_rebuilt: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`rows` were compared; equal when there are no differences."""

    rows: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        return not self.differences


async def compare(
    connection: AsyncConnection, rebuilt_connection: AsyncConnection, projection: Projection, live: int, rebuilt: int
) -> Comparison:
    """Each side is read on its own connection: the live one may hold an older snapshot. Rows are compared as text, sorted."""
    rows, differences = 0, []
    for table in projection.tables:
        ours = await _digest(connection, table, schema_of(projection, live))
        theirs = await _digest(rebuilt_connection, table, schema_of(projection, rebuilt))
        rows += ours[0]
        if ours != theirs:
            differences.append(await _difference(connection, rebuilt_connection, projection, table, live, rebuilt))
    return Comparison(rows, tuple(differences))


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


async def _digest(connection: AsyncConnection, table: Table, schema: str) -> tuple[int, str]:
    """Number of rows, and a hash over all of them in the order of their text; names come from code."""
    statement = (
        "SELECT count(*), coalesce(md5(string_agg(md5(r::text), '' ORDER BY md5(r::text) COLLATE \"C\")), '')"  # noqa: S608
        f' FROM (SELECT {_columns(table)} FROM "{schema}"."{table.name}") r'
    )
    row = (await connection.execute(text(statement))).one()
    return int(row[0]), str(row[1])


async def _difference(
    connection: AsyncConnection,
    rebuilt_connection: AsyncConnection,
    projection: Projection,
    table: Table,
    live: int,
    rebuilt: int,
) -> Difference:
    ours = await _texts(connection, table, schema_of(projection, live))
    theirs = await _texts(rebuilt_connection, table, schema_of(projection, rebuilt))
    only_live, only_rebuilt = sorted(ours - theirs), sorted(theirs - ours)
    examples = [f"live: {row}" for row in only_live[:3]] + [f"rebuilt: {row}" for row in only_rebuilt[:3]]
    return Difference(table.name, len(only_live), len(only_rebuilt), tuple(examples))


async def _texts(connection: AsyncConnection, table: Table, schema: str) -> set[str]:
    statement = f'SELECT r::text FROM (SELECT {_columns(table)} FROM "{schema}"."{table.name}") r'  # noqa: S608
    return set((await connection.execute(text(statement))).scalars())

"""Are two generations the same, row for row?"""

from dataclasses import dataclass

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.definition import Projection
from shared.projections.generations import schema_of

EXAMPLES = 3  # differing keys of a table that are shown


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows of a table that one side alone has, and rows of one key that both have with other values; a few of them as text.

    `columns`: sentences about columns that only one side has. Such tables are not compared row by row: every row of the larger
    side counts as changed.
    """

    table: str
    only_live: int
    only_rebuilt: int
    changed: int
    examples: tuple[str, ...]
    columns: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Each key once."""
        return self.only_live + self.only_rebuilt + self.changed


@dataclass(frozen=True, slots=True)
class Comparison:
    """`rows` were compared; equal when there are no differences."""

    rows: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        return not self.differences

    @property
    def rows_differing(self) -> int:
        return sum(difference.rows for difference in self.differences)


async def compare(
    connection: AsyncConnection, rebuilt_connection: AsyncConnection, projection: Projection, live: int, rebuilt: int
) -> Comparison:
    """Each side is read on its own connection: the live one may hold an older snapshot. Rows are compared as text, sorted."""
    rows, differences = 0, []
    for table in projection.tables:
        if difference := await _other_shape(connection, rebuilt_connection, projection, table, live, rebuilt):
            differences.append(difference)
            continue
        ours = await _digest(connection, table, schema_of(projection, live))
        theirs = await _digest(rebuilt_connection, table, schema_of(projection, rebuilt))
        rows += ours[0]
        if ours != theirs:
            differences.append(await _difference(connection, rebuilt_connection, projection, table, live, rebuilt))
    return Comparison(rows, tuple(differences))


COLUMNS = text(
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = :schema AND table_name = :table ORDER BY column_name"
)


async def _other_shape(
    connection: AsyncConnection,
    rebuilt_connection: AsyncConnection,
    projection: Projection,
    table: Table,
    live: int,
    rebuilt: int,
) -> Difference | None:
    sides = ((connection, live), (rebuilt_connection, rebuilt))
    columns, counts = [], []
    for side, number in sides:
        name = {"schema": schema_of(projection, number), "table": table.name}
        columns.append({tuple(row) for row in await side.execute(COLUMNS, name)})
    if columns[0] == columns[1]:
        return None
    for (side, number), found in zip(sides, columns, strict=True):
        statement = f'SELECT count(*) FROM "{schema_of(projection, number)}"."{table.name}"'  # noqa: S608
        counts.append(int(await side.scalar(text(statement)) or 0) if found else 0)
    sentences = [
        f"only the {name} {table.name} has the column {column} ({kind}, {'may' if null == 'YES' else 'must not'} be null)"
        for name, only in (("live", columns[0] - columns[1]), ("rebuilt", columns[1] - columns[0]))
        for column, kind, null in sorted(only)
    ]
    return Difference(table.name, 0, 0, max(counts), (), tuple(sentences))


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
    differing = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    changed = sum(key in ours and key in theirs for key in differing)
    only_live = sum(key in ours for key in differing) - changed
    examples = [
        f"{name}: {side[key]}"
        for key in differing[:EXAMPLES]
        for name, side in (("live", ours), ("rebuilt", theirs))
        if key in side
    ]
    return Difference(table.name, only_live, len(differing) - changed - only_live, changed, tuple(examples))


async def _texts(connection: AsyncConnection, table: Table, schema: str) -> dict[str, str]:
    """Primary key → row, both as text."""
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    statement = f'SELECT ROW({key})::text, r::text FROM (SELECT {_columns(table)} FROM "{schema}"."{table.name}") r'  # noqa: S608
    return {row[0]: row[1] for row in await connection.execute(text(statement))}

"""Generations: each a schema of its own with its own checkpoints; one row says which is live."""

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable, DropSchema

from shared.projections import tables
from shared.projections.definition import Projection


def schema_of(projection: Projection, generation: int) -> str:
    return f"{projection.name}_g{generation}"


def translation(projection: Projection, generation: int) -> dict[str, str]:
    """For the execution option `schema_translate_map`."""
    return {projection.name: schema_of(projection, generation)}


async def live(connection: AsyncConnection, projection: Projection) -> int | None:
    row = await connection.execute(
        select(tables.generation.c.generation).where(
            tables.generation.c.projection == projection.name, tables.generation.c.state == "live"
        )
    )
    found: int | None = row.scalar()
    return found


async def followed(connection: AsyncConnection, projection: Projection) -> list[int]:
    """The generations that workers keep up to date: the live one and, until dropped, the one before."""
    rows = await connection.execute(
        select(tables.generation.c.generation)
        .where(tables.generation.c.projection == projection.name, tables.generation.c.state != "building")
        .order_by(tables.generation.c.generation)
    )
    return list(rows.scalars())


async def ensure_live(engine: AsyncEngine, projection: Projection) -> int:
    """The live generation; the first one is made when there is none."""
    async with engine.begin() as connection:
        await _lock(connection, projection)
        found = await live(connection, projection)
        if found is None:
            found = await make(connection, projection, "live")
            await index(connection, projection, found)
        return found


async def make(connection: AsyncConnection, projection: Projection, state: str) -> int:
    """A new generation with empty tables, without indexes."""
    newest = await connection.scalar(
        select(func.max(tables.generation.c.generation)).where(tables.generation.c.projection == projection.name)
    )
    number = int(newest or 0) + 1
    await connection.execute(CreateSchema(schema_of(projection, number)))
    translated = await connection.execution_options(schema_translate_map=translation(projection, number))
    for table in projection.tables:
        await translated.execute(CreateTable(table))
    await connection.execution_options(schema_translate_map={})
    await connection.execute(
        insert(tables.generation).values(projection=projection.name, generation=number, state=state)
    )
    return number


async def index(connection: AsyncConnection, projection: Projection, generation: int) -> None:
    """Indexes come last: filling a table without them is faster."""
    translated = await connection.execution_options(schema_translate_map=translation(projection, generation))
    for table in projection.tables:
        for one in sorted(table.indexes, key=lambda found: str(found.name)):
            await translated.execute(CreateIndex(one))
    await connection.execution_options(schema_translate_map={})


async def switch(connection: AsyncConnection, projection: Projection, generation: int) -> None:
    """Make a built generation the live one: two rows in one transaction, so a reader sees the one or the other."""
    await _lock(connection, projection)
    mine = tables.generation.c.projection == projection.name
    await connection.execute(
        update(tables.generation).where(mine, tables.generation.c.state == "live").values(state="old")
    )
    await connection.execute(
        update(tables.generation).where(mine, tables.generation.c.generation == generation).values(state="live")
    )


async def drop(connection: AsyncConnection, projection: Projection, state: str) -> list[int]:
    """Drop all generations of a state (`old` or `building`) with everything kept about them; their numbers."""
    if state not in ("old", "building"):
        raise ValueError("only old and building generations can be dropped")
    await _lock(connection, projection)
    rows = await connection.execute(
        select(tables.generation.c.generation).where(
            tables.generation.c.projection == projection.name, tables.generation.c.state == state
        )
    )
    numbers = list(rows.scalars())
    for number in numbers:
        await connection.execute(DropSchema(schema_of(projection, number), cascade=True, if_exists=True))
        for table in (tables.generation, tables.checkpoint, tables.parked, tables.dropped, tables.alarm):
            await connection.execute(
                delete(table).where(table.c.projection == projection.name, table.c.generation == number)
            )
    return numbers


async def _lock(connection: AsyncConnection, projection: Projection) -> None:
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"generation {projection.name}"}
    )

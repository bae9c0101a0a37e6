"""Generations: each a schema of its own with its own checkpoints; one row says which is live.

Tables that were changed in code are a new generation. During a deploy each process keeps to the newest one that has the shape
it knows: the former release reads and follows the old one until that is dropped. A worker drops it when nobody needs it any more.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import and_, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable, DropSchema

from shared.projections import tables
from shared.projections.assignment import alive
from shared.projections.definition import Projection

# How long an old generation stays at least. Workers are replaced before the processes that answer requests: those of the former
# release may still read the old one, though none of their workers lives.
RETIRED_SECONDS = 600.0


def schema_of(projection: Projection, generation: int) -> str:
    return f"{projection.name}_g{generation}"


def translation(projection: Projection, generation: int) -> dict[str, str]:
    """For the execution option `schema_translate_map`."""
    return {projection.name: schema_of(projection, generation)}


class ShapeError(Exception):
    """The read model was built with other tables than this code has; a rebuild makes those."""

    def __init__(self, projection: Projection) -> None:
        super().__init__(
            f"{projection.name}: its tables have changed; `keyfold rebuild <service> {projection.name} --accept-differences` "
            "builds the read model anew"
        )


async def live(connection: AsyncConnection, projection: Projection) -> int | None:
    """The generation that the pointer names, whatever its shape."""
    row = await connection.execute(
        select(tables.generation.c.generation).where(
            tables.generation.c.projection == projection.name, tables.generation.c.state == "live"
        )
    )
    found: int | None = row.scalar()
    return found


async def readable(connection: AsyncConnection, projections: Sequence[Projection]) -> dict[str, int | None]:
    """By name the generation that this code reads: the live one, or the old one while the live one has a shape that only newer
    code knows. None: nothing has been built yet. Raises ShapeError. One question for all, for every read asks it.
    """
    if not projections:
        return {}
    rows = await connection.execute(
        select(tables.generation.c.projection, tables.generation.c.generation, tables.generation.c.shape)
        .where(
            tables.generation.c.projection.in_([projection.name for projection in projections]),
            tables.generation.c.state != "building",
        )
        .order_by(tables.generation.c.generation.desc())
    )
    built: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        built.setdefault(row.projection, []).append((int(row.generation), row.shape))
    return {projection.name: _of_this_shape(projection, built.get(projection.name, [])) for projection in projections}


def _of_this_shape(projection: Projection, built: Sequence[tuple[int, str]]) -> int | None:
    """The latest, `built` being in descending order."""
    found = next((number for number, shape in built if shape == projection.shape), None)
    if built and found is None:
        raise ShapeError(projection)
    return found


async def changed(connection: AsyncConnection, projection: Projection) -> bool:
    """Were all its generations built with other tables than this code has?"""
    try:
        await readable(connection, [projection])
    except ShapeError:
        return True
    return False


async def followed(connection: AsyncConnection, projection: Projection) -> dict[int, bool]:
    """The generations that this code keeps up to date, the live one and, until dropped, the old one; is it the live one?"""
    rows = await connection.execute(
        select(tables.generation.c.generation, tables.generation.c.state).where(
            tables.generation.c.projection == projection.name,
            tables.generation.c.state != "building",
            tables.generation.c.shape == projection.shape,
        )
    )
    return {row.generation: row.state == "live" for row in rows}


async def of_shape(connection: AsyncConnection, projection: Projection) -> Collection[int]:
    """All generations with the tables that this code has, one that is being built too."""
    made = tables.generation.c
    found = select(made.generation).where(made.projection == projection.name, made.shape == projection.shape)
    return set(await connection.scalars(found))


async def still_there(connection: AsyncConnection, name: str, generation: int) -> bool:
    """Is there such a generation? If so it stays until the transaction ends."""
    row = await connection.execute(
        select(tables.generation.c.generation)
        .where(tables.generation.c.projection == name, tables.generation.c.generation == generation)
        .with_for_update(read=True, key_share=True)
    )
    return row.scalar() is not None


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
        insert(tables.generation).values(
            projection=projection.name, generation=number, state=state, shape=projection.shape
        )
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
        update(tables.generation)
        .where(mine, tables.generation.c.state == "live")
        .values(state="old", old_since=func.now())
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
        await _drop(connection, projection, number)
    return numbers


async def drop_retired(engine: AsyncEngine, projection: Projection) -> list[int]:
    """Drop the generations that have been old for long enough and that nobody reads or follows: those of this code's shape,
    because it has a newer one, and those of a shape that no living worker has. Their numbers.
    """
    async with engine.begin() as connection:
        if not await _retired(connection, projection):
            return []
        await _lock(connection, projection)
        numbers = await _retired(connection, projection)
        for number in numbers:
            await _drop(connection, projection, number)
    return numbers


async def _retired(connection: AsyncConnection, projection: Projection) -> list[int]:
    made = tables.generation.c
    long_ago = func.coalesce(made.old_since, made.made_at) < func.now() - timedelta(seconds=RETIRED_SECONDS)
    rows = await connection.execute(
        select(made.generation, made.shape, and_(made.state == "old", long_ago).label("expired"))
        .where(made.projection == projection.name, made.state != "building")
        .order_by(made.generation)
    )
    built = rows.all()
    expired = [row for row in built if row.expired]
    if not expired:
        return []
    living = await living_shapes(connection)
    ours = max((row.generation for row in built if row.shape == projection.shape), default=0)
    return [
        row.generation
        for row in expired
        if (row.generation < ours if row.shape == projection.shape else not kept_up(living, projection.name, row.shape))
    ]


async def living_shapes(connection: AsyncConnection) -> list[Mapping[str, str] | None]:
    """Of each living worker: projection → shape of its tables. None for a worker that does not tell."""
    return list(await connection.scalars(select(tables.worker.c.shapes).where(alive())))


def kept_up(living: Sequence[Mapping[str, str] | None], name: str, shape: str) -> bool:
    """May one of the living workers follow a generation of this shape?"""
    return any(shapes is None or shapes.get(name) == shape for shapes in living)


async def _drop(connection: AsyncConnection, projection: Projection, number: int) -> None:
    # First what a worker locks first, in its order: it finishes its batch, or finds itself fenced.
    await lock_checkpoints(connection, projection, number)
    for table in (tables.generation, tables.checkpoint, tables.parked, tables.alarm, tables.note):
        await connection.execute(
            delete(table).where(table.c.projection == projection.name, table.c.generation == number)
        )
    await connection.execute(DropSchema(schema_of(projection, number), cascade=True, if_exists=True))


async def lock_checkpoints(connection: AsyncConnection, projection: Projection, generation: int) -> None:
    """No worker moves on with this generation until the transaction ends."""
    point = tables.checkpoint.c
    await connection.execute(
        select(point.position)
        .where(point.projection == projection.name, point.generation == generation)
        .order_by(point.topic, point.partition)
        .with_for_update()
    )


async def _lock(connection: AsyncConnection, projection: Projection) -> None:
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"generation {projection.name}"}
    )

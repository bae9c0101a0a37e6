"""Feed facts into a projection on a real database and read its rows: at once, in batches, twice, shuffled by stream."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.contracts.event import Envelope, Recorded, encode
from shared.projections import generations
from shared.projections.definition import Projection, Row
from shared.projections.folding import fold
from shared.projections.tables import migrate_projections


async def fold_all(
    database: str, projection: Projection, records: Sequence[Recorded[Any]], *, batch: int = 0
) -> Mapping[str, list[Row]]:
    """Fold the records, in the order given, into a new generation; the rows of each table by its name, in order of primary key.

    `batch`: how many go into one transaction, 0 for all. Every event passes through JSON, as on the log. Call it again for a
    further generation: what is asked for twice must come out the same. Raises what the fold raises.
    """
    size = batch or max(len(records), 1)
    async with _engine(database) as engine:
        await migrate_projections(engine)
        async with engine.begin() as connection:
            number = await generations.make(connection, projection, "building")
            await generations.index(connection, projection, number)
        for start in range(0, len(records), size):
            envelopes = [envelope_of(record) for record in records[start : start + size]]
            async with engine.begin() as connection:
                await fold(connection, projection, generations.schema_of(projection, number), envelopes)
        async with engine.connect() as connection:
            return await rows_of(connection, projection, number)


async def rows_of(connection: AsyncConnection, projection: Projection, generation: int) -> dict[str, list[Row]]:
    """All rows of a generation: table name → rows in order of primary key."""
    translated = await connection.execution_options(
        schema_translate_map=generations.translation(projection, generation)
    )
    found: dict[str, list[Row]] = {}
    for table in projection.tables:
        rows = await translated.execute(select(table).order_by(*table.primary_key.columns))
        found[table.name] = [dict(row) for row in rows.mappings()]
    return found


def shuffled(records: Sequence[Recorded[Any]], seed: int) -> list[Recorded[Any]]:
    """The same records, the streams interleaved otherwise; within a stream the order stays, as it does in a partition."""
    chance = random.Random(seed)  # noqa: S311 — a test's dice
    queues: dict[str, list[Recorded[Any]]] = {}
    for record in records:
        queues.setdefault(record.stream_id, []).append(record)
    turns = [record.stream_id for record in records]
    chance.shuffle(turns)
    waiting = {stream: iter(queue) for stream, queue in queues.items()}
    return [next(waiting[stream]) for stream in turns]


def envelope_of(record: Recorded[Any]) -> Envelope:
    """A record as it is stored and sent."""
    return Envelope(
        record.position,
        record.event_id,
        record.stream_id,
        record.version,
        record.event.type_name,
        record.event.type_version,
        encode(record.event),
        record.occurred_at,
        record.recorded_at,
        record.actor,
        record.correlation_id,
        record.causation_id,
        record.traceparent,
    )


@asynccontextmanager
async def _engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database), poolclass=NullPool
    )
    try:
        yield engine
    finally:
        await engine.dispose()

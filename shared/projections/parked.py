"""Parked streams: list them, replay them when the cause is mended, or drop an event with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Row as SqlRow
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.log.cloudevents import decode_record
from shared.log.port import LogRecord
from shared.projections import tables
from shared.projections.definition import Projection
from shared.projections.folding import fold
from shared.projections.generations import schema_of
from shared.projections.reactors import ReactSink


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """`error` is that of the first event; `events` counts it and those queued behind it."""

    projection: str
    generation: int
    stream_id: str
    position: int
    type_name: str
    error: str
    events: int
    since: datetime


async def parked_streams(engine: AsyncEngine, limit: int = 1_000) -> list[ParkedStream]:
    """Oldest first."""
    one = tables.parked
    stream = (one.c.projection, one.c.generation, one.c.stream_id)
    ranked = select(
        one,
        func.count().over(partition_by=stream).label("events"),
        func.row_number().over(partition_by=stream, order_by=one.c.position).label("place"),
    ).subquery()
    statement = select(ranked).where(ranked.c.place == 1).order_by(ranked.c.parked_at, ranked.c.position).limit(limit)
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [
        ParkedStream(
            row.projection,
            row.generation,
            row.stream_id,
            row.position,
            row.type_name,
            row.error or "queued",
            row.events,
            row.parked_at,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """`error` is None for an event that only waits behind the bad one; `data` is its JSON."""

    generation: int
    position: int
    type_name: str
    error: str | None
    data: bytes


async def parked_events(engine: AsyncEngine, reader: str, stream_id: str, limit: int = 1_000) -> list[ParkedEvent]:
    """The parked events of a stream, in order; empty when it is not parked."""
    one = tables.parked.c
    statement = (
        select(one.generation, one.position, one.type_name, one.error, one.value)
        .where(one.projection == reader, one.stream_id == stream_id)
        .order_by(one.generation, one.position)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [ParkedEvent(*row) for row in (await connection.execute(statement)).all()]


async def replay(engine: AsyncEngine, reader: Projection | ReactSink, stream_id: str) -> int:
    """Give a parked stream's events to the reader again, in order, all or none; how many. Raises what the fold or the handler
    raises; then nothing has changed.
    """
    async with engine.begin() as connection:
        rows = await _locked(connection, reader.name, stream_id)
        for generation in sorted({row.generation for row in rows}):
            envelopes = [decode_record(_record(row))[0] for row in rows if row.generation == generation]
            if isinstance(reader, Projection):
                await fold(connection, reader, schema_of(reader, generation), envelopes)
            else:
                await reader.react(connection, envelopes)
        await _forget(connection, rows)
        return len(rows)


async def drop(
    engine: AsyncEngine,
    reader: Projection | ReactSink,
    stream_id: str,
    position: int,
    *,
    reason: str,
    actor: str,
) -> None:
    """Give up one parked event of a stream, on record. Those behind it wait on for a replay. Raises LookupError when it is not
    parked.
    """
    async with engine.begin() as connection:
        rows = [row for row in await _locked(connection, reader.name, stream_id) if row.position == position]
        if not rows:
            raise LookupError(f"{reader.name}: no event of {stream_id} at position {position} is parked")
        await _forget(connection, rows)
        await connection.execute(
            insert(tables.dropped),
            [
                {
                    "projection": row.projection,
                    "generation": row.generation,
                    "topic": row.topic,
                    "position": row.position,
                    "stream_id": row.stream_id,
                    "reason": reason,
                    "actor": actor,
                }
                for row in rows
            ],
        )


async def _locked(connection: AsyncConnection, reader: str, stream_id: str) -> Sequence[SqlRow[tuple[object, ...]]]:
    # Workers lock a checkpoint before they park behind a stream: taking the same locks keeps them from slipping one in.
    await connection.execute(
        select(tables.checkpoint.c.position)
        .where(tables.checkpoint.c.projection == reader)
        .order_by(*tables.checkpoint.primary_key)
        .with_for_update()
    )
    statement = (
        select(tables.parked)
        .where(tables.parked.c.projection == reader, tables.parked.c.stream_id == stream_id)
        .order_by(tables.parked.c.generation, tables.parked.c.position)
    )
    return (await connection.execute(statement)).all()


async def _forget(connection: AsyncConnection, rows: Sequence[SqlRow[tuple[object, ...]]]) -> None:
    one = tables.parked.c
    for row in rows:
        await connection.execute(
            delete(tables.parked).where(
                one.projection == row.projection,
                one.generation == row.generation,
                one.topic == row.topic,
                one.position == row.position,
            )
        )


def _record(row: SqlRow[tuple[object, ...]]) -> LogRecord:
    return LogRecord(row.topic, row.partition, 0, row.stream_id, row.value, orjson.loads(row.headers))

"""Parked streams: list them, replay them when the cause is mended, or drop an event with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import ColumnElement, Table, delete, func, select
from sqlalchemy import Row as SqlRow
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.log.cloudevents import decode_record
from shared.log.port import LogRecord
from shared.projections import generations, tables
from shared.projections.definition import Projection
from shared.projections.folding import fold
from shared.projections.reactors import ReactSink


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """`error` is that of the first event, raised at `place` (file:line); `events` counts it and those queued behind it. `state`
    is that of the generation, or `reactor`.
    """

    projection: str
    generation: int
    state: str
    stream_id: str
    position: int
    type_name: str
    error: str
    place: str | None
    events: int
    since: datetime


async def parked_streams(engine: AsyncEngine, limit: int = 1_000) -> list[ParkedStream]:
    """Oldest first."""
    one = tables.parked
    stream = (one.c.projection, one.c.generation, one.c.stream_id)
    ranked = select(
        one,
        _state(one).label("state"),
        func.count().over(partition_by=stream).label("events"),
        func.row_number().over(partition_by=stream, order_by=one.c.position).label("nth"),
    ).subquery()
    statement = select(ranked).where(ranked.c.nth == 1).order_by(ranked.c.parked_at, ranked.c.position).limit(limit)
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [
        ParkedStream(
            row.projection,
            row.generation,
            row.state,
            row.stream_id,
            row.position,
            row.type_name,
            row.error or "queued",
            row.place,
            row.events,
            row.parked_at,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """`error` is None for an event that only waits behind the bad one; `data` is its JSON."""

    generation: int
    state: str
    position: int
    type_name: str
    error: str | None
    place: str | None
    data: bytes


async def parked_events(engine: AsyncEngine, reader: str, stream_id: str, limit: int = 1_000) -> list[ParkedEvent]:
    """The parked events of a stream, in order; empty when it is not parked."""
    one = tables.parked.c
    statement = (
        select(one.generation, _state(tables.parked), one.position, one.type_name, one.error, one.place, one.value)
        .where(one.projection == reader, one.stream_id == stream_id)
        .order_by(one.generation, one.position)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [ParkedEvent(*row) for row in (await connection.execute(statement)).all()]


@dataclass(frozen=True, slots=True)
class DroppedEvent:
    """An event that `by` gave up; no generation folds it."""

    projection: str
    position: int
    stream_id: str
    reason: str
    by: str
    when: datetime


async def dropped_events(engine: AsyncEngine, limit: int = 1_000) -> list[DroppedEvent]:
    """Oldest first."""
    one = tables.dropped.c
    statement = (
        select(one.projection, one.position, one.stream_id, one.reason, one.actor, one.dropped_at)
        .order_by(one.dropped_at, one.projection, one.position)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [DroppedEvent(*row) for row in (await connection.execute(statement)).all()]


def _state(parked: Table) -> ColumnElement[str]:
    """Of the generation that a row belongs to; reactors have none."""
    made = tables.generation.c
    found = select(made.state).where(made.projection == parked.c.projection, made.generation == parked.c.generation)
    return func.coalesce(found.scalar_subquery(), "reactor")


async def replay(engine: AsyncEngine, reader: Projection | ReactSink, stream_id: str) -> int:
    """Give a parked stream's events to the reader again, in order, all or none; how many. Raises what the fold or the handler
    raises; then nothing has changed. Generations with other tables than this code has are passed over.
    """
    async with engine.begin() as connection:
        rows = await _locked(connection, reader.name, stream_id)
        if isinstance(reader, Projection):
            ours = await generations.of_shape(connection, reader)
            rows = [row for row in rows if row.generation in ours]
        for generation in sorted({row.generation for row in rows}):
            envelopes = [decode_record(_record(row))[0] for row in rows if row.generation == generation]
            if isinstance(reader, Projection):
                await fold(connection, reader, generations.schema_of(reader, generation), envelopes)
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
    """Give up one parked event of a stream, on record and for generations to come. Those behind it wait on for a replay. Raises
    LookupError when it is not parked.
    """
    async with engine.begin() as connection:
        rows = [row for row in await _locked(connection, reader.name, stream_id) if row.position == position]
        if not rows:
            raise LookupError(f"{reader.name}: no event of {stream_id} at position {position} is parked")
        await _forget(connection, rows)
        # More than one row where it is parked in several generations.
        given_up = {
            (row.topic, row.position): {
                "projection": row.projection,
                "topic": row.topic,
                "position": row.position,
                "stream_id": row.stream_id,
                "reason": reason,
                "actor": actor,
            }
            for row in rows
        }
        await connection.execute(insert(tables.dropped).on_conflict_do_nothing(), list(given_up.values()))


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

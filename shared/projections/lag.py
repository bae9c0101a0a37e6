"""How far behind each read model and reactor is: records, seconds, alarms, workers."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log
from shared.projections import tables
from shared.projections.assignment import alive


@dataclass(frozen=True, slots=True)
class Lag:
    """`records` still to be read; `seconds` since the newest unread one was recorded (0 when all is read); `parked` events."""

    reader: str
    generation: int
    state: str
    topic: str
    records: int
    seconds: float
    parked: int
    alarms: tuple[str, ...]


async def lag(engine: AsyncEngine, log: Log) -> list[Lag]:
    """One row per reader, generation and topic, ordered by name."""
    async with engine.connect() as connection:
        point = tables.checkpoint
        state = (
            select(tables.generation.c.state)
            .where(
                and_(
                    tables.generation.c.projection == point.c.projection,
                    tables.generation.c.generation == point.c.generation,
                )
            )
            .scalar_subquery()
        )
        points = (await connection.execute(select(point, state.label("state")))).all()
        parked = (
            await connection.execute(
                select(tables.parked.c.projection, tables.parked.c.generation, func.count().label("n")).group_by(
                    tables.parked.c.projection, tables.parked.c.generation
                )
            )
        ).all()
        alarms = (await connection.execute(select(tables.alarm))).all()
    waiting = {(row.projection, row.generation): int(row.n) for row in parked}
    found: dict[tuple[str, int, str], Lag] = {}
    for topic in sorted({row.topic for row in points}):
        bounds = await log.bounds(topic)
        for row in points:
            if row.topic != topic:
                continue
            key = (row.projection, row.generation, topic)
            behind = max(0, bounds.get(row.partition, (0, 0))[1] - row.log_offset)
            before = found.get(key)
            seconds = await _age(log, topic, row.partition) if behind else 0.0
            found[key] = Lag(
                row.projection,
                row.generation,
                row.state or "reactor",
                topic,
                behind + (before.records if before else 0),
                max(seconds, before.seconds if before else 0.0),
                waiting.get((row.projection, row.generation), 0),
                tuple(
                    f"{one.partition}: {one.kind}: {one.detail}"
                    for one in alarms
                    if (one.projection, one.generation, one.topic) == key
                ),
            )
    return [found[key] for key in sorted(found)]


async def workers(engine: AsyncEngine) -> list[str]:
    """The ids of the workers that live."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(tables.worker.c.worker_id).where(alive()).order_by(tables.worker.c.worker_id)
        )
        return list(rows.scalars())


async def _age(log: Log, topic: str, partition: int) -> float:
    record = await log.last_record(topic, partition)
    if record is None:
        return 0.0
    try:
        envelope, _ = decode_record(record)
    except BadRecordError:
        return 0.0
    return max(0.0, (datetime.now(UTC) - envelope.recorded_at).total_seconds())

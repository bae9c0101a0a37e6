"""How far behind each read model and reactor is: records, seconds, alarms, workers."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log
from shared.projections import tables
from shared.projections.assignment import alive

FETCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Lag:
    """`records` still to be read; `seconds` since the oldest of them was recorded (0 when all is read); `parked` events."""

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
    ages = _Ages(log)
    for topic in sorted({row.topic for row in points}):
        bounds = await log.bounds(topic)
        for row in points:
            if row.topic != topic:
                continue
            key = (row.projection, row.generation, topic)
            low, high = bounds.get(row.partition, (0, 0))
            unread = row.log_offset if low <= row.log_offset <= high else low  # as the reader will read on
            behind = high - unread
            before = found.get(key)
            seconds = await ages.of(topic, row.partition, unread) if behind else 0.0
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


class _Ages:
    """Seconds since the record at an offset was recorded. Readers often stand at the same one, so answers are kept."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._now = datetime.now(UTC)
        self._known: dict[tuple[str, int, int], float] = {}

    async def of(self, topic: str, partition: int, offset: int) -> float:
        key = (topic, partition, offset)
        if key not in self._known:
            self._known[key] = await self._read(topic, partition, offset)
        return self._known[key]

    async def _read(self, topic: str, partition: int, offset: int) -> float:
        consumer = await self._log.consumer()
        try:
            await consumer.assign({(topic, partition): offset})
            records = await consumer.fetch(1, FETCH_SECONDS)
        finally:
            await consumer.close()
        try:
            envelope, _ = decode_record(records[0])
        except (IndexError, BadRecordError):
            return 0.0  # not an event of ours: the reader's alarm tells of it
        return max(0.0, (self._now - envelope.recorded_at).total_seconds())

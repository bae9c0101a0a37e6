"""How far behind each read model and reactor is: records, seconds, alarms, notes, workers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log
from shared.projections import tables
from shared.projections.assignment import alive
from shared.projections.generations import kept_up, living_shapes

FETCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Lag:
    """`records` still to be read; `seconds` since the oldest of them was recorded (0 when all is read), both None without a log
    that tells them; `parked` events.

    `state` is that of the generation (live, old, building) or `reactor`; `alarms` tell what the reader stands still at; `notes`
    what it went past and will not make good by itself.
    """

    reader: str
    generation: int
    state: str
    topic: str
    records: int | None
    seconds: float | None
    parked: int
    alarms: tuple[str, ...]
    notes: tuple[str, ...] = ()


async def lag(engine: AsyncEngine, log: Log | None) -> list[Lag]:
    """One row per reader, generation and topic, ordered by name. An old generation that no living worker keeps up to date only
    waits to be dropped: it is left out. Without a log: what the database knows.
    """
    async with engine.connect() as connection:
        points = (await connection.execute(select(tables.checkpoint))).all()
        known = await _known(connection)
    found: dict[tuple[str, int, str], Lag] = {}
    ages = _Ages(log) if log is not None else None
    for topic in sorted({row.topic for row in points}):
        bounds = await log.bounds(topic) if log is not None else {}
        for row in points:
            reader = (row.projection, row.generation)
            if row.topic != topic or reader in known.idle:
                continue
            key = (*reader, topic)
            before = found.get(key)
            records: int | None = None
            seconds: float | None = None
            if ages is not None:
                low, high = bounds.get(row.partition, (0, 0))
                unread = row.log_offset if low <= row.log_offset <= high else low  # as the reader will read on
                seconds = await ages.of(topic, row.partition, unread) if high > unread else 0.0
                records = high - unread + ((before.records or 0) if before else 0)
                seconds = max(seconds, (before.seconds or 0.0) if before else 0.0)
            state = known.states.get(reader, "reactor")
            found[key] = Lag(
                row.projection,
                row.generation,
                state,
                topic,
                records,
                seconds,
                known.parked.get(reader, 0),
                (*known.alarms.get(key, ()), *(known.other_tables.get(row.projection, ()) if state == "live" else ())),
                tuple(known.notes.get(key, ())),
            )
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables tell of readers, by (reader, generation) or (reader, generation, topic). `idle`: old generations that no
    living worker keeps up to date; `other_tables`: alarms by read model.
    """

    states: Mapping[tuple[str, int], str]
    idle: Collection[tuple[str, int]]
    parked: Mapping[tuple[str, int], int]
    alarms: Mapping[tuple[str, int, str], Sequence[str]]
    notes: Mapping[tuple[str, int, str], Sequence[str]]
    other_tables: Mapping[str, Sequence[str]]


async def _known(connection: AsyncConnection) -> _Known:
    made = (await connection.execute(select(tables.generation))).all()
    living = await living_shapes(connection)
    one = tables.parked.c
    counted = select(one.projection, one.generation, func.count().label("n")).group_by(one.projection, one.generation)
    parked = (await connection.execute(counted)).all()
    alarms = (await connection.execute(select(tables.alarm).order_by(*tables.alarm.primary_key))).all()
    notes = (await connection.execute(select(tables.note).order_by(*tables.note.primary_key))).all()
    return _Known(
        {(row.projection, row.generation): row.state for row in made},
        {
            (row.projection, row.generation)
            for row in made
            if row.state == "old" and not kept_up(living, row.projection, row.shape)
        },
        {(row.projection, row.generation): int(row.n) for row in parked},
        _by_reader((row, f"{row.partition}: {row.kind}: {row.detail}") for row in alarms),
        _by_reader(
            (row, f"{row.partition}: {row.kind}: {row.type_name} at position {row.position} was passed over")
            for row in notes
        ),
        _other_tables([(row.projection, row.shape) for row in made if row.state != "building"], living),
    )


def _other_tables(
    built: Iterable[tuple[str, str]], living: Iterable[Mapping[str, str] | None]
) -> dict[str, tuple[str, ...]]:
    """An alarm for each read model of which a living worker has tables that no generation has. Not kept in a table: it ends when
    they are built, or when the worker leaves.
    """
    shapes = set(built)
    wanted = {(name, shape) for worker in living if worker is not None for name, shape in worker.items()}
    alarm = (
        "other_tables: the tables of {name} have changed and its worker does not keep it up to date; `keyfold rebuild "
        "<service> {name} --accept-differences` builds it anew"
    )
    return {name: (alarm.format(name=name),) for name, _ in wanted - shapes}


def _by_reader(lines: Iterable[tuple[Any, str]]) -> dict[tuple[str, int, str], list[str]]:
    found: dict[tuple[str, int, str], list[str]] = {}
    for row, line in lines:
        found.setdefault((row.projection, row.generation, row.topic), []).append(line)
    return found


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

"""How far behind each read model and reactor is: records, seconds, alarms, notes, workers."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log, LogRecord
from shared.projections import tables
from shared.projections.assignment import alive
from shared.projections.generations import kept_up, living_shapes

FETCH_SECONDS = 3.0  # for all of them; less than those who ask wait
FETCH_RECORDS = 50
Place = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True, slots=True)
class Lag:
    """`records` still to be read; `seconds` since the oldest of them was recorded (0 when all is read; None where
    it did not come in time), both None without a log that tells them; `parked` events.

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
    points = [row for row in points if (row.projection, row.generation) not in known.idle]
    bounds = await _bounds(log, {row.topic for row in points}) if log is not None else {}
    unread = {row: _unread(row, bounds) for row in points}
    ages: Mapping[Place, float] = {}
    if log is not None:
        ends = {where: high for where, (_, high) in bounds.items()}
        waiting = [place for place in unread.values() if place[2] < ends.get(place[:2], 0)]
        ages = await _ages(log, ends, waiting)
    found: dict[tuple[str, int, str], Lag] = {}
    for row in points:
        reader = (row.projection, row.generation)
        key = (*reader, row.topic)
        records: int | None = None
        seconds: float | None = None
        if log is not None:
            place = unread[row]
            records = bounds.get(place[:2], (0, 0))[1] - place[2]
            seconds = ages.get(place) if records else 0.0
        if (before := found.get(key)) is not None:
            records = None if records is None or before.records is None else records + before.records
            seconds = None if seconds is None or before.seconds is None else max(seconds, before.seconds)
        state = known.states.get(reader, "reactor")
        found[key] = Lag(
            row.projection,
            row.generation,
            state,
            row.topic,
            records,
            seconds,
            known.parked.get(reader, 0),
            (*known.alarms.get(key, ()), *(known.other_tables.get(row.projection, ()) if state == "live" else ())),
            tuple(known.notes.get(key, ())),
        )
    return [found[key] for key in sorted(found)]


async def _bounds(log: Log, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    return {
        (topic, partition): held for topic in sorted(topics) for partition, held in (await log.bounds(topic)).items()
    }


def _unread(row: Any, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> Place:
    """Where the reader of a checkpoint will read on."""
    low, high = bounds.get((row.topic, row.partition), (0, 0))
    return row.topic, row.partition, row.log_offset if low <= row.log_offset <= high else low


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


async def _ages(log: Log, ends: Mapping[tuple[str, int], int], wanted: Iterable[Place]) -> dict[Place, float]:
    """Seconds since the record at each place, or the next one there is, was recorded. One consumer for all of them, each of which
    costs a connection: it stands at the first place of every partition, then is moved on. What has not come in FETCH_SECONDS
    is left out.
    """
    left: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in sorted(set(wanted)):
        left.setdefault((topic, partition), []).append(offset)
    ages: dict[Place, float] = {}
    if not left:
        return ages
    loop, now = asyncio.get_running_loop(), datetime.now(UTC)
    consumer = await log.consumer()
    try:
        await consumer.assign({where: offsets[0] for where, offsets in left.items()})
        deadline = loop.time() + FETCH_SECONDS
        while left and (remaining := deadline - loop.time()) > 0:
            came: dict[tuple[str, int], int] = {}
            for record in await consumer.fetch(FETCH_RECORDS, remaining):
                where = (record.topic, record.partition)
                came[where] = record.offset
                while where in left and left[where][0] <= record.offset:
                    ages[*where, left[where].pop(0)] = _age(record, now)
                    if not left[where]:
                        del left[where]
            for where, last in came.items():
                if where not in left:
                    await consumer.seek(*where, ends[where])  # nothing more of it
                elif left[where][0] > last + 1:
                    await consumer.seek(*where, left[where][0])
    finally:
        await consumer.close()
    return ages


def _age(record: LogRecord, now: datetime) -> float:
    try:
        envelope, _ = decode_record(record)
    except BadRecordError:
        return 0.0  # not an event of ours: the reader's alarm tells of it
    return max(0.0, (now - envelope.recorded_at).total_seconds())

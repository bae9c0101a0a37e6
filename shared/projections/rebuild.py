"""Rebuilding a read model from the log, beside the live one: fold, prove completeness, compare, switch.

History is folded in memory: rows are written when there are too many of them, and at the end of it, before there are indexes.
What comes after that is folded batch by batch, as a worker does.

A generation that was left half-way by a killed rebuild is dropped by the next one. Reads go on all the while; reactors take no
part. Run it in a process of its own: folding is hard work.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.contracts.event import Envelope
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log, LogConsumer, LogRecord
from shared.projections import checkpoints, generations, tables
from shared.projections.assignment import alive
from shared.projections.chain import PartitionCursor
from shared.projections.checkpoints import Move, TopicPartition
from shared.projections.compare import Comparison, compare
from shared.projections.definition import Projection
from shared.projections.folding import FoldSink, HoldingSink
from shared.projections.follower import YIELD_EVERY, Delivery, StopPartitionError, other_history
from shared.projections.parking import transient

BATCH = 5_000
ROWS_IN_MEMORY = 50_000  # memory grows with the read model up to this, and never with the log
WAIT_SECONDS = 5.0
CATCH_UP_SECONDS = 60.0
LOOK_SECONDS = 0.1
CONNECTIONS = 4
logger = structlog.get_logger(__name__)
Progress = Callable[[int, int], None]
"""Called with records done and records known to be there."""


class RebuildRefusedError(Exception):
    """The rebuild cannot be completed; the live generation is untouched. The message names the gap, event or difference."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """`switched_to` is None for a mere verification and for a generation that differs and was not accepted."""

    projection: str
    records: int
    parked: int
    comparison: Comparison | None
    switched_to: int | None


async def rebuild(
    engine: AsyncEngine,
    log: Log,
    projection: Projection,
    *,
    progress: Progress = lambda done, total: None,
    accept_differences: bool = False,
    keep: bool = True,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> RebuildReport:
    """Build a new generation and make it the live one; with `keep=False` only verify: compare, then drop it again.

    Raises RebuildRefusedError: another rebuild runs, records are missing or none of ours, an event needs newer code, or the live
    generation lags behind and does not catch up. A result that differs from the live generation at equal checkpoints is kept
    with `accept_differences` alone; the report tells. `rows_in_memory`: groups and rows held at once, give or take a batch.
    """
    async with _own(engine) as engine, _alone(engine, projection):
        try:
            run = await _built(engine, log, projection, progress, rows_in_memory)
            async with engine.begin() as connection:
                await generations.index(connection, projection, run.number)
            comparison = await run.compare_with_live()
            wanted = keep and (comparison is None or comparison.equal or accept_differences)
            parked = await run.parked()
            if wanted:
                await run.switch()
        except BaseException:
            await _drop_building(engine, projection)
            raise
        if not wanted:
            await _drop_building(engine, projection)
        return RebuildReport(projection.name, run.done, parked, comparison, run.number if wanted else None)


@asynccontextmanager
async def _own(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """Connections of the rebuild's own: it holds the live generation's worker up for a moment and must then not wait for a
    connection which that worker has; and what it does may take longer than the limits of a service's sessions.
    """
    own = create_async_engine(
        engine.url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        connect_args={"server_settings": {"application_name": "keyfold rebuild", "jit": "off"}},
    )
    try:
        yield own
    finally:
        await own.dispose()


async def _built(
    engine: AsyncEngine, log: Log, projection: Projection, progress: Progress, rows_in_memory: int
) -> "_Build":
    """A new generation with all that the log holds now. When an event cannot be folded or a row cannot be written, it is made once
    more batch by batch, as a worker does: which event is to be parked is known only while its batch is undone.
    """
    run = _Build(engine, log, projection, await _make(engine, projection), progress)
    try:
        await run.read_history(rows_in_memory)
    except RebuildRefusedError:
        raise
    except Exception as error:
        if transient(error):
            raise
        logger.warning("folded once more, to park what is bad", projection=projection.name, error=repr(error))
        run = _Build(engine, log, projection, await _make(engine, projection), progress)
        await run.read_to(await run.ends())
    return run


async def _make(engine: AsyncEngine, projection: Projection) -> int:
    """The number of a new generation, the only one that is being built."""
    async with engine.begin() as connection:
        await generations.drop(connection, projection, "building")
        return await generations.make(connection, projection, "building")


async def _drop_building(engine: AsyncEngine, projection: Projection) -> None:
    async with engine.begin() as connection:
        await generations.drop(connection, projection, "building")


@asynccontextmanager
async def _alone(engine: AsyncEngine, projection: Projection) -> AsyncIterator[None]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        name = {"name": f"rebuild {projection.name}"}
        if not await connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), name):
            raise RebuildRefusedError(f"{projection.name} is being rebuilt by another process already")
        try:
            yield
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), name)


class _Build:
    def __init__(self, engine: AsyncEngine, log: Log, projection: Projection, number: int, progress: Progress) -> None:
        self._engine = engine
        self._log = log
        self._projection = projection
        self.number = number
        self._progress = progress
        self._sink = FoldSink(engine, projection, number)
        self._topics = frozenset(projection.topics)
        self._cursors: dict[TopicPartition, PartitionCursor] = {}
        self.done = 0

    async def ends(self) -> dict[TopicPartition, int]:
        """Where each partition ends now (the offset that the next record will get)."""
        ends: dict[TopicPartition, int] = {}
        for topic in self._projection.topics:
            ends |= {(topic, partition): high for partition, (_, high) in (await self._log.bounds(topic)).items()}
        return ends

    async def read_history(self, rows_in_memory: int) -> None:
        """All that the log holds now, the rows in memory as long as they are not too many. Raises what the fold raises: then the
        generation is of no use.
        """
        following = self._sink
        self._sink = holding = HoldingSink(self._engine, self._projection, self.number, rows_in_memory)
        await self.read_to(await self.ends())
        await holding.flush()
        self._sink = following

    async def read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        """Fold every partition up to these offsets, and not one record further."""
        await self._begin()
        due = {key: end for key, end in ends.items() if self._cursors[key].offset < end}
        total = self.done + sum(end - self._cursors[key].offset for key, end in due.items())
        self._progress(self.done, total)
        async with contextlib.aclosing(self._records(due)) as batches:
            async for records in batches:
                size = len(records)
                if isinstance(self._sink, HoldingSink) and not self._sink.looks_up:
                    size = YIELD_EVERY  # what is folded at once is still near the processor
                for start in range(0, len(records), size):
                    await self._take(records[start : start + size])
                self._progress(self.done, total)
        gaps = [f"{topic}/{part}: {cursor.gap}" for (topic, part), cursor in self._cursors.items() if cursor.gap]
        if gaps:
            raise RebuildRefusedError(
                f"{self._projection.name}: the log is incomplete. {'; '.join(gaps)}. "
                "`keyfold republish` publishes the missing events again"
            )

    async def compare_with_live(self) -> Comparison | None:
        """Bring the new generation to exactly where the live one stands in one snapshot of it, and compare; None without one."""
        deadline = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
        while True:
            async with self._engine.connect() as snapshot:
                await snapshot.execution_options(isolation_level="REPEATABLE READ")
                live = await generations.live(snapshot, self._projection)
                if live is None:
                    return None
                reached = await self._reached(snapshot, live)
                if live not in await generations.followed(snapshot, self._projection):
                    # This code's workers do not follow a generation with other tables, so it would never catch up.
                    async with self._engine.connect() as other:
                        return await compare(snapshot, other, self._projection, live, self.number)
                if not self._ahead_of(reached):
                    await self.read_to({key: offset for key, (_, offset) in reached.items()})
                    async with self._engine.connect() as other:
                        return await compare(snapshot, other, self._projection, live, self.number)
                worked = await snapshot.scalar(select(func.count()).select_from(tables.worker).where(alive()))
            if not worked or asyncio.get_running_loop().time() > deadline:
                raise RebuildRefusedError(
                    f"{self._projection.name}: the live generation lags behind the log, so there is nothing to compare "
                    f"with; {'let its worker catch up' if worked else 'start its worker'}, then try again"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def switch(self) -> None:
        """Catch up, hold the live generation still for the last few events, and turn the pointer: no reader sees time go back."""
        await self.read_to(await self.ends())
        async with self._engine.begin() as connection:
            await generations.drop(connection, self._projection, "old")
            live = await generations.live(connection, self._projection)
            if live is not None:
                await generations.lock_checkpoints(connection, self._projection, live)
                reached = await self._reached(connection, live)
                await self.read_to({key: offset for key, (_, offset) in reached.items()})
            await generations.switch(connection, self._projection, self.number)

    async def _reached(self, connection: AsyncConnection, generation: int) -> dict[TopicPartition, tuple[int, int]]:
        """Position and next offset of each partition."""
        point = tables.checkpoint
        rows = await connection.execute(
            select(point).where(point.c.projection == self._projection.name, point.c.generation == generation)
        )
        return {(row.topic, row.partition): (row.position, row.log_offset) for row in rows if row.topic in self._topics}

    def _ahead_of(self, reached: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        return any(cursor.position > reached.get(key, (0, 0))[0] for key, cursor in self._cursors.items())

    async def parked(self) -> int:
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                select(tables.parked.c.position).where(
                    tables.parked.c.projection == self._projection.name, tables.parked.c.generation == self.number
                )
            )
            return len(rows.all())

    async def _begin(self) -> None:
        first: dict[TopicPartition, int] = {}
        for topic in self._projection.topics:
            bounds = await self._log.bounds(topic)
            first |= {(topic, partition): low for partition, (low, _) in bounds.items()}
        async with self._engine.begin() as connection:
            at = await checkpoints.load(connection, self._projection.name, self.number, first)
            await self._sink.begin(connection)
        self._cursors = {key: PartitionCursor(position, offset) for key, (position, offset) in at.items()}

    async def _records(self, ends: Mapping[TopicPartition, int]) -> AsyncGenerator[list[LogRecord], None]:
        """From the cursors up to these offsets. The next batch is fetched while the last one is folded."""
        if not ends:
            return
        at = {key: self._cursors[key].offset for key in ends}
        consumer = await self._log.consumer()
        fetching: asyncio.Task[list[LogRecord]] | None = None
        try:
            await consumer.assign(at)
            while any(at[key] < end for key, end in ends.items()):
                fetched = await (fetching or self._fetch(consumer))
                due = []
                for record in fetched:
                    key = (record.topic, record.partition)
                    at[key] = record.offset + 1
                    if record.offset < ends[key]:
                        due.append(record)
                if any(at[key] < end for key, end in ends.items()):
                    fetching = asyncio.create_task(self._fetch(consumer))
                yield due
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)
            await consumer.close()

    async def _fetch(self, consumer: LogConsumer) -> list[LogRecord]:
        records = await consumer.fetch(BATCH, WAIT_SECONDS)
        if not records:
            raise RebuildRefusedError(f"{self._projection.name}: the log gives no records though it should hold more")
        return records

    async def _take(self, records: list[LogRecord]) -> None:
        before = {key: cursor.position for key, cursor in self._cursors.items()}
        due: list[Delivery] = []
        read: set[TopicPartition] = set()
        for number, record in enumerate(records, 1):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            key = (record.topic, record.partition)
            envelope = self._judge(record, self._cursors[key])
            if envelope is not None:
                due.append(Delivery(envelope, record))
            read.add(key)
        self.done += len(records)
        moves = [
            Move(*key, before[key], self._cursors[key].position, self._cursors[key].offset) for key in sorted(read)
        ]
        await self._sink.apply(due, moves)

    def _judge(self, record: LogRecord, cursor: PartitionCursor) -> Envelope | None:
        """What is to be folded of it. Raises RebuildRefusedError for what a worker would stop at."""
        try:
            envelope, previous = decode_record(record)
            verdict = cursor.judge(envelope.position, previous)
            if verdict == "conflict":
                raise StopPartitionError("other_history", other_history(envelope, previous, cursor))
            ours = verdict == "take" and self._sink.admit(envelope)
        except (BadRecordError, StopPartitionError) as stop:
            raise RebuildRefusedError(f"{self._projection.name}: {stop}") from stop
        if verdict == "take":
            cursor.position = envelope.position
        cursor.offset = record.offset + 1
        return envelope if ours else None

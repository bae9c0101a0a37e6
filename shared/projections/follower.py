"""The loop that every reader of the log shares: assignment, chain, checkpoint, lag, alarms. What is done with the events is a
sink's affair: folding (projections) or acting (reactors)."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import structlog
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Envelope
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import Log, LogConsumer, LogRecord, LogUnavailableError, OffsetOutOfRangeError
from shared.projections import checkpoints, tables
from shared.projections.assignment import Assignment
from shared.projections.bell import Bell
from shared.projections.chain import PartitionCursor
from shared.projections.checkpoints import FencedError, Move, TopicPartition

BATCH = 2_000
WAIT_SECONDS = 0.25
BACKOFF_SECONDS = (0.1, 0.5, 2.0, 5.0)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is due, with the record that carried it."""

    envelope: Envelope
    record: LogRecord


class StopPartitionError(Exception):
    """This record cannot be read by this code at all: nothing after it is applied. `kind` goes into the alarm."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Sink(Protocol):
    """What is done with the events of a source."""

    @property
    def name(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def topics(self) -> Sequence[str]: ...

    async def begin(self, connection: AsyncConnection) -> None:
        """Partitions were (re)assigned: forget everything, load what is needed."""
        ...

    def admit(self, envelope: Envelope) -> bool:
        """Is it ours? Raises StopPartitionError for an event of a version that this code does not know yet."""
        ...

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        """Take the events and move the checkpoints in one transaction, or as near to it as acting allows."""
        ...


class Follower:
    """One sink, fed from its share of the partitions."""

    def __init__(self, engine: AsyncEngine, source: Log, sink: Sink, assignment: Assignment, bell: Bell) -> None:
        self._engine = engine
        self._log = source
        self._sink = sink
        self._assignment = assignment
        self._bell = bell
        self._cursors: dict[TopicPartition, PartitionCursor] = {}
        self._alarmed: set[TopicPartition] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: read and apply; after a passing error begin again from the checkpoints."""
        failures = 0
        while not stop.is_set():
            try:
                await self._session(stop)
                failures = 0
            except FencedError as fenced:
                log.info("partition lost", sink=self._sink.name, detail=str(fenced))
            except OffsetOutOfRangeError as gone:
                await self._raise_alarm_everywhere(str(gone))
                await _pause(stop, BACKOFF_SECONDS[-1])
            except (
                OSError,
                TimeoutError,
                DBAPIError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                LogUnavailableError,
            ) as error:
                log.warning("reader begins again", sink=self._sink.name, error=f"{type(error).__name__}: {error}")
                await _pause(stop, BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1

    async def _session(self, stop: asyncio.Event) -> None:
        share = await self._assignment.share()
        consumer = await self._log.consumer()
        try:
            await self._take_up(consumer, share)
            while not stop.is_set() and self._assignment.current == share:
                if not self._cursors:
                    await _pause(stop, WAIT_SECONDS)
                    continue
                records = await consumer.fetch(BATCH, WAIT_SECONDS)
                if records:
                    await self.take(records)
        finally:
            await consumer.close()

    async def _take_up(self, consumer: LogConsumer, share: frozenset[int]) -> None:
        first: dict[TopicPartition, int] = {}
        for topic in self._sink.topics:
            bounds = await self._log.bounds(topic)
            first |= {(topic, partition): low for partition, (low, _) in bounds.items() if partition in share}
        async with self._engine.begin() as connection:
            at = await checkpoints.load(connection, self._sink.name, self._sink.generation, first)
            await self._sink.begin(connection)
        self._cursors = {key: PartitionCursor(position, offset) for key, (position, offset) in at.items()}
        if self._cursors:
            await consumer.assign({key: cursor.offset for key, cursor in self._cursors.items()})

    async def take(self, records: Sequence[LogRecord]) -> None:
        """Judge the records, apply what is due, move the checkpoints."""
        before = {key: cursor.position for key, cursor in self._cursors.items()}
        due: list[Delivery] = []
        read: set[TopicPartition] = set()
        for record in records:
            key = (record.topic, record.partition)
            cursor = self._cursors.get(key)
            if cursor is None or cursor.stopped:
                continue
            if await self._judge(record, cursor, due):
                read.add(key)
        moves = [
            Move(topic, partition, before[topic, partition], cursor.position, cursor.offset)
            for topic, partition in sorted(read)
            for cursor in (self._cursors[topic, partition],)
        ]
        if moves:
            await self._sink.apply(due, moves)
            self._bell.ring()

    async def _judge(self, record: LogRecord, cursor: PartitionCursor, due: list[Delivery]) -> bool:
        """Whether the cursor moved; what is due is added to `due`."""
        key = (record.topic, record.partition)
        try:
            envelope, previous = decode_record(record)
            verdict = cursor.judge(envelope.position, previous)
            ours = verdict == "take" and self._sink.admit(envelope)
        except BadRecordError as bad:
            await self._stop(key, cursor, "unreadable", str(bad))
            return False
        except StopPartitionError as stop:
            await self._stop(key, cursor, stop.kind, str(stop))
            return False
        if verdict == "missing":
            if key not in self._alarmed:
                await self._raise_alarm(key, "missing", str(cursor.gap))
            return False
        if verdict == "take":
            cursor.position = envelope.position
            if ours:
                due.append(Delivery(envelope, record))
            if key in self._alarmed:
                await self._clear_alarm(key)
        if cursor.gap is None:  # while something is missing, a restart must read from before the gap
            cursor.offset = record.offset + 1
        return True

    async def _stop(self, key: TopicPartition, cursor: PartitionCursor, kind: str, detail: str) -> None:
        cursor.stopped = True
        await self._raise_alarm(key, kind, detail)

    async def _raise_alarm(self, key: TopicPartition, kind: str, detail: str) -> None:
        log.error("reader stands still", sink=self._sink.name, topic=key[0], partition=key[1], kind=kind, detail=detail)
        self._alarmed.add(key)
        values = {**self._alarm_key(key), "kind": kind, "detail": detail}
        statement = insert(tables.alarm).values(values)
        async with self._engine.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(tables.alarm.primary_key), set_={"kind": kind, "detail": detail}
                )
            )

    async def _raise_alarm_everywhere(self, detail: str) -> None:
        for key in self._cursors:
            await self._raise_alarm(key, "missing", detail)

    async def _clear_alarm(self, key: TopicPartition) -> None:
        self._alarmed.discard(key)
        match = [tables.alarm.c[name] == value for name, value in self._alarm_key(key).items()]
        async with self._engine.begin() as connection:
            await connection.execute(delete(tables.alarm).where(*match))

    def _alarm_key(self, key: TopicPartition) -> Mapping[str, object]:
        return {
            "projection": self._sink.name,
            "generation": self._sink.generation,
            "topic": key[0],
            "partition": key[1],
        }


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)

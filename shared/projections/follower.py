"""The loop that every reader of the log shares: assignment, chain, checkpoint, lag, alarms. What is done with the events is a
sink's affair: folding (projections) or acting (reactors)."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Envelope, Event
from shared.kit.figures import Figures
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import (
    Log,
    LogConsumer,
    LogRecord,
    LogUnavailableError,
    OffsetOutOfRangeError,
    UnknownTopicError,
)
from shared.projections import checkpoints
from shared.projections.alarms import Alarms
from shared.projections.assignment import Assignment
from shared.projections.bell import Bell
from shared.projections.chain import PartitionCursor
from shared.projections.checkpoints import FencedError, Move, TopicPartition
from shared.projections.database_errors import DATABASE_ERRORS
from shared.projections.offsets import GroupOffsets

BATCH = 2_000
YIELD_EVERY = 100  # records or events: an embedded process answers requests with the same event loop
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


class ReaderGoneError(Exception):
    """There is nothing to feed any more: the generation was dropped."""


class TryAgainError(Exception):
    """Passing trouble of a sink's own: nothing was booked, begin again from the checkpoints."""


PASSING = (
    *DATABASE_ERRORS,
    LogUnavailableError,
    OffsetOutOfRangeError,
    UnknownTopicError,
    TryAgainError,
)


class Sink(Protocol):
    """What is done with the events of a source."""

    @property
    def name(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def topics(self) -> Sequence[str]: ...

    async def begin(self, connection: AsyncConnection) -> None:
        """Partitions were (re)assigned: forget everything, load what is needed. Raises ReaderGoneError."""
        ...

    def admit(self, envelope: Envelope) -> bool:
        """Is it ours? Raises StopPartitionError for an event of a version that this code does not know yet."""
        ...

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        """Take the events and move the checkpoints in one transaction, or as near to it as acting allows."""
        ...


def reader_name(name: str, generation: int) -> str:
    """How a reader is called in `keyfold lag` and in the figures."""
    return f"{name}_g{generation}" if generation else name


class ReaderFigures:
    """What is counted of one reader."""

    def __init__(self, figures: Figures, reader: str) -> None:
        self._records = figures.counter("keyfold_reader_records", "Records read from the log.", "reader").labels(reader)
        self._events = figures.counter("keyfold_reader_events", "Events applied.", "reader").labels(reader)
        self._seconds = figures.histogram(
            "keyfold_reader_batch_seconds", "Seconds to apply a batch of records.", "reader"
        ).labels(reader)
        self.restarts = figures.counter(
            "keyfold_reader_restarts", "Times that a reader began again at its checkpoints.", "reader"
        ).labels(reader)

    def took(self, records: int, events: int, seconds: float) -> None:
        self._records.inc(records)
        self._events.inc(events)
        self._seconds.observe(seconds)


class Follower:
    """One sink, fed from its share of the partitions. `group` is the name under which lag tools of the log see it, if any."""

    def __init__(
        self,
        engine: AsyncEngine,
        source: Log,
        sink: Sink,
        assignment: Assignment,
        bell: Bell,
        group: str | None = None,
        figures: Figures | None = None,
    ) -> None:
        self._engine = engine
        self._log = source
        self._sink = sink
        self._assignment = assignment
        self._bell = bell
        self._group = group
        self._cursors: dict[TopicPartition, PartitionCursor] = {}
        self._first: dict[TopicPartition, int] = {}
        self._read_again: set[TopicPartition] = set()
        self._alarms = Alarms(engine, sink.name, sink.generation)
        self._failures = 0
        self._count = ReaderFigures(figures or Figures(), reader_name(sink.name, sink.generation))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: read and apply; after a passing error begin again from the checkpoints."""
        while not stop.is_set():
            try:
                await self._session(stop)
            except FencedError as fenced:
                log.info("partition lost", sink=self._sink.name, detail=str(fenced))
            except ReaderGoneError as gone:
                log.info("reader ends", sink=self._sink.name, detail=str(gone))
                return
            except PASSING as error:
                log.warning("reader begins again", sink=self._sink.name, error=f"{type(error).__name__}: {error}")
                await _pause(stop, BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)])
                self._failures += 1
                self._count.restarts.inc()

    async def _session(self, stop: asyncio.Event) -> None:
        """From taking up a share of the partitions until it changes. A batch that has begun is finished before `stop`."""
        share = await self._assignment.share()
        consumer = await self._log.consumer()
        offsets = GroupOffsets(consumer, self._group)
        try:
            await self._take_up(consumer, share)
            while not stop.is_set() and self._assignment.current == share:
                if not self._cursors:
                    await _pause(stop, WAIT_SECONDS)
                    continue
                records = await consumer.fetch(BATCH, WAIT_SECONDS)
                if records:
                    await self.take(records)
                    await self._go_back(consumer)
                    self._failures = 0
                offsets.tell({key: cursor.offset for key, cursor in self._cursors.items()})
        finally:
            await offsets.close()
            await consumer.close()

    async def _take_up(self, consumer: LogConsumer, share: frozenset[int]) -> None:
        bounds: dict[TopicPartition, tuple[int, int]] = {}
        for topic in self._sink.topics:
            held = await self._log.bounds(topic)
            bounds |= {(topic, partition): ends for partition, ends in held.items() if partition in share}
        async with self._engine.begin() as connection:
            await self._sink.begin(connection)
            first = {key: low for key, (low, _) in bounds.items()}
            at = await checkpoints.load(connection, self._sink.name, self._sink.generation, first)
            await self._alarms.load(connection)
        self._cursors = {key: PartitionCursor(position, offset) for key, (position, offset) in at.items()}
        self._first, self._read_again = first, set()
        for key, cursor in self._cursors.items():
            low, high = bounds[key]
            if not low <= cursor.offset <= high:
                # Reading from the start loses nothing: positions tell what was had, and what is not there.
                detail = (
                    f"the log holds offsets {low} to {high}, not {cursor.offset}: it has lost records or is another log"
                )
                await self._alarms.raise_one(key, "missing", detail)
                cursor.offset = low
        if self._cursors:
            # From the last record that was taken: should another stand there, then this is another log.
            await consumer.assign({key: max(cursor.offset - 1, first[key]) for key, cursor in self._cursors.items()})

    async def _go_back(self, consumer: LogConsumer) -> None:
        """What seems to be missing may lie before the offset that was kept, if that is of a log which is no more: once in a session
        the partition is read again from its first record. Positions tell what was had."""
        for key, cursor in self._cursors.items():
            if cursor.gap is not None and key not in self._read_again:
                self._read_again.add(key)
                await consumer.seek(*key, self._first[key])

    async def take(self, records: Sequence[LogRecord]) -> None:
        """Judge the records, apply what is due, move the checkpoints."""
        began = time.perf_counter()
        before = {key: cursor.position for key, cursor in self._cursors.items()}
        due: list[Delivery] = []
        read: set[TopicPartition] = set()
        for number, record in enumerate(records, 1):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
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
            self._count.took(len(records), len(due), time.perf_counter() - began)

    async def _judge(self, record: LogRecord, cursor: PartitionCursor, due: list[Delivery]) -> bool:
        """Whether the cursor moved; what is due is added to `due`."""
        key = (record.topic, record.partition)
        try:
            envelope, previous = decode_record(record)
            verdict = cursor.judge(envelope.position, previous)
            if verdict == "conflict":
                raise StopPartitionError("other_history", other_history(envelope, previous, cursor))
            ours = verdict == "take" and self._sink.admit(envelope)
        except BadRecordError as bad:
            await self._stop(key, cursor, "unreadable", str(bad))
            return False
        except StopPartitionError as stop:
            await self._stop(key, cursor, stop.kind, str(stop))
            return False
        if verdict == "missing":
            await self._alarms.raise_one(key, "missing", str(cursor.gap))
            return False
        if verdict == "take":
            cursor.position = envelope.position
            if ours:
                due.append(Delivery(envelope, record))
        if cursor.gap is None:  # while something is missing, a restart must read from before the gap
            cursor.offset = record.offset + 1
            if envelope.position == cursor.position:  # it stands on the chain again
                await self._alarms.clear(key)
        return True

    async def _stop(self, key: TopicPartition, cursor: PartitionCursor, kind: str, detail: str) -> None:
        cursor.stopped = True
        await self._alarms.raise_one(key, kind, detail)


def check_version(envelope: Envelope, known: type[Event]) -> None:
    """Raises StopPartitionError for an event of a version that this code does not know yet."""
    if envelope.type_version > known.type_version:
        raise StopPartitionError(
            "newer_version",
            f"{envelope.type_name} v{envelope.type_version} at position {envelope.position}: this code knows up to "
            f"v{known.type_version}. Upgrade this worker",
        )


def split(
    moves: Sequence[Move], first: Sequence[Delivery], second: Sequence[Delivery]
) -> tuple[list[Move], list[Move]]:
    """Moves up to the last event of the first half, and from there on."""
    last = {(one.record.topic, one.record.partition): one for one in first}
    later = {(one.record.topic, one.record.partition) for one in second}
    halfway, rest = [], []
    for move in moves:
        key = (move.topic, move.partition)
        if key not in later:
            halfway.append(move)
        elif key not in last:
            rest.append(move)
        else:
            at = last[key].envelope.position
            halfway.append(Move(move.topic, move.partition, move.before, at, last[key].record.offset + 1))
            rest.append(Move(move.topic, move.partition, at, move.position, move.offset))
    return halfway, rest


def other_history(envelope: Envelope, previous: int, cursor: PartitionCursor) -> str:
    return (
        f"position {cursor.position} was taken, and now event {envelope.position} names {previous} as the one before it: "
        "the log holds two histories"
    )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)

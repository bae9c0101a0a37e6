"""When a relay must not start: it would publish another history than the one that is in the log."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from shared.contracts.event import Contract
from shared.eventstore.store import EventStore, NotDurableError
from shared.log.cloudevents import BadRecordError, decode_record
from shared.log.port import PARTITIONS, Log, LogConsumer, LogRecord, LogUnavailableError, UnknownTopicError
from shared.relay.cursor import Cursor
from shared.relay.partition import partition_of

WINDOW = 1_000
FETCH_SECONDS = 5.0
ATTEMPTS = 5


class RelayRefusedError(Exception):
    """Publishing would break a promise. The message says what is wrong and which command mends it."""


async def check_start(connection: "asyncpg.Connection[Any]", store: EventStore, log: Log, cursor: Cursor) -> None:
    """Raises RelayRefusedError: settings that lose data, another partition count, a store and a log that disagree.

    `connection`: to the store's database.
    """
    topic = store.contract.topic
    try:
        await store.check_durability()
        count = await log.partitions(topic)
    except (NotDurableError, UnknownTopicError) as problem:
        raise RelayRefusedError(str(problem)) from problem
    if count != PARTITIONS:
        raise RelayRefusedError(
            f"topic {topic} has {count} partitions, not {PARTITIONS}: a stream would continue in another partition"
        )
    head = await _head(connection)
    if cursor.position > head:
        raise RelayRefusedError(
            f"{cursor.position} events of {topic} are published but the store has only {head}: was it restored? "
            f"{_recovery(store.contract.service)}"
        )
    last = await check_ends(connection, log, topic, store.contract.service)
    await _check_complete(log, store.contract, cursor, last)


async def check_ends(connection: "asyncpg.Connection[Any]", log: Log, topic: str, service: str) -> Mapping[int, int]:
    """Partition → position of its last record, each of which is the store's event of that position. Raises RelayRefusedError."""
    last: dict[int, int] = {}
    for partition in range(PARTITIONS):
        record = await log.last_record(topic, partition)
        if record is not None:
            last[partition] = await _check_record(connection, record, service)
    return last


async def _check_record(connection: "asyncpg.Connection[Any]", record: LogRecord, service: str) -> int:
    """The record's position, if it is the store's event of that position."""
    head = await _head(connection)  # asked after the record was read: another relay may be publishing
    where = f"{record.topic}/{record.partition}"
    try:
        envelope, _ = decode_record(record)
    except BadRecordError as problem:
        raise RelayRefusedError(
            f"the last record of {where} is none of ours, so somebody else writes there: {problem}"
        ) from problem
    if envelope.position > head:
        raise RelayRefusedError(
            f"{where} ends with event {envelope.position} but the store has only {head}: was it restored or failed over? "
            f"{_recovery(service)}"
        )
    stored = await connection.fetchval("SELECT event_id FROM store.event WHERE position = $1", envelope.position)
    if stored != envelope.event_id:
        raise RelayRefusedError(
            f"{where} ends with event {envelope.event_id} at position {envelope.position}, where the store has another: "
            "the store was restored or failed over and has gone on by itself. The two histories must be reconciled by hand"
        )
    if partition_of(envelope.stream_id) != record.partition:
        raise RelayRefusedError(f"{where} holds stream {envelope.stream_id}, which belongs to another partition")
    return envelope.position


async def _head(connection: "asyncpg.Connection[Any]") -> int:
    return int(await connection.fetchval("SELECT position FROM store.head WHERE one"))


def _recovery(service: str) -> str:
    return f"`keyfold recover {service}` brings the others back from the log"


async def _check_complete(log: Log, contract: Contract, cursor: Cursor, last: Mapping[int, int]) -> None:
    """What the cursor calls published must be there: else later events would follow a gap."""
    topic = contract.topic
    lost = [
        partition
        for partition, position in cursor.partitions.items()
        if last.get(partition, 0) < position and not await _holds(log, topic, partition, position)
    ]
    if lost:
        after = min(last.get(partition, 0) for partition in lost)
        raise RelayRefusedError(
            f"the log has lost published events of {topic}, partitions {sorted(lost)}; "
            f"`keyfold republish {contract.service} --after {after}` sends them again"
        )


async def _holds(log: Log, topic: str, partition: int, position: int) -> bool:
    """Whether the partition has the event of this position somewhere before a late duplicate at its end.

    Only what was read to its end is called lost. A fetch that fails costs that fetch, not what was read before it: else a
    log that is away now and then, and holds many duplicates, would never let a relay start. Raises LogUnavailableError.
    """
    first, after = (await log.bounds(topic))[partition]
    reader = _Reader(log, topic, partition)
    try:
        while after > first:
            start = offset = max(first, after - WINDOW)
            while offset < after:
                records = await reader.read(offset)
                if not records:
                    break  # what is left of the window are markers of transactions
                offset = records[-1].offset + 1
                if any(decode_record(record)[0].position == position for record in records):
                    return True
            after = start
    finally:
        await reader.close()
    return False


class _Reader:
    """Reads one partition, with another consumer after a failure."""

    def __init__(self, log: Log, topic: str, partition: int) -> None:
        self._log = log
        self._where = (topic, partition)
        self._consumer: LogConsumer | None = None
        self._offset = -1

    async def read(self, offset: int) -> list[LogRecord]:
        """The next records from `offset` on; none, if there are none and the log is there to say so.

        Raises LogUnavailableError when the log is away, or when ATTEMPTS fetches in a row have failed.
        """
        for attempt in range(1, ATTEMPTS + 1):
            consumer = await self._at(offset)
            try:
                found = await consumer.fetch(WINDOW, FETCH_SECONDS)
                if not found:  # also what a log gives that went away meanwhile: it must answer, and say it once more
                    await self._log.bounds(self._where[0])
                    found = await consumer.fetch(WINDOW, FETCH_SECONDS)
            except LogUnavailableError:
                await self.close()
                if attempt == ATTEMPTS:
                    raise
            else:
                self._offset = found[-1].offset + 1 if found else offset
                return found
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _at(self, offset: int) -> LogConsumer:
        if self._consumer is None:
            self._consumer = await self._log.consumer()
            self._offset = -1
        if self._offset != offset:
            await self._consumer.assign({self._where: offset})
            self._offset = offset
        return self._consumer

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

"""The log on PostgreSQL, for an installation without Kafka: same port, same promises, a database of its own.

Offsets of a partition are dense and become visible in order: an append holds its topic's row until it is committed.
Readers are woken by NOTIFY, sent after the commit because a notifying commit holds a lock of the whole server, and look
every 250 ms in any case.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import orjson

from shared.log.port import (
    PARTITIONS,
    LogConsumer,
    LogProducer,
    LogRecord,
    LogUnavailableError,
    NewRecord,
    OffsetOutOfRangeError,
    TopicMismatchError,
    UnknownTopicError,
    check_partition,
)
from shared.log.postgres_schema import SCHEMA

CHANNEL: Final = "keyfold_log"
# A notification that is lost with a crash is no loss: it need not be flushed to disk, as every transaction that notifies is.
NOTIFY: Final = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')"
POLL_SECONDS: Final = 0.25
FULL: Final = 2_000  # records read of one partition before the next has its turn

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class PostgresLog:
    """Connects when it is first used; the schema is made by `create_topic`."""

    def __init__(self, dsn: str, *, max_size: int = 5) -> None:
        self._dsn = dsn
        self._max_size = max_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._connecting = asyncio.Lock()
        self._listener: asyncpg.Connection[asyncpg.Record] | None = None
        self._bells: set[asyncio.Event] = set()

    async def create_topic(self, topic: str, partitions: int = PARTITIONS) -> None:
        async with self.connected() as connection, connection.transaction():
            # Two processes may migrate at once, and CREATE … IF NOT EXISTS does not stand that.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('keyfold log schema', 0))")
            await connection.execute(SCHEMA)
            row = await connection.fetchrow("SELECT id, partitions FROM log.topic WHERE name = $1", topic)
            if row is None:
                number = await connection.fetchval(
                    "INSERT INTO log.topic (name, partitions) VALUES ($1, $2) RETURNING id", topic, partitions
                )
                await connection.execute(
                    "INSERT INTO log.partition SELECT $1, p, 0 FROM generate_series(0, $2::int - 1) p",
                    number,
                    partitions,
                )
            elif row["partitions"] != partitions:
                raise TopicMismatchError(f"topic {topic} has {row['partitions']} partitions, not {partitions}")

    async def partitions(self, topic: str) -> int:
        async with self.connected() as connection:
            return (await _topic(connection, topic))[1]

    async def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        async with self.connected() as connection:
            number, _ = await _topic(connection, topic)
            rows = await connection.fetch(
                "SELECT partition, next_offset FROM log.partition WHERE topic = $1 ORDER BY partition", number
            )
        return {row["partition"]: (0, row["next_offset"]) for row in rows}

    async def last_record(self, topic: str, partition: int) -> LogRecord | None:
        async with self.connected() as connection:
            number, _ = await _topic(connection, topic)
            row = await connection.fetchrow(
                "SELECT record_offset, key, value, headers FROM log.record WHERE topic = $1 AND partition = $2 "
                "ORDER BY record_offset DESC LIMIT 1",
                number,
                partition,
            )
        return None if row is None else _record(topic, partition, row)

    async def producer(self) -> LogProducer:
        """Raises LogUnavailableError when the server would acknowledge what it has not made durable."""
        async with self.connected() as connection:
            for setting in ("fsync", "synchronous_commit"):
                if await connection.fetchval("SELECT current_setting($1)", setting) == "off":
                    raise LogUnavailableError(f"the log's PostgreSQL runs with {setting} off: it may lose records")
        return PostgresLogProducer(self)

    async def consumer(self) -> LogConsumer:
        async with self.connected():
            pass
        return PostgresLogConsumer(self)

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        pool, self._pool = self._pool, None
        if listener is not None:
            await listener.close()
        if pool is not None:
            await pool.close()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """A connection of the pool; the server's absence is told as LogUnavailableError."""
        try:
            pool = self._pool or await self._connect()
            async with pool.acquire() as connection:
                yield connection
        except _ABSENT as problem:
            raise LogUnavailableError(f"the log's PostgreSQL: {problem!r}") from problem

    async def _connect(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._connecting:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=1,
                    max_size=self._max_size,
                    command_timeout=60,
                    server_settings={
                        "application_name": "keyfold log",
                        "jit": "off",
                        "plan_cache_mode": "force_custom_plan",
                    },
                )
            return self._pool

    # --- waking readers

    async def hang(self, bell: asyncio.Event) -> None:
        """Have the bell rung when records are appended, by whatever process. To be repeated: it mends a lost connection."""
        self._bells.add(bell)
        if self._listener is not None and not self._listener.is_closed():
            return
        async with self._connecting:
            if self._listener is None or self._listener.is_closed():
                try:
                    listener = await asyncpg.connect(
                        self._dsn, server_settings={"application_name": "keyfold log listener"}
                    )
                    await listener.add_listener(CHANNEL, self._heard)
                except _ABSENT as problem:
                    raise LogUnavailableError(f"the log's PostgreSQL: {problem!r}") from problem
                self._listener = listener

    def take_down(self, bell: asyncio.Event) -> None:
        self._bells.discard(bell)

    def ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def _heard(self, *_: object) -> None:
        self.ring()


class PostgresLogProducer:
    def __init__(self, owner: PostgresLog) -> None:
        self._owner = owner

    async def send(self, records: Sequence[NewRecord]) -> None:
        by_topic: dict[str, list[NewRecord]] = defaultdict(list)
        for record in records:
            by_topic[record.topic].append(record)
        async with self._owner.connected() as connection:
            async with connection.transaction():
                for topic in sorted(by_topic):  # in one order, so that two producers cannot block each other
                    await _append(connection, topic, by_topic[topic])
            self._owner.ring()  # readers in this process need not wait for what wakes the others
            await connection.execute(NOTIFY, CHANNEL)

    async def close(self) -> None:
        """Nothing is held between sends."""


async def _append(connection: Connection, topic: str, records: Sequence[NewRecord]) -> None:
    number, count = await _topic(connection, topic)
    for record in records:
        check_partition(topic, record.partition, count)
    await connection.execute(
        "SELECT log.append($1, $2, $3, $4, $5)",
        number,
        [record.partition for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [orjson.dumps(dict(record.headers)).decode() for record in records],
    )


class PostgresLogConsumer:
    def __init__(self, owner: PostgresLog) -> None:
        self._owner = owner
        self._positions: dict[tuple[str, int], int] = {}
        self._numbers: dict[str, int] = {}
        self._bell = asyncio.Event()

    async def assign(self, offsets: Mapping[tuple[str, int], int]) -> None:
        numbers: dict[str, int] = {}
        async with self._owner.connected() as connection:
            for topic in {topic for topic, _ in offsets}:
                numbers[topic], count = await _topic(connection, topic)
                for name, partition in offsets:
                    if name == topic:
                        check_partition(topic, partition, count)
        self._positions, self._numbers = dict(offsets), numbers

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        if (topic, partition) not in self._positions:
            raise ValueError(f"{topic}/{partition} is not assigned to this consumer")
        self._positions[topic, partition] = offset

    async def fetch(self, max_records: int, timeout: float) -> list[LogRecord]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            self._bell.clear()
            await self._owner.hang(self._bell)
            found = await self._read(max_records)
            remaining = deadline - loop.time()
            if found or remaining <= 0:
                return found
            try:
                async with asyncio.timeout(min(remaining, POLL_SECONDS)):
                    await self._bell.wait()
            except TimeoutError:
                continue  # nobody rang: look anyway, a notification can be lost with its connection

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        async with self._owner.connected() as connection:
            await connection.executemany(
                "INSERT INTO log.group_offset (name, topic, partition, next_offset) "
                "SELECT $1, id, $3, $4 FROM log.topic WHERE log.topic.name = $2 "
                "ON CONFLICT (name, topic, partition) DO UPDATE "
                "SET next_offset = excluded.next_offset, committed_at = now()",
                [(group, topic, partition, offset) for (topic, partition), offset in offsets.items()],
            )

    async def close(self) -> None:
        self._owner.take_down(self._bell)

    async def _read(self, max_records: int) -> list[LogRecord]:
        found: list[LogRecord] = []
        if not self._positions:
            return found
        async with self._owner.connected() as connection:
            ends = await self._ends(connection)
            behind: dict[tuple[str, int], int] = {}
            for where, offset in self._positions.items():
                if offset > ends[where] or offset < 0:
                    raise OffsetOutOfRangeError(f"{where[0]}/{where[1]} holds 0 to {ends[where]}, not {offset}")
                if offset < ends[where]:
                    behind[where] = offset
            if len(behind) > 1 and sum(ends[where] - offset for where, offset in behind.items()) <= max_records:
                return await self._read_all(connection, behind)
            for where, offset in behind.items():
                rows = await connection.fetch(
                    "SELECT record_offset, key, value, headers FROM log.record WHERE topic = $1 AND partition = $2 "
                    "AND record_offset >= $3 ORDER BY record_offset LIMIT $4",
                    self._numbers[where[0]],
                    where[1],
                    offset,
                    min(max_records - len(found), FULL),
                )
                found += [_record(*where, row) for row in rows]
                # To the end of the queue: no partition waits for another that never runs dry.
                del self._positions[where]
                self._positions[where] = offset + len(rows)
                if len(found) >= max_records:
                    break
        return found

    async def _read_all(self, connection: Connection, behind: Mapping[tuple[str, int], int]) -> list[LogRecord]:
        """What there is beyond these offsets, when that is little: one question for all partitions."""
        rows = await connection.fetch(
            "SELECT asked.place, r.record_offset, r.key, r.value, r.headers "
            "FROM unnest($1::int[], $2::int[], $3::bigint[]) WITH ORDINALITY AS asked (topic, partition, first, place) "
            "JOIN log.record r ON r.topic = asked.topic AND r.partition = asked.partition "
            "AND r.record_offset >= asked.first ORDER BY asked.place, r.record_offset",
            [self._numbers[topic] for topic, _ in behind],
            [partition for _, partition in behind],
            list(behind.values()),
        )
        order = list(behind)
        for row in rows:
            self._positions[order[row["place"] - 1]] = row["record_offset"] + 1
        places = [order[row["place"] - 1] for row in rows]
        return [_record(topic, partition, row) for (topic, partition), row in zip(places, rows, strict=True)]

    async def _ends(self, connection: Connection) -> dict[tuple[str, int], int]:
        rows = await connection.fetch(
            "SELECT topic, partition, next_offset FROM log.partition WHERE topic = ANY($1::int[])",
            list(self._numbers.values()),
        )
        names = {number: name for name, number in self._numbers.items()}
        return {(names[row["topic"]], row["partition"]): row["next_offset"] for row in rows}


_ABSENT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ended between two steps of a query
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


async def _topic(connection: Connection, topic: str) -> tuple[int, int]:
    """Number and partition count of a topic. Raises UnknownTopicError."""
    try:
        row = await connection.fetchrow("SELECT id, partitions FROM log.topic WHERE name = $1", topic)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        row = None
    if row is None:
        raise UnknownTopicError(f"topic {topic} does not exist; `keyfold migrate` creates it")
    return row["id"], row["partitions"]


def _record(topic: str, partition: int, row: asyncpg.Record) -> LogRecord:
    return LogRecord(topic, partition, row["record_offset"], row["key"], row["value"], orjson.loads(row["headers"]))

"""The log on Apache Kafka, through aiokafka: idempotent producer with acks=all, consumers without group membership.

Partitions are assigned by Keyfold itself, the same way for both drivers. Group offsets are committed only so that lag tools
see them. A topic is kept for ever: retention unlimited, never compacted.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError
from aiokafka.producer.message_accumulator import BatchBuilder

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

FOREVER: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
BROKER_DEFAULT: Final = -1  # replication is the cluster's decision: default.replication.factor
REQUEST_SECONDS: Final = 15
SEND_SECONDS: Final = (
    30.0  # aiokafka's idempotent producer would try for ever; a broker is back from SIGKILL in 7 to 14 s
)
CLOSE_SECONDS: Final = 5.0
BATCH_BYTES: Final = 512 * 1024
COMPRESSION: Final = "zstd"  # smaller than gzip, in a sixth of the time; every broker since 2.1 and every client has it

log = structlog.get_logger(__name__)


class KafkaLog:
    """`bootstrap` is "host:port" or several, separated by commas. Connects when it is first used."""

    def __init__(self, bootstrap: str, *, send_seconds: float = SEND_SECONDS) -> None:
        self._bootstrap = bootstrap
        self._send_seconds = send_seconds
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._connecting = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def create_topic(self, topic: str, partitions: int = PARTITIONS) -> None:
        async with _told_apart():
            admin = await self._connected_admin()
            response: Any = await admin.create_topics([NewTopic(topic, partitions, BROKER_DEFAULT, {}, FOREVER)])
            code, message = response.topic_errors[0][1], response.topic_errors[0][2]
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(message or topic)
            found = await self._until_led(topic)
        if found != partitions:
            raise TopicMismatchError(f"topic {topic} has {found} partitions, not {partitions}")

    async def partitions(self, topic: str) -> int:
        async with _told_apart():
            return len(await self._described(topic))

    async def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        known = [TopicPartition(topic, number) for number in range(await self.partitions(topic))]
        async with _told_apart(), self._reading:
            reader = await self._connected_reader()
            first = await reader.beginning_offsets(known)
            after = await reader.end_offsets(known)
        return {each.partition: (first[each], after[each]) for each in known}

    async def last_record(self, topic: str, partition: int) -> LogRecord | None:
        first, after = (await self.bounds(topic))[partition]
        consumer = KafkaLogConsumer(self, self._bootstrap)
        try:
            back = 1
            while after > first:
                # The last offset may hold the marker of somebody's transaction instead of a record: look further back.
                start = max(first, after - back)
                found = await consumer.span(topic, partition, start, after)
                if found or start == first:
                    return found[-1] if found else None
                back *= 10
        finally:
            await consumer.close()
        return None

    async def producer(self) -> LogProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type=COMPRESSION,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_SECONDS * 1000,
        )
        async with _told_apart():
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
        return KafkaLogProducer(self, producer, self._send_seconds)

    async def consumer(self) -> LogConsumer:
        async with _told_apart():
            await self._connected_reader()  # so that a log that is away is told here already
        return KafkaLogConsumer(self, self._bootstrap)

    async def close(self) -> None:
        admin, self._admin = self._admin, None
        reader, self._reader = self._reader, None
        if reader is not None:
            await _stop(reader)
        if admin is not None:
            await admin.close()

    async def _connected_admin(self) -> AIOKafkaAdminClient:
        async with self._connecting:
            if self._admin is None:
                admin = AIOKafkaAdminClient(
                    bootstrap_servers=self._bootstrap, request_timeout_ms=REQUEST_SECONDS * 1000
                )
                try:
                    await admin.start()
                except BaseException:
                    await admin.close()
                    raise
                self._admin = admin
            return self._admin

    async def _connected_reader(self) -> AIOKafkaConsumer:
        async with self._connecting:
            if self._reader is None:
                self._reader = await _reading(self._bootstrap, {})
            return self._reader

    async def _described(self, topic: str) -> list[dict[str, Any]]:
        admin = await self._connected_admin()
        # All topics are asked for: to ask for one by name may create it, if the broker is set so.
        for found in await admin.describe_topics(None):
            if found["topic"] == topic and not found["error_code"]:
                return list(found["partitions"])
        raise UnknownTopicError(f"topic {topic} does not exist; `keyfold migrate` creates it")

    async def _until_led(self, topic: str) -> int:
        """A new topic is usable when each partition has a leader; the number of partitions."""
        async with asyncio.timeout(REQUEST_SECONDS):
            while True:
                try:
                    found = await self._described(topic)
                except UnknownTopicError:
                    found = []
                if found and all(each["leader"] >= 0 for each in found):
                    return len(found)
                await asyncio.sleep(0.05)


class KafkaLogProducer:
    """After the first failure it is good for nothing but `close`: what is in flight can no longer be told."""

    def __init__(self, owner: KafkaLog, producer: AIOKafkaProducer, send_seconds: float) -> None:
        self._owner = owner
        self._producer = producer
        self._send_seconds = send_seconds
        self._partitions: dict[str, int] = {}
        self._failed = False

    async def send(self, records: Sequence[NewRecord]) -> None:
        if self._failed:
            raise LogUnavailableError("this producer has failed before; open another one")
        by_partition: dict[tuple[str, int], list[NewRecord]] = defaultdict(list)
        for record in records:
            by_partition[record.topic, record.partition].append(record)
        for topic, partition in by_partition:
            if topic not in self._partitions:
                self._partitions[topic] = await self._owner.partitions(topic)
            check_partition(topic, partition, self._partitions[topic])
        try:
            async with _told_apart(), asyncio.timeout(self._send_seconds):
                await self._acknowledged(by_partition)
        except BaseException:
            self._failed = True
            raise

    async def _acknowledged(self, by_partition: Mapping[tuple[str, int], Sequence[NewRecord]]) -> None:
        """A batch has one answer, which is cheaper than one for every record; those of a partition go one after the other."""
        batches: list[tuple[str, int, BatchBuilder]] = []
        for (topic, partition), records in by_partition.items():
            batches += [(topic, partition, batch) for batch in self._batches(records)]
            await asyncio.sleep(0)  # others have their turn, before anything is sent: all then goes out in few requests
        waiting: list[asyncio.Future[Any]] = [
            await self._producer.send_batch(batch, topic, partition=partition) for topic, partition, batch in batches
        ]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _batches(self, records: Sequence[NewRecord]) -> Iterator[BatchBuilder]:
        """As few as may be. A record that is larger than BATCH_BYTES has one to itself."""
        batch = self._producer.create_batch()
        for record in records:
            while not _fits(batch, record):  # an empty one takes anything
                yield batch
                batch = self._producer.create_batch()
        yield batch

    async def close(self) -> None:
        if not self._failed:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._producer.stop()
                return
            except TimeoutError:
                log.warning("kafka producer did not flush in time; it is cut off")
        await self._cut_off()

    async def _cut_off(self) -> None:
        """End it without flushing. `stop` would go on trying, for ever, to deliver what failed; there is no public way."""
        self._producer._closed = True  # noqa: SLF001
        await self._producer.client.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._producer._sender.close()  # noqa: SLF001
        except (TimeoutError, KafkaError) as problem:
            log.warning("kafka producer cut off", problem=repr(problem))


class KafkaLogConsumer:
    """Each assignment gets a client of its own: aiokafka can lose a `stop` that follows a changed assignment, for ever."""

    def __init__(self, owner: KafkaLog, bootstrap: str) -> None:
        self._owner = owner
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None
        self._committers: dict[str, AIOKafkaConsumer] = {}

    async def assign(self, offsets: Mapping[tuple[str, int], int]) -> None:
        for topic in {topic for topic, _ in offsets}:
            count = await self._owner.partitions(topic)
            for name, partition in offsets:
                if name == topic:
                    check_partition(topic, partition, count)
        wanted = {TopicPartition(*where): offset for where, offset in offsets.items()}
        if self._consumer is not None and self._consumer.assignment() == set(wanted):
            for where, offset in wanted.items():
                self._consumer.seek(where, offset)
            return
        await self._drop()
        if wanted:
            async with _told_apart():
                self._consumer = await _reading(self._bootstrap, wanted)

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        where = TopicPartition(topic, partition)
        if self._consumer is None or where not in self._consumer.assignment():
            raise ValueError(f"{topic}/{partition} is not assigned to this consumer")
        self._consumer.seek(where, offset)

    async def fetch(self, max_records: int, timeout: float) -> list[LogRecord]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            remaining = deadline - loop.time()
            if self._consumer is None:
                await asyncio.sleep(max(remaining, 0.0))
                return []
            async with _told_apart():
                found = await self._consumer.getmany(timeout_ms=max(int(remaining * 1000), 0), max_records=max_records)
            # None is not the end: a fetch ends early after a seek, or when it met markers of transactions alone.
            if found or remaining <= 0:
                return [_record(each) for batch in found.values() for each in batch]
            fetcher: Any = self._consumer._fetcher  # noqa: SLF001
            if fetcher._fetch_task.done():  # noqa: SLF001 — it can die unheard, and nothing would come any more
                raise LogUnavailableError("the Kafka client has stopped fetching")

    async def span(self, topic: str, partition: int, start: int, after: int) -> list[LogRecord]:
        """All records of the partition from offset `start` to before `after`. Raises LogUnavailableError."""
        await self.assign({(topic, partition): start})
        found: list[LogRecord] = []
        async with _told_apart(), asyncio.timeout(REQUEST_SECONDS):
            while self._consumer and await self._consumer.position(TopicPartition(topic, partition)) < after:
                found += await self.fetch(after - start, 0.5)
        return [record for record in found if record.offset < after]

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        wanted = {TopicPartition(*where): offset for where, offset in offsets.items()}
        async with _told_apart():
            committer = self._committers.get(group)
            if committer is None:
                committer = AIOKafkaConsumer(
                    bootstrap_servers=self._bootstrap,
                    group_id=group,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    request_timeout_ms=REQUEST_SECONDS * 1000,
                )
                self._committers[group] = committer
                await committer.start()
            if not set(wanted) <= set(committer.assignment()):
                known = {*wanted, *committer.assignment()}
                committer.assign(list(known))
                committer.pause(*known)  # it never reads
                for where in known:
                    committer.seek(where, 0)  # so it need not ask where to read either
            await committer.commit(wanted)

    async def close(self) -> None:
        committers, self._committers = self._committers, {}
        for committer in committers.values():
            await _stop(committer)
        await self._drop()

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer)


def _fits(batch: BatchBuilder, record: NewRecord) -> bool:
    """Appends it, if there is room."""
    headers = [(name, value.encode()) for name, value in record.headers.items()]
    return batch.append(timestamp=None, key=record.key.encode(), value=record.value, headers=headers) is not None


async def _reading(bootstrap: str, offsets: Mapping[TopicPartition, int]) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        auto_offset_reset="none",  # an offset that is gone is an alarm, never a silent jump
        isolation_level="read_committed",
        request_timeout_ms=REQUEST_SECONDS * 1000,
        fetch_max_wait_ms=250,
    )
    try:
        await consumer.start()
    except BaseException:
        await _stop(consumer)
        raise
    if offsets:
        consumer.assign(list(offsets))
        for where, offset in offsets.items():
            consumer.seek(where, offset)
    return consumer


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop it altogether. A consumer that is stopped early may raise the cancellation of a task of its own, as if the caller
    were cancelled, and leave its connections open (aiokafka issue 647).
    """
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait({stopping})
    if not stopping.cancelled():
        stopping.result()
        return
    if consumer._fetcher is not None:  # noqa: SLF001
        await consumer._fetcher.close()  # noqa: SLF001
    await consumer._client.close()  # noqa: SLF001


def _record(found: Any) -> LogRecord:
    """Keys and headers of foreign records may be anything: what is no UTF-8 is shown as such, not refused."""
    return LogRecord(
        found.topic,
        found.partition,
        found.offset,
        (found.key or b"").decode(errors="replace"),
        found.value or b"",
        {name: (value or b"").decode(errors="replace") for name, value in found.headers},
    )


@asynccontextmanager
async def _told_apart() -> AsyncIterator[None]:
    """aiokafka's errors as those of the port."""
    try:
        yield
    except KafkaOffsetOutOfRangeError as problem:
        raise OffsetOutOfRangeError(f"the log does not hold these offsets: {problem.args}") from problem
    except TimeoutError as problem:
        raise LogUnavailableError("Kafka did not answer in time") from problem
    except (KafkaError, OSError) as problem:
        raise LogUnavailableError(f"Kafka: {problem!r}") from problem

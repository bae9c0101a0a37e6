"""One suite for both drivers of the log."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.log.open import open_log
from shared.log.port import (
    Log,
    LogRecord,
    LogUnavailableError,
    NewRecord,
    OffsetOutOfRangeError,
    TopicMismatchError,
    UnknownTopicError,
)


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.kafka), "postgres"])
def log_url(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    return str(request.getfixturevalue("database"))


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_url: str) -> AsyncIterator[Log]:
    opened = open_log(log_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def topic(log: Log) -> str:
    name = f"keyfold.test-{uuid4().hex}.events"
    await log.create_topic(name, 3)
    return name


def record(topic: str, partition: int, text: str, **headers: str) -> NewRecord:
    return NewRecord(topic, partition, f"key of {text}", text.encode(), headers)


async def send(log: Log, *records: NewRecord) -> None:
    producer = await log.producer()
    await producer.send(records)
    await producer.close()


async def read(log: Log, offsets: dict[tuple[str, int], int], count: int) -> list[LogRecord]:
    """Exactly `count` records and, read on for a moment, no more."""
    consumer = await log.consumer()
    await consumer.assign(offsets)
    found: list[LogRecord] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await consumer.fetch(1_000, 5)
        found += await consumer.fetch(1_000, 0.3)
    await consumer.close()
    assert len(found) == count
    return found


async def test_a_record_comes_back_as_it_was_sent(log: Log, topic: str) -> None:
    sent = NewRecord(topic, 2, "opportunity-甲", bytes(range(256)), {"ce_id": "1", "名": "值", "empty": ""})
    await send(log, sent)
    assert await read(log, {(topic, 2): 0}, 1) == [
        LogRecord(topic, 2, 0, "opportunity-甲", bytes(range(256)), {"ce_id": "1", "名": "值", "empty": ""})
    ]


async def test_order_and_dense_offsets_per_partition(log: Log, topic: str) -> None:
    await send(log, *[record(topic, n % 3, str(n)) for n in range(1_500)])
    await send(log, *[record(topic, n % 3, str(n)) for n in range(1_500, 3_000)])
    found = await read(log, dict.fromkeys([(topic, 0), (topic, 1), (topic, 2)], 0), 3_000)
    for partition in range(3):
        mine = [each for each in found if each.partition == partition]
        assert [each.offset for each in mine] == list(range(1_000))
        assert [int(each.value) for each in mine] == list(range(partition, 3_000, 3))


async def test_records_of_any_size_keep_their_order(log: Log, topic: str) -> None:
    """More than one batch of the Kafka client holds, and one that is larger than a batch."""
    sizes = [10, 200_000, 200_000, 200_000, 10, 700_000, 10, 300_000, 300_000, 10]
    values = [bytes([n]) * size for n, size in enumerate(sizes)]
    await send(log, *[NewRecord(topic, 1, "key", value, {"n": str(n)}) for n, value in enumerate(values)])
    assert [each.value for each in await read(log, {(topic, 1): 0}, len(sizes))] == values


async def test_producers_at_the_same_time_keep_their_own_order(log: Log, topic: str) -> None:
    async def produce(name: str) -> None:
        producer = await log.producer()
        for n in range(20):
            await producer.send([record(topic, 0, f"{name}{n}"), record(topic, 1, f"{name}{n}")])
        await producer.close()

    await asyncio.gather(*(produce(name) for name in "abc"))
    found = await read(log, {(topic, 0): 0, (topic, 1): 0}, 120)
    for partition in range(2):
        mine = [each for each in found if each.partition == partition]
        assert [each.offset for each in mine] == list(range(60))
        for name in "abc":
            texts = [text for each in mine if (text := each.value.decode()).startswith(name)]
            assert texts == [f"{name}{n}" for n in range(20)]


async def test_a_topic_is_created_once_and_keeps_its_partitions(log: Log, topic: str) -> None:
    await log.create_topic(topic, 3)
    assert await log.partitions(topic) == 3
    with pytest.raises(TopicMismatchError, match="has 3 partitions, not 4"):
        await log.create_topic(topic, 4)
    assert await log.partitions(topic) == 3


async def test_an_unknown_topic_is_never_made_by_accident(log: Log, topic: str) -> None:
    unknown = f"{topic}.unknown"
    producer, consumer = await log.producer(), await log.consumer()
    with pytest.raises(UnknownTopicError, match="keyfold migrate"):
        await producer.send([record(unknown, 0, "lost")])
    with pytest.raises(UnknownTopicError):
        await consumer.assign({(unknown, 0): 0})
    with pytest.raises(UnknownTopicError):
        await log.bounds(unknown)
    with pytest.raises(UnknownTopicError):
        await log.last_record(unknown, 0)
    with pytest.raises(UnknownTopicError):
        await log.partitions(unknown)
    await producer.close()
    await consumer.close()


async def test_a_partition_that_does_not_exist(log: Log, topic: str) -> None:
    producer, consumer = await log.producer(), await log.consumer()
    with pytest.raises(ValueError, match="no partition 3"):
        await producer.send([record(topic, 0, "not sent either"), record(topic, 3, "nowhere")])
    with pytest.raises(ValueError, match="no partition 3"):
        await consumer.assign({(topic, 3): 0})
    with pytest.raises(ValueError, match="not assigned"):
        await consumer.seek(topic, 0, 0)
    assert await log.bounds(topic) == {0: (0, 0), 1: (0, 0), 2: (0, 0)}
    await producer.close()
    await consumer.close()


async def test_bounds_and_last_record(log: Log, topic: str) -> None:
    assert await log.last_record(topic, 1) is None
    await send(log, record(topic, 1, "first"), record(topic, 1, "second", ce_id="2"), record(topic, 0, "other"))
    assert await log.bounds(topic) == {0: (0, 1), 1: (0, 2), 2: (0, 0)}
    last = await log.last_record(topic, 1)
    assert last == LogRecord(topic, 1, 1, "key of second", b"second", {"ce_id": "2"})


async def test_reading_from_an_offset_seeking_and_reassigning(log: Log, topic: str) -> None:
    await send(log, *[record(topic, partition, str(n)) for partition in range(2) for n in range(10)])
    consumer = await log.consumer()

    async def values(count: int) -> list[str]:
        found: list[LogRecord] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                batch = await consumer.fetch(4, 5)
                assert len(batch) <= 4
                found += batch
        return [f"{each.partition}:{each.value.decode()}" for each in found]

    await consumer.assign({(topic, 0): 5})
    assert await values(5) == ["0:5", "0:6", "0:7", "0:8", "0:9"]
    await consumer.seek(topic, 0, 8)
    assert await values(2) == ["0:8", "0:9"]
    await consumer.assign({(topic, 1): 7})
    assert await values(3) == ["1:7", "1:8", "1:9"]
    assert await consumer.fetch(4, 0.2) == []
    await consumer.assign({})
    assert await consumer.fetch(4, 0) == []
    await consumer.close()


async def test_whoever_waits_is_woken_by_a_record(log: Log, topic: str) -> None:
    consumer = await log.consumer()
    await consumer.assign({(topic, 0): 0, (topic, 1): 0})
    assert await consumer.fetch(10, 0) == []
    async with asyncio.timeout(20):
        waiting = asyncio.create_task(consumer.fetch(10, 60))
        await send(log, record(topic, 1, "news"))
        assert [each.value for each in await waiting] == [b"news"]
    await consumer.close()


async def test_standing_beyond_the_end_is_an_alarm_not_a_jump(log: Log, topic: str) -> None:
    await send(log, record(topic, 0, "only one"))
    consumer = await log.consumer()
    await consumer.assign({(topic, 0): 7})
    with pytest.raises(OffsetOutOfRangeError):
        await consumer.fetch(10, 10)
    await consumer.close()


async def test_committed_offsets_may_be_set_again_and_by_anyone(log: Log, topic: str) -> None:
    await send(log, record(topic, 0, "a"), record(topic, 0, "b"))
    first, second = await log.consumer(), await log.consumer()
    group = f"projection-{uuid4().hex}"
    await first.commit(group, {(topic, 0): 1})
    await second.commit(group, {(topic, 0): 2, (topic, 1): 0})
    await first.commit(group, {(topic, 0): 1, (topic, 2): 0})
    await first.close()
    await second.close()


@pytest.mark.parametrize("url", ["kafka://127.0.0.1:1", "postgresql://nobody:x@127.0.0.1:1/none"])
async def test_a_log_that_is_away_is_told_as_transient(url: str) -> None:
    log = open_log(url)
    with pytest.raises(LogUnavailableError):
        await log.producer()
    with pytest.raises(LogUnavailableError):
        await log.partitions("keyfold.test.events")
    with pytest.raises(LogUnavailableError):
        await log.consumer()
    await log.close()


@pytest.mark.parametrize("url", ["", "sqlite://x", "kafka://", "kafka://user:secret@host:1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="kafka://"):
        open_log(url)


async def test_consumers_that_are_closed_at_once_close(log: Log, topic: str) -> None:
    """Nothing of theirs may look like a cancellation of the caller."""
    await send(log, record(topic, 0, "a"))
    for _ in range(30):
        consumer = await log.consumer()
        await consumer.assign({(topic, 0): 0})
        await consumer.close()

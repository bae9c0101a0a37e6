"""The Log port: topics of partitions of records, kept for ever. Two drivers (Kafka, PostgreSQL), one conformance suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

PARTITIONS = 12  # frozen: another number would send a stream's later events to another partition than its earlier ones


@dataclass(frozen=True, slots=True)
class NewRecord:
    topic: str
    partition: int
    key: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LogRecord:
    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: Mapping[str, str]


class LogProducer(Protocol):
    async def send(self, records: Sequence[NewRecord]) -> None:
        """Returns when **all** records are durably acknowledged, in order per partition.

        Raises otherwise; then some may be in, and the producer is to be closed and replaced.
        """
        ...

    async def close(self) -> None: ...


class LogConsumer(Protocol):
    async def assign(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Read these (topic, partition)s from these offsets on; replaces the former assignment."""
        ...

    async def seek(self, topic: str, partition: int, offset: int) -> None: ...

    async def fetch(self, max_records: int, timeout: float) -> list[LogRecord]:
        """The next records, in offset order per partition; empty after `timeout` seconds without any.

        Raises OffsetOutOfRangeError when it stands beyond what the log holds.
        """
        ...

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Tell lag tools how far a group has read. Never read back by Keyfold itself."""
        ...

    async def close(self) -> None: ...


class Log(Protocol):
    async def create_topic(self, topic: str, partitions: int = PARTITIONS) -> None:
        """Create it if it is missing. Raises TopicMismatchError when it exists with another number of partitions."""
        ...

    async def partitions(self, topic: str) -> int:
        """Number of partitions; raises UnknownTopicError."""
        ...

    async def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Per partition: first offset still held, and the offset the next record will get."""
        ...

    async def last_record(self, topic: str, partition: int) -> LogRecord | None: ...

    async def producer(self) -> LogProducer: ...

    async def consumer(self) -> LogConsumer: ...

    async def close(self) -> None: ...


class LogUnavailableError(Exception):
    """The log cannot be reached now. Transient."""


class OffsetOutOfRangeError(LookupError):
    """A consumer stands at an offset that the log does not hold: records are gone, or it is another log. Never skipped."""


class UnknownTopicError(LookupError):
    """The topic does not exist; `keyfold migrate` creates it."""


class TopicMismatchError(Exception):
    """The topic exists with another number of partitions than the frozen one."""


def check_partition(topic: str, partition: int, count: int) -> None:
    """Raises ValueError for a partition that a topic of `count` partitions does not have."""
    if not 0 <= partition < count:
        raise ValueError(f"topic {topic} has no partition {partition}, only 0 to {count - 1}")

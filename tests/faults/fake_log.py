"""A log in memory for deterministic runs, with a seed: it tears batches apart, acknowledges late or never, repeats, holds back,
reorders across partitions, and lets records go missing on the way until they are sent again.

It keeps what a log promises, order within a partition, and nothing else. What it holds (`records`) is the truth; what a consumer
is given is up to the dice.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.log.port import (
    PARTITIONS,
    Log,
    LogConsumer,
    LogProducer,
    LogRecord,
    LogUnavailableError,
    NewRecord,
    OffsetOutOfRangeError,
)

Where = tuple[str, int]


@dataclass
class FakeLog(Log):
    """Chances are between 0 and 1. `fail`: a send breaks in the middle; `unheard`: everything is in, and the answer is lost.
    `repeat`: an older stretch of the partition comes once more. `delay`: a partition gives nothing this time. `away`: a fetch
    fails. `told`: how often each has happened. `overlapping`: sends that began before another had its answer.
    """

    seed: int
    fail: float = 0.0
    unheard: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    away: float = 0.0
    records: dict[Where, list[LogRecord]] = field(default_factory=dict)
    told: dict[str, int] = field(
        default_factory=lambda: {"torn": 0, "unheard": 0, "repeated": 0, "delayed": 0, "away": 0}
    )

    sending: int = 0
    overlapping: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def chance(self, of: float, what: str) -> bool:
        happens = self.dice.random() < of
        self.told[what] += happens
        return happens

    async def create_topic(self, topic: str, partitions: int = PARTITIONS) -> None:
        for partition in range(partitions):
            self.records.setdefault((topic, partition), [])

    async def partitions(self, topic: str) -> int:
        return sum(name == topic for name, _ in self.records)

    async def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        return {partition: (0, len(held)) for (name, partition), held in self.records.items() if name == topic}

    async def last_record(self, topic: str, partition: int) -> LogRecord | None:
        held = self.records[topic, partition]
        return held[-1] if held else None

    async def producer(self) -> LogProducer:
        return FakeProducer(self)

    async def consumer(self) -> LogConsumer:
        return FakeConsumer(self)

    async def close(self) -> None:
        """Nothing is open."""

    def append(self, record: NewRecord) -> None:
        held = self.records[record.topic, record.partition]
        held.append(LogRecord(record.topic, record.partition, len(held), record.key, record.value, record.headers))

    def repeat_some(self, where: Where) -> None:
        """What a second sender of the same records leaves: an older stretch once more."""
        held = self.records[where]
        if held:
            first = self.dice.randrange(len(held))
            for record in held[first : self.dice.randrange(first, len(held)) + 1]:
                self.append(NewRecord(record.topic, record.partition, record.key, record.value, record.headers))

    def lose_one(self, where: Where) -> LogRecord:
        """Take a record out of a partition of several, with all its duplicates, but not the last: a partition that is short at
        its end is what the relay looks for. The record.
        """
        held = self.records[where]
        last = held[-1].headers["ce_id"]
        lost = self.dice.choice([record for record in held if record.headers["ce_id"] != last])
        rest = [record for record in held if record.headers["ce_id"] != lost.headers["ce_id"]]
        self.records[where] = [replace(record, offset=offset) for offset, record in enumerate(rest)]
        return lost


class FakeProducer:
    def __init__(self, log: FakeLog) -> None:
        self._log = log

    async def send(self, records: Sequence[NewRecord]) -> None:
        """Partitions are independent of each other: a torn batch is torn in each at another place."""
        log = self._log
        log.overlapping += log.sending > 0
        log.sending += 1
        try:
            await self._send(log, records)
        finally:
            log.sending -= 1

    async def _send(self, log: FakeLog, records: Sequence[NewRecord]) -> None:
        torn = log.chance(log.fail, "torn")
        by_partition: dict[Where, list[NewRecord]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        order = list(by_partition)
        log.dice.shuffle(order)
        for where in order:
            batch = by_partition[where]
            for record in batch[: log.dice.randrange(len(batch) + 1)] if torn else batch:
                log.append(record)
            if log.chance(log.repeat, "repeated"):
                log.repeat_some(where)
        for _ in range(log.dice.randrange(20)):
            await asyncio.sleep(0)
        if torn or log.chance(log.unheard, "unheard"):
            raise LogUnavailableError("the dice say so")

    async def close(self) -> None:
        """Nothing is open."""


class FakeConsumer:
    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self._at: dict[Where, int] = {}

    async def assign(self, offsets: Mapping[Where, int]) -> None:
        self._at = dict(offsets)

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        self._at[topic, partition] = offset

    async def fetch(self, max_records: int, timeout: float) -> list[LogRecord]:
        """Some records of some partitions, woven into each other."""
        log = self._log
        await asyncio.sleep(0)
        if log.chance(log.away, "away"):
            raise LogUnavailableError("the dice say so")
        ready: list[list[LogRecord]] = []
        for where, offset in self._at.items():
            held = log.records[where]
            if offset > len(held):
                raise OffsetOutOfRangeError(f"{where} holds 0 to {len(held)}, not {offset}")
            if held[offset:]:
                ready.append(held[offset : offset + log.dice.randrange(1, 20)])
        # Where something is there, something is given: an empty answer before the time is over would be a lie.
        queues = [queue for queue in ready if not log.chance(log.delay, "delayed")] or ready[:1]
        found: list[LogRecord] = []
        while queues and len(found) < max_records:
            queue = log.dice.choice(queues)
            record = queue.pop(0)
            found.append(record)
            self._at[record.topic, record.partition] = record.offset + 1
            queues = [each for each in queues if each]
        if not found:
            await asyncio.sleep(min(timeout, 0.001))
        return found

    async def commit(self, group: str, offsets: Mapping[Where, int]) -> None:
        """Nobody looks."""

    async def close(self) -> None:
        """Nothing is open."""


class FallingSilent(FakeLog):
    """It is away as soon as somebody reads it: a client that tries again by itself tells that as an empty answer."""

    silent = False

    async def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        if self.silent:
            raise LogUnavailableError("the log is silent")
        return await super().bounds(topic)

    async def consumer(self) -> LogConsumer:
        self.silent = True
        return FakeConsumer(FakeLog(self.seed, records={where: [] for where in self.records}))


class Hesitant(FakeLog):
    """A slow broker: `empty` fetches of each consumer give nothing after their time is over, from the second on."""

    empty = 2

    async def consumer(self) -> LogConsumer:
        return HesitantConsumer(self, self.empty)


class HesitantConsumer(FakeConsumer):
    def __init__(self, log: FakeLog, empty: int) -> None:
        super().__init__(log)
        self._empty = empty
        self._fetches = 0

    async def fetch(self, max_records: int, timeout: float) -> list[LogRecord]:
        self._fetches += 1
        if 2 <= self._fetches < 2 + self._empty:
            await asyncio.sleep(0)
            return []
        return await super().fetch(max_records, timeout)

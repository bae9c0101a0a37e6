"""Holds what the promises say against what is there: store and read models by plain SQL, the log by a plain client.

It knows the tables and topics that are published in docs, and the invented events; of the code that fills them it knows nothing.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer

from tests.faults.chaos import PATIENCE
from tests.faults.load import KEYED, Journal

MARK = 1_000_003
Rows = Mapping[str, tuple[int, ...]]


class ViolationError(AssertionError):
    """A promise was broken; the message says which and by what."""

    def __init__(self, promise: str, found: str) -> None:
        super().__init__(f"{promise}: {found}")


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as the store has it."""

    position: int
    event_id: str
    stream: str
    version: int
    type_name: str
    type_version: int
    data: Mapping[str, Any]
    recorded_at: datetime

    @property
    def line(self) -> str:
        return self.stream.split("-", 1)[1]

    @property
    def n(self) -> int:
        """What it counts; one of the first version of `graded` in whole, which are a hundred each."""
        if self.type_name == "tally.counted":
            return int(self.data["n"])
        return int(self.data["hundredths"]) if self.type_version == 2 else int(self.data["whole"]) * 100


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the log, with the part of it that is promised to readers."""

    partition: int
    event_id: str
    stream: str
    version: int
    position: int
    previous: int
    data: Mapping[str, Any]


# --- the store

FACTS = """
SELECT position, event_id::text AS event_id, stream_id, version, type_name, type_version, data::text AS data, recorded_at
FROM store.event WHERE position > $1 ORDER BY position LIMIT $2
"""


async def read_history(dsn: str) -> list[Fact]:
    connection = await asyncpg.connect(dsn)
    try:
        return [_fact(row) for row in await connection.fetch(FACTS, 0, None)]
    finally:
        await connection.close()


def _fact(row: Any) -> Fact:
    data = json.loads(row["data"])
    return Fact(
        row["position"], row["event_id"], row["stream_id"], row["version"], row["type_name"], row["type_version"], data,
        row["recorded_at"],
    )  # fmt: skip


def check_dense(history: Sequence[Fact]) -> None:
    """Positions 1…N; versions 1…n in each stream, in the order of positions; `recorded_at` never decreases."""
    versions: dict[str, int] = defaultdict(int)
    for place, fact in enumerate(history, 1):
        if fact.position != place:
            raise ViolationError("positions are dense", f"event {place} in order has position {fact.position}")
        if fact.version != versions[fact.stream] + 1:
            raise ViolationError(
                "one winner per version",
                f"{fact.stream}: version {fact.version} at position {fact.position} follows {versions[fact.stream]}",
            )
        versions[fact.stream] = fact.version
        if place > 1 and fact.recorded_at < history[place - 2].recorded_at:
            raise ViolationError("recorded_at never decreases", f"it does at position {fact.position}")


def check_acknowledged(history: Sequence[Fact], journal: Journal) -> None:
    """Whatever was acknowledged is there, where the answer said: each of its lines has the event at the answered version."""
    at = {(fact.line, fact.version): fact for fact in history}
    for key, answers in journal.acknowledged.items():
        asked = journal.asked[key]
        for answer in answers:
            found = [at.get(place) for place in answer.versions.items()]
            for (line, version), fact in zip(answer.versions.items(), found, strict=True):
                if fact is None or fact.data["key"] != key or fact.n != asked.n:
                    raise ViolationError(
                        "acknowledged is durable",
                        f"{key} was answered with version {version} of {line}; there is {fact}",
                    )
            if {fact.position for fact in found if fact} != set(range(answer.first, answer.last + 1)):
                raise ViolationError("acknowledged is durable", f"{key}: positions are not those of {answer}")


def check_one_effect(history: Sequence[Fact], journal: Journal) -> None:
    """A key has one effect, whole: all its lines or none, each once; and one answer, which is what was so at that moment."""
    effects: dict[str, list[str]] = defaultdict(list)
    totals: dict[str, int] = defaultdict(int)
    after: dict[tuple[str, str], int] = {}
    for fact in history:
        totals[fact.line] += fact.n
        effects[fact.data["key"]].append(fact.line)
        after[fact.data["key"], fact.line] = totals[fact.line]
    for key, lines in effects.items():
        if key not in journal.asked:
            raise ViolationError("nothing comes from nowhere", f"nobody asked for {key}")
        if sorted(lines) != sorted(journal.asked[key].lines):
            raise ViolationError(
                "one effect per key, whole", f"{key} asked for {journal.asked[key].lines} and had effects in {lines}"
            )
    for key, answers in journal.acknowledged.items():
        told = [answer.answer for answer in answers]
        if any(answer != told[0] for answer in told):
            raise ViolationError("the same answer, for ever", f"{key} was answered {told}")
        if told[0] is not None:
            right = {"key": key, "totals": {line: after.get((key, line)) for line in journal.asked[key].lines}}
            if told[0] != right:
                raise ViolationError("an answer is true", f"{key} was answered {told[0]}, true was {right}")


def check_finished(history: Sequence[Fact], journal: Journal) -> None:
    """After everything was asked once more, every keyed command has been carried out."""
    done = {fact.data["key"] for fact in history}
    missing = [key for key, asked in journal.asked.items() if asked.kind in KEYED and key not in done]
    if missing:
        raise ViolationError("acknowledged is durable", f"asked again and answered, yet not there: {missing[:10]}")


class CursorReader:
    """Reads the store as anybody may: what comes after the last position it has seen."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def reading(self, dsn: str) -> AsyncIterator[None]:
        """At the end it has read on until nothing was left."""
        task = asyncio.create_task(self._read(dsn))
        try:
            yield
        finally:
            self._stop.set()
            async with asyncio.timeout(PATIENCE):
                await task

    async def _read(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            while True:
                last_look = self._stop.is_set()
                after = self.seen[-1][0] if self.seen else 0
                rows = await connection.fetch(FACTS, after, 100)
                self.seen += [(row["position"], row["event_id"]) for row in rows]
                if last_look and not rows:
                    return
        finally:
            await connection.close()

    def check(self, history: Sequence[Fact]) -> None:
        """It saw each event once, in order, and none that is not there."""
        if self.seen != (there := [(fact.position, fact.event_id) for fact in history]):
            missed = sorted(set(there) - set(self.seen))[:5]
            raise ViolationError(
                "a cursor reader misses nothing", f"it saw {len(self.seen)} of {len(there)} events; missed {missed}"
            )


# --- the log


async def read_log(log: str, topic: str) -> list[Record]:
    """Everything that a reader is given, each partition in its order."""
    return await (_read_kafka(log, topic) if log.startswith("kafka://") else _read_postgres(log, topic))


async def _read_postgres(log: str, topic: str) -> list[Record]:
    connection = await asyncpg.connect(log)
    try:
        rows = await connection.fetch(
            "SELECT r.partition, r.headers::text AS headers, r.value FROM log.record r JOIN log.topic t ON t.id = r.topic "
            "WHERE t.name = $1 ORDER BY r.partition, r.record_offset",
            topic,
        )
        return [_record(row["partition"], json.loads(row["headers"]), row["value"]) for row in rows]
    finally:
        await connection.close()


async def _read_kafka(log: str, topic: str) -> list[Record]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=log.removeprefix("kafka://"), auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found: dict[int, list[Record]] = {each.partition: [] for each in partitions}
        async with asyncio.timeout(PATIENCE):
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for each, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        found[each.partition].append(_record(each.partition, headers, record.value or b"null"))
        return [record for records in found.values() for record in records]
    finally:
        await consumer.stop()


def _record(partition: int, headers: Mapping[str, str], value: bytes) -> Record:
    return Record(
        partition,
        headers["ce_id"],
        headers["ce_subject"],
        int(headers["ce_keyfoldversion"]),
        int(headers["ce_keyfoldposition"]),
        int(headers["ce_keyfoldprevious"]),
        json.loads(value),
    )


@dataclass
class _Reader:
    """Takes a partition as the contract tells readers to: what it has had, it drops; nothing may be missing before it."""

    last: int = 0
    had: dict[int, Record] = field(default_factory=dict)

    def take(self, record: Record) -> bool:
        where = f"partition {record.partition}, position {record.position}"
        if record.position <= self.last:
            if self.had.get(record.position) != record:
                raise ViolationError(
                    "duplicates are recognisable", f"{where}: {self.had.get(record.position)} and {record}"
                )
            return False
        if record.previous != self.last:
            raise ViolationError(
                "published without a gap, in order", f"{where} follows {record.previous}, had was {self.last}"
            )
        self.last = record.position
        self.had[record.position] = record
        return True


def check_published(history: Sequence[Fact], records: Sequence[Record]) -> int:
    """A reader gets every event of the store, each partition in order, a stream in one partition. How many duplicates it met."""
    readers: dict[int, _Reader] = defaultdict(_Reader)
    homes: dict[str, int] = {}
    taken: dict[int, Record] = {}
    for record in records:
        if homes.setdefault(record.stream, record.partition) != record.partition:
            raise ViolationError("a stream stays in its partition", f"{record.stream} is in {record.partition}, too")
        if readers[record.partition].take(record):
            taken[record.position] = record
    for fact in history:
        got = taken.pop(fact.position, None)
        if got is None:
            raise ViolationError("all is published", f"{fact} is not in the log")
        if (got.event_id, got.stream, got.version, got.data) != (fact.event_id, fact.stream, fact.version, fact.data):
            raise ViolationError("the log tells what the store has", f"{fact} was published as {got}")
    if taken:
        raise ViolationError("nothing is published that is not recorded", f"{next(iter(taken.values()))}")
    return len(records) - len(history)


# --- the read models


def fold_lines(history: Sequence[Fact]) -> Rows:
    rows: dict[str, tuple[int, int, int]] = {}
    for fact in history:
        events, total, mark = rows.get(fact.line, (0, 0, 0))
        rows[fact.line] = (events + 1, total + fact.n, (mark * 31 + fact.n) % MARK)
    return rows


def fold_callers(history: Sequence[Fact]) -> Rows:
    rows: dict[str, tuple[int, int]] = {}
    for fact in history:
        events, total = rows.get(fact.data["caller"], (0, 0))
        rows[fact.data["caller"]] = (events + 1, total + fact.n)
    return rows


async def generations(dsn: str, projection: str) -> dict[str, int]:
    """State → number of the generation."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch(
            "SELECT state, generation FROM projection.generation WHERE projection = $1", projection
        )
        return {row["state"]: row["generation"] for row in found}
    finally:
        await connection.close()


async def read_rows(dsn: str, projection: str, table: str, generation: int | None = None) -> Rows:
    """Those of the live generation, if none is named."""
    number = generation or (await generations(dsn, projection))["live"]
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch(f'SELECT * FROM "{projection}_g{number}"."{table}"')
        return {str(row[0]): tuple(row)[1:] for row in found}
    finally:
        await connection.close()


def check_rows(promise: str, found: Rows, right: Rows) -> None:
    if found != right:
        wrong = [f"{key}: is {found.get(key)}, must be {right.get(key)}" for key in right.keys() | found.keys()
                 if found.get(key) != right.get(key)]  # fmt: skip
        raise ViolationError(promise, f"{len(wrong)} rows differ, such as {sorted(wrong)[:3]}")


async def check_read_models(dsn: str, history: Sequence[Fact], promise: str = "applied exactly once") -> None:
    check_rows(promise, await read_rows(dsn, "tally_lines", "line"), fold_lines(history))
    check_rows(promise, await read_rows(dsn, "tally_callers", "caller"), fold_callers(history))

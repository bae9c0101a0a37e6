"""A log that has a history in it already, filled as the relay fills it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import facts
from shared.contracts.event import Envelope, encode
from shared.contracts.opportunity import CONTRACT
from shared.kit.ids import new_id
from shared.log.open import open_log
from shared.log.port import Log, LogRecord, NewRecord
from shared.projections.tokens import format_token
from shared.relay.cursor import Cursor
from shared.relay.relay import BATCH, chained


@dataclass(frozen=True, slots=True)
class Logged:
    """`token`: what a read model has applied that has seen everything."""

    log: Log
    events: int
    token: str


def envelopes(count: int) -> list[Envelope]:
    """AmountRaised events of streams that take turns, as those of many users do."""
    now, streams = datetime.now(UTC), [facts.stream() for _ in range(-(-count // facts.LENGTH))]
    made: list[Envelope] = []
    for number in range(count):
        version, which = divmod(number, len(streams))
        event = facts.amount_raised(number)
        made.append(Envelope(
            number + 1, new_id(), streams[which], version + 1, event.type_name, event.type_version, encode(event), now, now,
            facts.ACTOR, new_id(), None,
        ))  # fmt: skip
    return made


def records(count: int) -> tuple[list[NewRecord], Cursor]:
    """What the relay makes of them."""
    return chained(CONTRACT, Cursor(), envelopes(count))


@asynccontextmanager
async def open_logged(url: str, count: int) -> AsyncIterator[Logged]:
    log = open_log(url)
    try:
        await log.create_topic(CONTRACT.topic)
        made, cursor = records(count)
        producer = await log.producer()
        for start in range(0, count, BATCH):
            await producer.send(made[start : start + BATCH])
        await producer.close()
        reached = {("opportunity", partition): at for partition, at in cursor.partitions.items()}
        yield Logged(log, count, format_token(reached))
    finally:
        await log.close()


async def read_all(logged: Logged, batch: int) -> list[list[LogRecord]]:
    """Every record, in batches as a worker fetches them."""
    bounds = await logged.log.bounds(CONTRACT.topic)
    consumer = await logged.log.consumer()
    batches: list[list[LogRecord]] = []
    try:
        await consumer.assign({(CONTRACT.topic, partition): low for partition, (low, _) in bounds.items()})
        while sum(map(len, batches)) < logged.events:
            batches.append(await consumer.fetch(batch, 5.0))
    finally:
        await consumer.close()
    return batches

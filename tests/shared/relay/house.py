"""A bank with its store, its topic and its relays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.contracts.event import Envelope
from shared.eventstore.store import EventStore
from shared.log.cloudevents import decode_record
from shared.log.port import Log, LogRecord, NewRecord
from shared.projections.bell import Bell
from shared.relay.lag import relay_lag
from shared.relay.partition import partition_of
from shared.relay.relay import Relay
from shared.service.backend import open_engine
from tests.shared.eventstore.bank import BANK, request

PATIENCE = 30.0


@dataclass
class House:
    dsn: str
    store: EventStore
    log: Log

    async def behind(self) -> int:
        """Events that are not published yet."""
        engine = open_engine(self.dsn, 1)
        try:
            return (await relay_lag(engine, BANK.topic)).events
        finally:
            await engine.dispose()

    def relay(self, **more: Any) -> Relay:
        return Relay(self.dsn, self.store, self.log, BANK, standby_seconds=0.05, first_pause=0.02, **more)

    async def append(self, n: int, *, account: str = "") -> None:
        """`n` events, each of a stream of its own unless the account is named."""
        for _ in range(n):
            stream = f"account-{account or await self.store.head()}"
            await self.store.append(request({stream: await self.store.version(stream)}))

    @asynccontextmanager
    async def running(self, relay: Relay) -> AsyncIterator[Relay]:
        """Until the end of the block; what the relay raises is raised there."""
        stop = asyncio.Event()
        task = asyncio.create_task(relay.run(stop))
        try:
            yield relay
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE):
                await task

    async def published(self, relay: Relay) -> None:
        """Until the relay has published all that the store has."""
        await until(lambda: self._all_out(relay))

    async def _all_out(self, relay: Relay) -> bool:
        return relay.status().position == await self.store.head()

    async def publish_all(self) -> None:
        relay = self.relay()
        async with self.running(relay):
            await self.published(relay)

    async def partition(self, number: int) -> list[LogRecord]:
        first, after = (await self.log.bounds(BANK.topic))[number]
        consumer = await self.log.consumer()
        found: list[LogRecord] = []
        try:
            await consumer.assign({(BANK.topic, number): first})
            while len(found) < after - first:
                found += await consumer.fetch(5_000, PATIENCE)
        finally:
            await consumer.close()
        return found

    async def chains(self) -> dict[int, list[tuple[Envelope, int]]]:
        """What a reader takes of each partition: duplicates are dropped, the chain has no gap, streams are at home."""
        taken: dict[int, list[tuple[Envelope, int]]] = {}
        for number in range(12):
            at = 0
            for record in await self.partition(number):
                envelope, previous = decode_record(record)
                assert partition_of(envelope.stream_id) == number
                if envelope.position <= at:
                    continue
                assert previous == at, f"partition {number}: {envelope.position} follows {previous}, not {at}"
                at = envelope.position
                taken.setdefault(number, []).append((envelope, previous))
        return taken

    async def check_complete(self) -> None:
        """A reader of the log gets exactly the store's events."""
        chains = await self.chains()
        got = sorted((envelope for chain in chains.values() for envelope, _ in chain), key=lambda each: each.position)
        assert [_essence(each) for each in got] == [_essence(each) for each in await self.store.envelopes(0, 100_000)]

    async def send(self, *records: NewRecord) -> None:
        producer = await self.log.producer()
        await producer.send(records)
        await producer.close()

    async def execute(self, statement: str, *values: object) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def restore(self, position: int, *, cursor: bool = True) -> None:
        """What a restore to an older moment leaves: neither the later events nor the commands nor the cursor's moves."""
        await self.execute("DELETE FROM store.event WHERE position > $1", position)
        await self.execute("DELETE FROM store.command WHERE first_position > $1", position)
        await self.execute("UPDATE store.head SET position = $1", position)
        if cursor:
            await self.execute(
                "UPDATE store.relay SET position = least(position, $1), partitions = "
                "(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(partitions) "
                "WHERE value::text::bigint <= $1)",
                position,
            )


def _essence(envelope: Envelope) -> tuple[object, ...]:
    return (
        envelope.position, envelope.event_id, envelope.stream_id, envelope.version, envelope.type_name,
        envelope.type_version, envelope.data, envelope.occurred_at, envelope.recorded_at, envelope.actor,
        envelope.correlation_id, envelope.causation_id,
    )  # fmt: skip


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    pulse = Bell()
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await pulse.wait(0.02)

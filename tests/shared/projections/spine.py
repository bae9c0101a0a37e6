"""A log, a database and workers, as a service has them, for the tests of projections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.event import Recorded
from shared.log.port import Log, LogRecord, NewRecord
from shared.projections import tables
from shared.projections.bell import Bell
from shared.projections.definition import Projection, Row
from shared.projections.follower import Sink
from shared.projections.reads import ReadModels
from shared.projections.runner import Runner
from shared.projections.tokens import format_token
from shared.relay.cursor import Cursor
from shared.relay.partition import partition_of
from shared.relay.relay import chained
from shared.testing.projections import envelope_of
from tests.shared.projections.visits import VISITS

PATIENCE = 20.0


@dataclass
class Spine:
    """`published` counts as the relay's cursor does; `token` names what has been published so far."""

    engine: AsyncEngine
    log: Log
    bell: Bell = field(default_factory=Bell)
    published: Cursor = field(default_factory=Cursor)

    @property
    def reads(self) -> ReadModels:
        return ReadModels(self.engine, self.bell)

    @property
    def token(self) -> str:
        return format_token({("visits", part): at for part, at in self.published.partitions.items()})

    def encoded(self, records: Sequence[Recorded[Any]]) -> list[NewRecord]:
        """The records that come next on the log, each naming the one before it in its partition."""
        made, self.published = chained(VISITS, self.published, [envelope_of(record) for record in records])
        return made

    async def publish(self, records: Sequence[Recorded[Any]], *, lose: Collection[int] = ()) -> str:
        """Those at the positions of `lose` never arrive. The token of all."""
        await self.send([each for each in self.encoded(records) if int(each.headers["ce_keyfoldposition"]) not in lose])
        return self.token

    async def send(self, records: Sequence[NewRecord]) -> None:
        producer = await self.log.producer()
        await producer.send(records)
        await producer.close()

    @asynccontextmanager
    async def running(
        self, *projections: Projection, worker: str = "worker-1", acting: Sequence[Sink] = ()
    ) -> AsyncIterator[asyncio.Event]:
        """A worker at work; it is stopped, and has left, at the end. Setting the event stops it earlier."""
        stop = asyncio.Event()
        runner = Runner(self.engine, self.log, projections, worker, self.bell, acting)
        task = asyncio.create_task(runner.run(stop))
        try:
            await self.until(lambda: self._at_work(task, worker, projections))
            yield stop
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE):
                await task

    async def _at_work(self, task: asyncio.Task[None], worker: str, projections: Sequence[Projection]) -> bool:
        if task.done():
            task.result()
        names = {row["projection"] for row in await self.rows_in(tables.checkpoint)}
        workers = {row["worker_id"] for row in await self.rows_in(tables.worker)}
        return worker in workers and names >= {projection.name for projection in projections}

    async def seen(self, *projections: Projection) -> None:
        """Until the read models show all that was published."""
        await self.reads.wait_for(self.token, projections, PATIENCE)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await holds():
                await self.bell.wait(0.05)

    async def rows(self, projection: Projection, table: Table) -> list[Row]:
        """Of the live generation, in order of primary key."""
        async with self.reads.connect(projection) as connection:
            found = await connection.execute(select(table).order_by(*table.primary_key.columns))
            return [dict(row) for row in found.mappings()]

    async def rows_in(self, table: Table) -> list[Row]:
        """Of one of the runner's own tables."""
        async with self.engine.connect() as connection:
            found = await connection.execute(select(table).order_by(*table.primary_key.columns))
            return [dict(row) for row in found.mappings()]

    async def logged(self, partition: int) -> list[LogRecord]:
        """What a partition of the log holds."""
        first, after = (await self.log.bounds(VISITS.topic))[partition]
        consumer = await self.log.consumer()
        found: list[LogRecord] = []
        try:
            await consumer.assign({(VISITS.topic, partition): first})
            while len(found) < after - first:
                found += await consumer.fetch(1_000, PATIENCE)
        finally:
            await consumer.close()
        return found


def in_one_partition(n: int, *, of: str = "a") -> list[str]:
    """Names of `n` visits whose streams share the partition of the first, `of`."""
    wanted = partition_of(f"visit-{of}")
    names = [of]
    number = 0
    while len(names) < n:
        number += 1
        if partition_of(f"visit-{of}{number}") == wanted:
            names.append(f"{of}{number}")
    return names


def partition(name: str) -> int:
    return partition_of(f"visit-{name}")

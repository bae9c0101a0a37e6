"""The scene of a fault: a database, a log, the invented service on them, and everything that runs there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.log.open import open_log
from shared.log.port import Log
from shared.projections.definition import Projection
from shared.projections.generations import ensure_live
from shared.projections.reads import NotYetVisibleError, ReadModels
from shared.projections.tables import migrate_projections
from shared.projections.tokens import format_token
from shared.relay.cursor import cursor_at
from shared.service.backend import open_engine
from tests.faults.chaos import PATIENCE, Chaos
from tests.faults.checker import Fact, check_acknowledged, check_dense, check_one_effect, read_history
from tests.faults.load import Journal, Load
from tests.faults.processes import Processes, Program
from tests.faults.programs.rebuilding import RebuildOptions
from tests.faults.programs.worker import WorkerOptions
from tests.faults.tally import PROJECTIONS, TALLY, tally_lines


@dataclass
class Scene:
    """`log_url` names the log; `dsn` the database of store and read models."""

    dsn: str
    log_url: str
    topic: str
    chaos: Chaos
    processes: Processes
    load: Load
    workers: int = 0

    async def set_up(self) -> None:
        await migrate_store(self.dsn)
        async with self.engine() as engine, self.log() as log:
            await migrate_projections(engine)
            await log.create_topic(self.topic)
            for projection in PROJECTIONS:
                await ensure_live(engine, projection)

    async def worker(self, **options: Any) -> Program:
        """One that is at work."""
        self.workers += 1
        name = f"worker{self.workers}"
        made = WorkerOptions(dsn=self.dsn, log=self.log_url, topic=self.topic, name=name, **options)
        started = await self.processes.start("worker", name, made)
        await started.tells("working")
        return started

    async def rebuilding(self, projection: Projection = tally_lines) -> Program:
        options = RebuildOptions(dsn=self.dsn, log=self.log_url, topic=self.topic, projection=projection.name)
        return await self.processes.start("rebuilding", f"rebuild-{projection.name}", options)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[AsyncEngine]:
        engine = open_engine(self.dsn, 3)
        try:
            yield engine
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        log = open_log(self.log_url)
        try:
            yield log
        finally:
            await log.close()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[EventStore]:
        store = await EventStore.open(self.dsn, TALLY, max_size=2)
        try:
            yield store
        finally:
            await store.close()

    async def token(self) -> str:
        """That of the last event of every partition."""
        async with self.store() as store:
            cursor = await cursor_at(store, await store.head())
        return format_token({(TALLY.service, partition): at for partition, at in cursor.partitions.items()})

    async def shown(self, projections: Sequence[Projection] = PROJECTIONS) -> None:
        """Until the read models show everything that is recorded now."""
        token = await self.token()
        async with self.engine() as engine, asyncio.timeout(PATIENCE):
            reads = ReadModels(engine)
            while True:
                try:
                    return await reads.wait_for(token, projections, 5.0)
                except NotYetVisibleError:
                    self.processes.check()
                    await self.processes.bell.wait(0.1)  # no worker yet, as after a kill

    async def published(self) -> None:
        """Until the relay has passed everything that is recorded now."""
        async with self.store() as store:
            head = await store.head()
        await self.until(f"SELECT position >= {head} FROM store.relay")

    async def until(self, condition: str) -> None:
        """Until a query of the database says true."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await connection.fetchval(condition):
                    self.processes.check()
                    await self.processes.bell.wait(0.05)
        finally:
            await connection.close()

    async def execute(self, statement: str, *values: object) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def checked_history(self, journal: Journal) -> list[Fact]:
        """The store's history, after it has been held against the promises of the store."""
        history = await read_history(self.dsn)
        self.chaos.checked += len(history)
        check_dense(history)
        check_acknowledged(history, journal)
        check_one_effect(history, journal)
        return history


def lines(n: int) -> list[str]:
    return [f"line{number}" for number in range(n)]


@asynccontextmanager
async def open_scene(dsn: str, log_url: str, chaos: Chaos, processes: Processes) -> AsyncIterator[Scene]:
    topic = f"keyfold.tally-{uuid4().hex}.events"
    before, TALLY.topic = TALLY.topic, topic
    try:
        made = Scene(dsn, log_url, topic, chaos, processes, Load(processes, dsn, topic, chaos))
        await made.set_up()
        yield made
    finally:
        await processes.clear_away()
        TALLY.topic = before

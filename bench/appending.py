"""Callers that append as fast as they are answered, and COPY beside them: parts of several measures."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bench import facts
from bench.servers import Servers
from shared.contracts.event import Contract
from shared.contracts.opportunity import CONTRACT
from shared.eventstore.bulk import COMMAND_COLUMNS, EVENT_COLUMNS
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.eventstore.types import AppendRequest

CALLERS = 64
EACH = 400  # appends of a caller in a round
COMMIT = 100  # rows of COPY in a transaction
Call = Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_store(dsn: str, contract: Contract = CONTRACT) -> AsyncIterator[EventStore]:
    """A migrated store, as an API has it."""
    await migrate_store(dsn)
    store = await EventStore.open(dsn, contract, max_size=4)
    try:
        yield store
    finally:
        await store.close()


async def fresh_store(servers: Servers, label: str) -> str:
    dsn = await servers.database(label)
    await migrate_store(dsn)
    return dsn


async def load(callers: int, seconds: float, caller: Callable[[], Call]) -> tuple[float, list[float]]:
    """Calls a second of so many callers, and how long each call took. Each caller has a function of its own."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    until = loop.time() + seconds

    async def call() -> None:
        one = caller()
        while (began := loop.time()) < until:
            await one()
            taken.append(loop.time() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return len(taken) / (time.perf_counter() - began), taken


async def append(store: EventStore, callers: int, each: int) -> tuple[float, list[float]]:
    """Appends a second of so many callers, and how long each took: one event with the record of its command, to a stream of the
    caller's own. The events are made before the clock runs, as they are for all who are compared."""
    loop, taken = asyncio.get_running_loop(), list[float]()
    made = [facts.requests(each) for _ in range(callers)]

    async def call(requests: list[AppendRequest]) -> None:
        for request in requests:
            began = loop.time()
            await store.append(request)
            taken.append(loop.time() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for requests in made:
            group.create_task(call(requests))
    return callers * each / (time.perf_counter() - began), taken


class Copy:
    """The rows that appends would leave behind, by COPY into the same tables. They are made before the clock runs."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator["Copy"]:
        connection = await asyncpg.connect(dsn)
        try:
            yield cls(connection)
        finally:
            await connection.close()

    async def rate(self, rows: int, commit: int = COMMIT, per_command: int = 1) -> float:
        """Events a second, `commit` of them in a transaction, `per_command` of them to a command."""
        first = await self._connection.fetchval("SELECT coalesce(max(position), 0) + 1 FROM store.event")
        batches = list(_batches(first, rows, commit, per_command))
        began = time.perf_counter()
        for events, commands in batches:
            async with self._connection.transaction():
                await self._copy("event", EVENT_COLUMNS, events)
                await self._copy("command", COMMAND_COLUMNS, commands)
        seconds = time.perf_counter() - began
        await self._connection.execute("UPDATE store.head SET position = $1", first + rows - 1)
        return rows / seconds

    async def _copy(self, table: str, columns: tuple[str, ...], records: list[tuple[Any, ...]]) -> None:
        await self._connection.copy_records_to_table(table, schema_name="store", columns=columns, records=records)


def _batches(first: int, rows: int, commit: int, per_command: int) -> Iterator[facts.Rows]:
    events, commands = facts.copy_rows(first, rows)
    for start in range(0, rows, commit):
        yield events[start : start + commit], commands[start : start + commit : per_command]

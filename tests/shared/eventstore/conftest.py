"""A small bank: accounts hold a balance that never falls below zero."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from shared.eventstore.commands import Commands
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.kit.clock import FixedClock
from tests.shared.eventstore.bank import BANK, NOW

OpenStore = Callable[..., Awaitable[EventStore]]


@pytest_asyncio.fixture(loop_scope="session")
async def store_dsn(database: str) -> str:
    await migrate_store(database)
    return database


@pytest_asyncio.fixture(loop_scope="session")
async def open_store(store_dsn: str) -> AsyncIterator[OpenStore]:
    """Open a store on the test's database, as another process would: with a pool of its own."""
    async with AsyncExitStack() as stack:

        async def open_one(*, queue_limit: int = 1_024) -> EventStore:
            opened = await EventStore.open(store_dsn, BANK, queue_limit=queue_limit)
            stack.push_async_callback(opened.close)
            return opened

        yield open_one


@pytest_asyncio.fixture(loop_scope="session")
async def store(open_store: OpenStore) -> EventStore:
    return await open_store()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def commands(store: EventStore, clock: FixedClock) -> Commands:
    return Commands(store, b"secret", clock)

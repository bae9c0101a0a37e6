"""One house for all tests of the API: each test works on accounts and opportunities of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest_asyncio

from services.installation import Server
from tests.services.opportunity.api.house import House, open_house


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(postgres: str) -> AsyncIterator[House]:
    async with _made(postgres) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def wild_house(postgres: str) -> AsyncIterator[House]:
    """For who may also change the rules of the house."""
    async with _made(postgres) as made:
        yield made


@asynccontextmanager
async def _made(postgres: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        addresses = []
        for name in ("account", "opportunity", "log"):
            addresses.append(await Server(postgres).create(f"kf_api_{name}_{uuid4().hex[:12]}"))
            stack.push_async_callback(_drop, postgres, addresses[-1])
        yield await stack.enter_async_context(open_house(*addresses))


async def _drop(server: str, address: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'DROP DATABASE "{urlsplit(address).path[1:]}" WITH (FORCE)')
    finally:
        await connection.close()

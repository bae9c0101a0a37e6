"""One company for all of the matrix: what succeeds is tried dry, what is refused changes nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest_asyncio

from services.installation import Server
from tests.permissions.scene import Scene, open_scene


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scene(postgres: str) -> AsyncIterator[Scene]:
    async with opened_scene(postgres) as opened:
        yield opened


@asynccontextmanager
async def opened_scene(postgres: str) -> AsyncIterator[Scene]:
    """On databases of its own, for who changes it."""
    async with AsyncExitStack() as stack:
        addresses = []
        for name in ("account", "opportunity", "log"):
            addresses.append(await Server(postgres).create(f"kf_may_{name}_{uuid4().hex[:12]}"))
            stack.push_async_callback(_drop, postgres, addresses[-1])
        yield await stack.enter_async_context(open_scene(*addresses))


async def _drop(server: str, address: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'DROP DATABASE "{urlsplit(address).path[1:]}" WITH (FORCE)')
    finally:
        await connection.close()

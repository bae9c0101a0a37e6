"""Read models folded from a ledger, to ask questions of."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from services.opportunity.projections import READ_MODELS
from shared.projections import generations
from shared.testing.projections import fold_all
from tests.services.opportunity.records import Ledger

Ask = Callable[[Ledger], Awaitable[AsyncConnection]]


@asynccontextmanager
async def folded(database: str, ledger: Ledger) -> AsyncIterator[AsyncConnection]:
    translated: dict[str, str | None] = {}
    for projection in READ_MODELS:
        prefixes = {source.service for source in projection.sources}
        due = [one for one in ledger.records if one.event.type_name.split(".")[0] in prefixes]
        await fold_all(database, projection, due)
        translated |= generations.translation(projection, 1)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database), poolclass=NullPool
    )
    async with engine.connect() as connection:
        yield await connection.execution_options(schema_translate_map=translated)
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def ask(database: str) -> AsyncIterator[Ask]:
    """`await ask(ledger)`: a connection to the read models of these facts; once per test."""
    async with AsyncExitStack() as stack:

        async def connected(ledger: Ledger) -> AsyncConnection:
            return await stack.enter_async_context(folded(database, ledger))

        yield connected

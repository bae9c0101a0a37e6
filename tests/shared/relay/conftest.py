"""`house` on the PostgreSQL log; `either_house` on each of the two drivers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.log.open import open_log
from tests.shared.eventstore.bank import BANK
from tests.shared.relay.house import House


@pytest_asyncio.fixture(loop_scope="session")
async def house(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    async with open_house(database, database, monkeypatch) as opened:
        yield opened


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    return str(request.getfixturevalue("database"))


@pytest_asyncio.fixture(loop_scope="session")
async def either_house(database: str, log_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    async with open_house(database, log_url, monkeypatch) as opened:
        yield opened


@asynccontextmanager
async def open_house(dsn: str, log_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    # One broker serves the whole session: each test has a topic of its own.
    monkeypatch.setattr(BANK, "topic", f"keyfold.bank-{uuid4().hex}.events")
    await migrate_store(dsn)
    store = await EventStore.open(dsn, BANK)
    log = open_log(log_url)
    try:
        await log.create_topic(BANK.topic)
        yield House(dsn, store, log)
    finally:
        await log.close()
        await store.close()

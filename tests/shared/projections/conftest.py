"""`spine` on the PostgreSQL log; `either_spine` on each of the two drivers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from shared.log.open import open_log
from shared.projections.tables import migrate_projections
from tests.shared.projections.spine import Spine
from tests.shared.projections.visits import VISITS


@pytest_asyncio.fixture(loop_scope="session")
async def spine(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Spine]:
    async with _spine(database, database, monkeypatch) as made:
        yield made


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    return str(request.getfixturevalue("database"))


@pytest_asyncio.fixture(loop_scope="session")
async def either_spine(database: str, log_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Spine]:
    async with _spine(database, log_url, monkeypatch) as made:
        yield made


@asynccontextmanager
async def _spine(database: str, log_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Spine]:
    # One broker serves the whole session: each test has a topic of its own.
    monkeypatch.setattr(VISITS, "topic", f"keyfold.visits-{uuid4().hex}.events")
    engine = create_async_engine(
        make_url(database).set(drivername="postgresql+asyncpg"),
        pool_size=4,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
    )
    log = open_log(log_url)
    try:
        await migrate_projections(engine)
        await log.create_topic(VISITS.topic)
        yield Spine(engine, log)
    finally:
        await log.close()
        await engine.dispose()

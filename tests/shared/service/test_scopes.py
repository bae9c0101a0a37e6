"""Scopes of logins: remembered for a moment, and asked for once by many who come together."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.reads import ReadModels
from shared.service.backend import open_engine
from shared.service.visibility import Scope, Scopes

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TEAM = Scope(False, frozenset({"anna"}))


class House:
    """Answers when it may; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.failing = False
        self.rung = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, _connection: AsyncConnection, _subject: str, _now: datetime) -> Scope:
        self.asked += 1
        self.rung.release()
        await self.open.wait()
        if self.failing:
            raise ConnectionError("the house is shut")
        return TEAM


@pytest.fixture
async def reads(database: str) -> AsyncIterator[ReadModels]:
    engine = open_engine(database, 4)
    yield ReadModels(engine)
    await engine.dispose()


async def test_many_who_come_together_ask_once(reads: ReadModels) -> None:
    house = House()
    scopes = Scopes(reads, house.find, ())
    found = await asyncio.gather(*(scopes.of("anna", NOW) for _ in range(32)))
    assert set(found) == {TEAM}
    assert house.asked == 1


async def test_whoever_brings_a_token_asks_anew(reads: ReadModels) -> None:
    """What others asked before need not show yet what the token names."""
    house = House()
    scopes = Scopes(reads, house.find, ())
    house.open.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(scopes.of("anna", NOW))
        group.create_task(scopes.of("anna", NOW, "account/3@1"))
        await house.rung.acquire()
        await house.rung.acquire()
        house.open.set()
    assert house.asked == 2


async def test_a_failure_is_told_to_all_and_not_remembered(reads: ReadModels) -> None:
    house = House()
    scopes = Scopes(reads, house.find, ())
    house.failing = True
    found = await asyncio.gather(*(scopes.of("anna", NOW) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ConnectionError] * 3
    house.failing = False
    assert await scopes.of("anna", NOW) == TEAM


async def test_one_who_leaves_takes_the_answer_from_nobody(reads: ReadModels) -> None:
    house = House()
    scopes = Scopes(reads, house.find, ())
    house.open.clear()
    leaving, staying = (asyncio.create_task(scopes.of("anna", NOW)) for _ in range(2))
    await house.rung.acquire()
    leaving.cancel()
    house.open.set()
    assert await staying == TEAM

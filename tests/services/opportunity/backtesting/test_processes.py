"""Back-tests as rows and as processes: who is let in, who is given up, and how a process ends."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.opportunity.backtesting import child, start, table
from services.opportunity.backtesting.child import Order
from services.opportunity.backtesting.run import Ask
from services.opportunity.domain.gates.defaults import DEFAULT_GATES
from shared.eventstore.migrate import migrate_store
from shared.eventstore.types import IdempotencyMismatchError
from shared.kit.calendar import BusinessCalendar
from shared.kit.ids import new_id
from shared.service.backend import open_engine

NOW = datetime(2017, 3, 31, 1, 0, tzinfo=UTC)
ASK = Ask.of(DEFAULT_GATES["win_on_record"].rule, BusinessCalendar())
DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    await migrate_store(database)
    engine = open_engine(database, 3)
    await table.migrate_backtests(engine)
    yield engine
    await engine.dispose()


async def entered(engine: AsyncEngine, **sent: Any) -> UUID:
    run_id = new_id()
    assert await table.enter(engine, run_id, sent, ASK.model_dump(mode="json"), "ann", NOW)
    return run_id


async def silent(engine: AsyncEngine, run_id: UUID) -> None:
    async with engine.begin() as connection:
        long_ago = text("UPDATE backtest.trial SET beat_at = now() - interval '31 seconds' WHERE id = :id")
        await connection.execute(long_ago, {"id": str(run_id)})


async def row(engine: AsyncEngine, run_id: UUID) -> tuple[str | None, str | None]:
    async with engine.connect() as connection:
        found = await table.one(connection, str(run_id))
    assert found is not None
    return found["ended"], found["error"]


async def test_one_that_beats_keeps_its_place_however_slow_it_is(engine: AsyncEngine) -> None:
    for run_id in [await entered(engine) for _ in range(table.AT_ONCE)]:
        await silent(engine, run_id)
        await table.beat(engine, str(run_id))
    with pytest.raises(table.TooManyRunningError):
        await entered(engine)


async def test_one_that_fell_silent_gives_its_place_away_for_good(engine: AsyncEngine) -> None:
    slow, _ = await entered(engine), await entered(engine)
    await silent(engine, slow)
    await entered(engine)
    assert await row(engine, slow) == ("broken_off", "its process fell silent")
    with pytest.raises(table.GivenUpError):
        await table.beat(engine, str(slow))
    with pytest.raises(table.GivenUpError):
        await table.advance(engine, str(slow), 1, 2)
    with pytest.raises(table.GivenUpError):
        await table.finish(engine, str(slow), {}, [])
    await table.fail(engine, str(slow), "too late")
    assert await row(engine, slow) == ("broken_off", "its process fell silent")


async def test_it_beats_by_a_timer_until_it_is_given_up(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "BEAT_SECONDS", 0.01)
    run_id = await entered(engine)
    beats = asyncio.create_task(child._beats(engine, str(run_id)))
    async with asyncio.timeout(30):
        for _ in range(3):
            await silent(engine, run_id)
            while await is_silent(engine, run_id):
                assert not beats.done()
        await table.break_off(engine, str(run_id), "over")
        with pytest.raises(table.GivenUpError):
            await beats


async def is_silent(engine: AsyncEngine, run_id: UUID) -> bool:
    async with engine.connect() as connection:
        found = await table.one(connection, str(run_id))
    return found is not None and bool(found["silent"])


async def test_it_is_known_again_by_what_was_sent(engine: AsyncEngine) -> None:
    run_id = await entered(engine, gate="win_on_record")
    other = ASK.model_copy(update={"version": 2}).model_dump(mode="json")
    assert not await table.enter(engine, run_id, {"gate": "win_on_record"}, other, "ann", NOW)
    with pytest.raises(IdempotencyMismatchError):
        await table.enter(engine, run_id, {"gate": "another"}, other, "ann", NOW)


async def test_a_process_ends_with_the_one_that_began_it(engine: AsyncEngine, database: str) -> None:
    run_id = await entered(engine)
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE store.event IN ACCESS EXCLUSIVE MODE")  # it waits for this
            process = await begun(Order(run_id=str(run_id), dsn=database, ask=ASK, now=NOW))
            assert process.stdin is not None
            process.stdin.close()  # as when the process that holds it is killed
            assert await asyncio.wait_for(process.wait(), 60)
    finally:
        await connection.close()
    assert await row(engine, run_id) == ("broken_off", child.ORPHANED)


async def test_a_process_that_was_given_up_ends(engine: AsyncEngine, database: str) -> None:
    run_id = await entered(engine)
    await table.break_off(engine, str(run_id), "somebody else came")
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE store.event IN ACCESS EXCLUSIVE MODE")  # it waits for this
            process = await begun(Order(run_id=str(run_id), dsn=database, ask=ASK, now=NOW))
            assert await asyncio.wait_for(process.wait(), 60)
            assert process.stderr is not None
            assert b"GivenUpError" in await process.stderr.read()
    finally:
        await connection.close()
    assert await row(engine, run_id) == ("broken_off", "somebody else came")


async def begun(order: Order) -> asyncio.subprocess.Process:
    process = await spawned("-m", start.CHILD)
    assert process.stdin is not None
    process.stdin.write(order.model_dump_json().encode() + b"\n")
    await process.stdin.drain()
    return process


async def spawned(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)


async def test_a_process_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "STOP_SECONDS", 0.1)
    process = await spawned("-c", DEAF)
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.wait_for(start.stop(process), 30)
    assert process.returncode == -9

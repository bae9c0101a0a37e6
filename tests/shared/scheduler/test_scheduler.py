"""Due dates become facts: once, in order, at their due time, whatever fails between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.contracts.event import Contract, Event, Recorded
from shared.contracts.refusal import refuse
from shared.eventstore.commands import Aggregate, CommandContext, Commands, Work
from shared.eventstore.migrate import migrate_store
from shared.eventstore.store import EventStore
from shared.eventstore.types import JsonObject
from shared.kit.clock import FixedClock
from shared.scheduler import (
    DueItem,
    DueRule,
    Scheduler,
    cancel,
    due_status,
    migrate_scheduler,
    schedule,
    set_due,
)
from shared.scheduler.due import due_table
from shared.scheduler.worker import LOCK

NOON = datetime(2017, 6, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATIENCE = 20.0

CONTRACT = Contract("promise")


@CONTRACT.event("promise.lapsed", 1)
class Lapsed(Event):
    """The day came, and nothing had happened."""

    note: str = ""


def count(state: int, _: Recorded[Any]) -> int:
    return state + 1


LAPSES = Aggregate("promise", 0, count)


@dataclass
class Seen:
    """A handler that keeps what it was asked, raises what it is told to, and says when it was called."""

    calls: list[tuple[CommandContext, DueItem]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    called: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, context: CommandContext, item: DueItem) -> None:
        self.calls.append((context, item))
        self.called.release()
        if self.errors:
            raise self.errors.pop(0)

    @property
    def streams(self) -> list[str]:
        return [item.stream_id for _, item in self.calls]

    async def times(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(number):
                await self.called.acquire()


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database.replace("postgresql://", "postgresql+asyncpg://"), pool_size=2)
    await migrate_scheduler(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@asynccontextmanager
async def running(*schedulers: Scheduler) -> AsyncIterator[None]:
    """Schedulers at work; at the end they finish what they are at, so that everything seen is booked."""
    stop = asyncio.Event()
    async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
        for one in schedulers:
            group.create_task(one.run(stop))
        try:
            yield
        finally:
            stop.set()


async def add(
    engine: AsyncEngine, *dates: tuple[str, datetime], rule: str = "lapse", payload: JsonObject | None = None
) -> None:
    async with engine.begin() as connection:
        for stream, due_at in dates:
            await schedule(connection, rule, stream, due_at, payload)


async def rows(engine: AsyncEngine) -> Sequence[Any]:
    table = due_table.c
    async with engine.connect() as connection:
        wanted = select(table.stream_id, table.due_at, table.outcome, table.detail, table.payload)
        return (await connection.execute(wanted.order_by(table.due_at, table.stream_id))).all()


async def outcomes(engine: AsyncEngine) -> dict[str, str | None]:
    return {row.stream_id: row.outcome for row in await rows(engine)}


async def test_what_is_due_is_carried_out_oldest_first_with_its_due_time_and_booked(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    seen = Seen()
    await add(engine, ("promise-b", NOON), ("promise-a", NOON - HOUR), ("promise-later", NOON + HOUR), payload={"n": 7})
    async with running(Scheduler(engine, [DueRule("lapse", seen)], clock)):
        await seen.times(2)
    context, item = seen.calls[0]
    assert seen.streams == ["promise-a", "promise-b"]
    assert context.occurred_at == item.due_at == NOON - HOUR
    assert context.command_id == "lapse/promise-a/2017-06-30T11:00:00+00:00"
    assert item.payload == {"n": 7}
    assert await outcomes(engine) == {"promise-a": "done", "promise-b": "done", "promise-later": None}


async def test_a_due_date_added_while_it_runs_is_seen_and_so_is_a_clock_that_moves(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    seen = Seen()
    scheduler = Scheduler(engine, [DueRule("lapse", seen)], clock)
    async with running(scheduler):
        await add(engine, ("promise-now", NOON), ("promise-later", NOON + HOUR))
        await seen.times(1)
        assert seen.streams == ["promise-now"]
        clock.moment = NOON + HOUR
        scheduler.wake()
        await seen.times(1)
    assert seen.streams == ["promise-now", "promise-later"]


async def test_a_command_that_was_carried_out_but_not_booked_has_one_effect(
    engine: AsyncEngine, database: str, clock: FixedClock
) -> None:
    await migrate_store(database)
    store = await EventStore.open(database, CONTRACT, max_size=2)
    commands = Commands(store, b"secret", clock)
    seen = Seen()

    async def lapse(context: CommandContext, item: DueItem) -> None:
        async def decide(work: Work) -> JsonObject:
            work.append(LAPSES, "1", Lapsed(note=str(item.payload)))
            return {}

        await commands.run(context, item.payload, decide)
        await seen(context, item)

    try:
        for payload in ({"said": 1}, {"said": 1}, {"said": 2}):  # the last time the details were changed meanwhile
            await add(engine, ("promise-1", NOON - HOUR))
            async with engine.begin() as connection:  # as if the worker had died before it booked
                await connection.execute(update(due_table).values(done_at=None, outcome=None, payload=payload))
            async with running(scheduler := Scheduler(engine, [DueRule("lapse", lapse)], clock)):
                if payload == {"said": 1}:
                    await seen.times(1)
                else:
                    await add(engine, ("promise-2", NOON), rule="lapse")
                    await until_booked(engine, "promise-1", scheduler)
        history = await store.load("promise-1")
    finally:
        await store.close()
    assert [(one.occurred_at, one.actor) for one in history] == [(NOON - HOUR, "scheduler/lapse")]


async def until_booked(engine: AsyncEngine, stream: str, scheduler: Scheduler) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await outcomes(engine))[stream] is None:
            scheduler.wake()


async def test_a_business_refusal_is_an_outcome(engine: AsyncEngine, clock: FixedClock) -> None:
    seen = Seen(errors=[refuse("closed", "the deal is closed")])
    await add(engine, ("promise-1", NOON))
    async with running(Scheduler(engine, [DueRule("lapse", seen)], clock)):
        await seen.times(1)
    assert [(row.outcome, row.detail) for row in await rows(engine)] == [("refused", "the deal is closed")]


async def test_a_failure_is_tried_again_later_its_stream_waits_and_the_others_go_on(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    seen = Seen(errors=[RuntimeError("no luck")])
    await add(engine, ("promise-a", NOON - HOUR), ("promise-a", NOON - HOUR / 2), ("promise-b", NOON))
    scheduler = Scheduler(engine, [DueRule("lapse", seen)], clock)
    async with running(scheduler):
        await seen.times(2)
        await add(engine, ("promise-c", NOON))
        await seen.times(1)
    assert seen.streams == ["promise-a", "promise-b", "promise-c"]
    async with engine.connect() as connection:
        status = await due_status(connection, NOON)
    assert (status.waiting, status.overdue, status.failing) == (2, 2, 1)
    assert status.last_error == "RuntimeError: no luck"
    assert status.next_due_at == NOON - HOUR

    clock.moment += HOUR
    async with running(Scheduler(engine, [DueRule("lapse", seen)], clock)):
        await seen.times(2)
    assert [item.due_at for _, item in seen.calls[3:]] == [NOON - HOUR, NOON - HOUR / 2]
    assert {row.outcome for row in await rows(engine)} == {"done"}


async def test_only_one_leads_and_the_other_takes_over_when_its_connection_is_cut(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    one, other = Seen(), Seen()
    first = Scheduler(engine, [DueRule("lapse", one)], clock)
    second = Scheduler(engine, [DueRule("lapse", other)], clock)
    await add(engine, ("promise-1", NOON))
    async with running(first):
        await one.times(1)
        async with running(second):
            await add(engine, ("promise-2", NOON))
            await one.times(1)
            assert (first.leading, second.leading, other.calls) == (True, False, [])
            async with engine.begin() as connection:
                cut = text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :id"
                )
                await connection.execute(cut, {"id": LOCK & 0xFFFFFFFF})
            await add(engine, ("promise-3", NOON))
            waits = [asyncio.ensure_future(one.times(1)), asyncio.ensure_future(other.times(1))]
            _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in pending:
                wait.cancel()
    assert sorted(one.streams + other.streams) == ["promise-1", "promise-2", "promise-3"]
    assert set((await outcomes(engine)).values()) == {"done"}


async def test_rows_of_a_rule_that_this_code_does_not_know_are_left_alone(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    seen = Seen()
    await add(engine, ("promise-1", NOON - HOUR), rule="of_tomorrow")
    await add(engine, ("promise-2", NOON))
    async with running(Scheduler(engine, [DueRule("lapse", seen)], clock)):
        await seen.times(1)
    assert await outcomes(engine) == {"promise-1": None, "promise-2": "done"}


async def test_scheduling_again_replaces_the_payload_until_it_is_done(engine: AsyncEngine, clock: FixedClock) -> None:
    seen = Seen()
    await add(engine, ("promise-1", NOON), payload={"v": 1})
    await add(engine, ("promise-1", NOON), payload={"v": 2})
    async with running(Scheduler(engine, [DueRule("lapse", seen)], clock)):
        await seen.times(1)
    await add(engine, ("promise-1", NOON), payload={"v": 3})
    assert [(row.outcome, row.payload) for row in await rows(engine)] == [("done", {"v": 2})]


async def test_due_dates_are_kept_in_step_with_a_state(engine: AsyncEngine) -> None:
    await add(engine, ("promise-1", NOON), ("promise-1", NOON + HOUR), ("promise-2", NOON))
    async with engine.begin() as connection:
        await connection.execute(
            update(due_table).where(due_table.c.due_at == NOON).values(done_at=NOON, outcome="done")
        )
        for _ in range(2):
            await set_due(connection, "lapse", "promise-1", {NOON + 2 * HOUR: {"v": 1}})
    assert [(row.stream_id, row.due_at, row.outcome) for row in await rows(engine)] == [
        ("promise-1", NOON, "done"),
        ("promise-2", NOON, "done"),
        ("promise-1", NOON + 2 * HOUR, None),
    ]
    async with engine.begin() as connection:
        await set_due(connection, "lapse", "promise-1", {})
    assert len(await rows(engine)) == 2


async def test_cancelling_takes_back_one_moment_or_all_and_joins_the_callers_transaction(engine: AsyncEngine) -> None:
    await add(engine, ("promise-1", NOON), ("promise-1", NOON + HOUR), ("promise-1", NOON + 2 * HOUR))
    async with engine.connect() as connection:
        assert await cancel(connection, "lapse", "promise-1") == 3
        await connection.rollback()
    async with engine.begin() as connection:
        assert await cancel(connection, "lapse", "promise-1", NOON) == 1
        assert await cancel(connection, "lapse", "promise-1") == 2
    assert await rows(engine) == []


async def test_a_due_date_without_zone_or_with_endless_names_is_refused(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(ValueError, match="no time zone"):
            await schedule(connection, "lapse", "promise-1", datetime(2017, 1, 1))  # noqa: DTZ001
        with pytest.raises(ValueError, match="too long"):
            await schedule(connection, "lapse", "promise-" + "x" * 500, NOON)


def test_two_rules_of_one_name_are_refused(clock: FixedClock) -> None:
    engine = create_async_engine("postgresql+asyncpg://nowhere/nothing")
    with pytest.raises(ValueError, match="same name"):
        Scheduler(engine, [DueRule("lapse", Seen()), DueRule("lapse", Seen())], clock)


async def test_creating_the_table_twice_keeps_what_is_in_it(engine: AsyncEngine) -> None:
    await add(engine, ("promise-1", NOON))
    await asyncio.gather(migrate_scheduler(engine), migrate_scheduler(engine))
    assert len(await rows(engine)) == 1

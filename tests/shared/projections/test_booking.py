"""Checkpoints of read models that have nothing to fold are moved together, and fenced apart."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, text

from shared.projections import checkpoints
from shared.projections.booking import Booking
from shared.projections.checkpoints import FencedError, Move
from tests.shared.projections.spine import Spine

TOPIC = "keyfold.visits.events"
NAMES = ("by_town", "by_seller", "by_year")


def to(position: int, before: int = 0, partition: int = 0) -> Move:
    return Move(TOPIC, partition, before, position, position)


async def begun(spine: Spine) -> Booking:
    async with spine.engine.begin() as connection:
        for name in NAMES:
            await checkpoints.load(connection, name, 1, {(TOPIC, 0): 0, (TOPIC, 1): 0})
    return Booking(spine.engine)


async def positions(spine: Spine) -> dict[tuple[str, int], int]:
    async with spine.engine.connect() as connection:
        rows = await connection.execute(text("SELECT projection, partition, position FROM projection.checkpoint"))
        return {(row.projection, row.partition): row.position for row in rows if row.projection in NAMES}


async def test_those_that_come_together_are_moved_in_one_statement(spine: Spine) -> None:
    booking = await begun(spine)
    said: list[str] = []

    def executed(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(spine.engine.sync_engine, "before_cursor_execute", executed)
    await asyncio.gather(*(booking.move(name, 1, [to(7), to(9, partition=1)]) for name in NAMES))
    assert len([one for one in said if "UPDATE projection.checkpoint" in one]) == 1
    assert await positions(spine) == {(name, part): at for name in NAMES for part, at in ((0, 7), (1, 9))}


async def test_whoever_was_fenced_is_told_and_nobody_else(spine: Spine) -> None:
    booking = await begun(spine)
    fenced = booking.move("by_town", 1, [to(9, before=3), to(9, partition=1)])
    told = await asyncio.gather(fenced, booking.move("by_year", 1, [to(9)]), return_exceptions=True)
    assert isinstance(told[0], FencedError)
    assert told[1] is None
    assert await positions(spine) == {(name, part): 0 for name in NAMES for part in (0, 1)} | {("by_year", 0): 9}


async def test_it_goes_on_after_somebody_gave_up_waiting(spine: Spine) -> None:
    booking = await begun(spine)
    given_up = asyncio.create_task(booking.move("by_town", 1, [to(5)]))
    await asyncio.sleep(0)
    given_up.cancel()
    await booking.move("by_seller", 1, [to(6)])
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await booking.move("by_year", 1, [to(7)])
    found = await positions(spine)
    assert (found["by_seller", 0], found["by_year", 0]) == (6, 7)


async def test_what_was_booked_while_another_write_failed_is_written_all_the_same(spine: Spine) -> None:
    booking = await begun(spine)
    later: list[asyncio.Task[None]] = []

    def fails_once(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "UPDATE projection.checkpoint" in statement and not later:
            later.append(asyncio.get_running_loop().create_task(booking.move("by_year", 1, [to(7)])))
            raise OSError("the database is away")

    event.listen(spine.engine.sync_engine, "before_cursor_execute", fails_once)
    with pytest.raises(OSError, match="away"):
        await booking.move("by_town", 1, [to(5)])
    async with asyncio.timeout(10):
        await later[0]
    assert (await positions(spine))["by_year", 0] == 7

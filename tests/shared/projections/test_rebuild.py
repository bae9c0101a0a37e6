"""Rebuilding beside the live generation: complete or refused, equal row for row, switched while writes go on."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Column, Integer, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.event import Recorded
from shared.log.port import LogRecord
from shared.projections import generations, tables
from shared.projections import rebuild as rebuilding
from shared.projections.definition import Projection, Rows
from shared.projections.folding import HoldingSink
from shared.projections.follower import Delivery
from shared.projections.reads import NotBuiltError
from shared.projections.rebuild import RebuildRefusedError, rebuild
from shared.projections.tables import migrate_projections
from shared.relay.cursor import Cursor
from shared.testing.projections import envelope_of, rows_of
from tests.shared.projections.spine import Spine, in_one_partition, partition
from tests.shared.projections.visits import (
    VISITS,
    VisitHeld,
    VisitPlanned,
    load,
    recorded,
    seller_load,
    visit,
    visit_list,
)

FACTS = recorded(
    *((f"v{n}", VisitPlanned(seller="wang" if n % 2 else "li")) for n in range(20)),
    *((f"v{n % 20}", VisitHeld(minutes=n, topics=("价格",))) for n in range(80)),
)


async def built(spine: Spine, *projections: Projection) -> None:
    await spine.publish(FACTS)
    async with spine.running(*projections):
        await spine.seen(*projections)


async def built_from(spine: Spine, facts: Sequence[Recorded[Any]], projection: Projection = visit_list) -> None:
    await spine.publish(facts)
    async with spine.running(projection):
        await spine.seen(projection)


async def numbers(engine: AsyncEngine, projection: Projection) -> dict[int, bool]:
    async with engine.connect() as connection:
        return await generations.followed(connection, projection)


async def test_the_rebuilt_generation_is_the_live_one_row_for_row_and_takes_its_place(either_spine: Spine) -> None:
    spine = either_spine
    await built(spine, visit_list)
    before = await spine.rows(visit_list, visit)
    report = await rebuild(spine.engine, spine.log, visit_list)
    assert report.comparison is not None
    assert report.comparison.equal
    assert (report.comparison.rows, report.switched_to, report.parked, report.records) == (20, 2, 0, 100)
    assert await numbers(spine.engine, visit_list) == {1: False, 2: True}
    assert await spine.rows(visit_list, visit) == before
    async with spine.engine.connect() as connection:
        indexes = await connection.scalars(text("SELECT indexname FROM pg_indexes WHERE schemaname = 'visit_list_g2'"))
        assert set(indexes) == {"visit_pkey", "visit_seller"}


async def test_the_old_generation_keeps_running_until_it_is_dropped(spine: Spine) -> None:
    await built(spine, visit_list)
    await rebuild(spine.engine, spine.log, visit_list)
    [more] = [Recorded(101, *_rest(fact)) for fact in recorded(("new", VisitHeld(minutes=9)))]
    async with spine.running(visit_list):
        await spine.publish([more])
        await spine.seen(visit_list)
        await spine.until(lambda: _reached(spine, "visit_list", 1, partition("new"), 101))
        async with spine.engine.begin() as connection:
            assert await generations.drop(connection, visit_list, "old") == [1]
        await spine.until(lambda: _followed_alone(spine, 2))
    async with spine.engine.connect() as connection:
        schemas = await connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'visit_list%'"))
        assert list(schemas) == ["visit_list_g2"]
    assert {row["generation"] for row in await spine.rows_in(tables.checkpoint)} == {2}
    assert await spine.rows_in(tables.parked) == []


async def test_a_rebuild_while_writes_go_on(spine: Spine) -> None:
    written = itertools.count(1)
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            at = next(written)
            name = f"v{at % 15}"
            fact = recorded((name, VisitHeld(minutes=1)))[0]
            await spine.publish([Recorded(at, *_rest(fact))])

    async with spine.running(visit_list, seller_load):
        writer = asyncio.create_task(write())
        await spine.until(lambda: _rows(spine, 10))
        for generation in (2, 3, 4):
            report = await rebuild(spine.engine, spine.log, visit_list)
            assert report.comparison is not None
            assert report.comparison.equal, report.comparison
            assert report.switched_to == generation
        stop.set()
        await writer
        await spine.seen(visit_list)
        rows = await spine.rows(visit_list, visit)
    assert sum(row["minutes"] for row in rows) == spine.published.position


async def test_verifying_leaves_nothing_behind(spine: Spine) -> None:
    await built(spine, visit_list, seller_load)
    for projection in (visit_list, seller_load):
        report = await rebuild(spine.engine, spine.log, projection, keep=False)
        assert report.comparison is not None
        assert report.comparison.equal
        assert report.switched_to is None
        assert await numbers(spine.engine, projection) == {1: True}
    assert {row["generation"] for row in await spine.rows_in(tables.checkpoint)} == {1}


async def test_a_difference_is_shown_and_nothing_is_switched_unless_accepted(spine: Spine) -> None:
    await built(spine, visit_list)
    async with spine.engine.begin() as connection:
        await connection.execute(text("UPDATE visit_list_g1.visit SET minutes = 1 WHERE visit_id = 'v3'"))
        await connection.execute(text("DELETE FROM visit_list_g1.visit WHERE visit_id = 'v4'"))
    report = await rebuild(spine.engine, spine.log, visit_list)
    assert report.switched_to is None
    assert report.comparison is not None
    [difference] = report.comparison.differences
    counted = (difference.table, difference.only_live, difference.only_rebuilt, difference.changed)
    assert counted == ("visit", 0, 1, 1)
    assert report.comparison.rows_differing == 2
    assert any(example.startswith("live: (v3,") for example in difference.examples)
    assert await numbers(spine.engine, visit_list) == {1: True}
    report = await rebuild(spine.engine, spine.log, visit_list, accept_differences=True)
    assert report.switched_to == 2
    assert len(await spine.rows(visit_list, visit)) == 20


async def test_a_gap_is_named_and_refused(spine: Spine) -> None:
    names = in_one_partition(3)
    await spine.publish(recorded(*((name, VisitHeld(minutes=1)) for name in names)), lose={2})
    with pytest.raises(RebuildRefusedError, match=r"incomplete.*after position 1 comes 3, whose predecessor 2"):
        await rebuild(spine.engine, spine.log, visit_list)
    assert await spine.rows_in(tables.generation) == []


async def test_a_gap_that_was_published_again_is_none(spine: Spine) -> None:
    names = in_one_partition(3)
    facts = recorded(*((name, VisitHeld(minutes=1)) for name in names))
    await spine.publish(facts, lose={2})
    spine.published = Cursor(1, {partition(names[0]): 1})
    await spine.publish(facts[1:])
    report = await rebuild(spine.engine, spine.log, visit_list)
    assert report.switched_to == 1
    assert [row["minutes"] for row in await spine.rows(visit_list, visit)] == [1, 1, 1]


async def test_an_event_of_a_newer_version_is_refused(spine: Spine) -> None:
    [fact] = spine.encoded(recorded(("a", VisitHeld(minutes=1))))
    newer = type(fact)(fact.topic, fact.partition, fact.key, fact.value, {**fact.headers, "ce_keyfoldtypeversion": "3"})
    await spine.send([newer])
    with pytest.raises(RebuildRefusedError, match="this code knows up to v2"):
        await rebuild(spine.engine, spine.log, visit_list)


async def test_an_empty_log_gives_an_empty_generation(spine: Spine) -> None:
    progress: list[tuple[int, int]] = []
    report = await rebuild(spine.engine, spine.log, visit_list, progress=lambda *at: progress.append(at))
    assert (report.records, report.comparison, report.switched_to) == (0, None, 1)
    assert await spine.rows(visit_list, visit) == []
    assert set(progress) == {(0, 0)}


async def test_progress_goes_up_to_the_end_and_no_further(spine: Spine) -> None:
    await built(spine, visit_list)
    progress: list[tuple[int, int]] = []
    await rebuild(spine.engine, spine.log, visit_list, progress=lambda *at: progress.append(at))
    assert progress[0] == (0, 100)
    assert progress[-1] == (100, 100)
    assert all(done <= total for done, total in progress)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


async def test_a_rebuild_that_was_killed_half_way_leaves_what_the_next_one_clears(spine: Spine) -> None:
    await built(spine, visit_list)
    # What a killed process leaves: a generation that is being built, with rows and checkpoints in it.
    async with spine.engine.begin() as connection:
        number = await generations.make(connection, visit_list, "building")
        await connection.execute(text(f"INSERT INTO visit_list_g{number}.visit VALUES ('half', 'x', 1, '[]')"))
        await connection.execute(
            tables.checkpoint.insert().values(
                projection="visit_list", generation=number, topic=VISITS.topic, partition=0, position=1, log_offset=1
            )
        )
    report = await rebuild(spine.engine, spine.log, visit_list)
    assert report.comparison is not None
    assert report.comparison.equal
    assert report.switched_to == 2
    assert len(await spine.rows(visit_list, visit)) == 20


async def test_a_cancelled_rebuild_clears_up_after_itself(spine: Spine) -> None:
    await built(spine, visit_list)
    begun = asyncio.Event()
    task = asyncio.create_task(rebuild(spine.engine, spine.log, visit_list, progress=lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row["state"] for row in await spine.rows_in(tables.generation)] == ["live"]


async def test_two_rebuilds_of_one_read_model_are_refused(spine: Spine) -> None:
    await built(spine, visit_list)
    begun, other = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(rebuild(spine.engine, spine.log, visit_list, progress=lambda *_: begun.set()))
    await begun.wait()
    with pytest.raises(RebuildRefusedError, match="being rebuilt by another process"):
        await rebuild(spine.engine, spine.log, visit_list, progress=lambda *_: other.set())
    assert (await first).switched_to == 2


async def test_a_live_generation_that_nobody_brings_up_to_date_is_not_compared(spine: Spine) -> None:
    await built(spine, visit_list)
    await spine.publish([Recorded(101, *_rest(recorded(("new", VisitHeld(minutes=9)))[0]))])
    with pytest.raises(RebuildRefusedError, match=r"lags behind the log.*start its worker"):
        await rebuild(spine.engine, spine.log, visit_list)
    assert await numbers(spine.engine, visit_list) == {1: True}


async def test_parked_events_of_the_new_generation_are_reported(spine: Spine) -> None:
    facts = recorded(("a", VisitHeld(minutes=1)), ("a", VisitHeld(minutes=-1)), ("a", VisitHeld(minutes=2)))
    await spine.publish(facts)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    report = await rebuild(spine.engine, spine.log, visit_list)
    assert report.parked == 2
    assert report.comparison is not None
    assert report.comparison.equal
    assert [row["generation"] for row in await spine.rows_in(tables.parked)] == [1, 1, 2, 2]


async def test_a_row_that_the_database_refuses_is_parked_and_all_others_are_rebuilt(spine: Spine) -> None:
    facts = recorded(*((f"v{n}", VisitHeld(minutes=2**40 if n == 7 else n)) for n in range(20)))
    await built_from(spine, facts)
    for size in (1, rebuilding.ROWS_IN_MEMORY):
        report = await rebuild(spine.engine, spine.log, visit_list, rows_in_memory=size)
        assert report.parked == 1
        assert report.comparison is not None
        assert (report.comparison.equal, report.comparison.rows) == (True, 19)


@pytest.mark.parametrize("projection", [visit_list, seller_load], ids=lambda projection: projection.name)
@pytest.mark.parametrize("rows_in_memory", [0, 9, 45])
async def test_more_rows_than_memory_may_hold_are_written_and_read_again(
    spine: Spine, monkeypatch: pytest.MonkeyPatch, projection: Projection, rows_in_memory: int
) -> None:
    monkeypatch.setattr(rebuilding, "BATCH", 13)
    facts = recorded(
        *((f"v{n % 25}", VisitPlanned(seller=f"seller{n % 7}")) for n in range(60)),
        *((f"v{n * 7 % 30}", VisitHeld(minutes=n, topics=("价格",))) for n in range(140)),
    )
    await built_from(spine, facts, projection)
    done: list[int] = []
    report = await rebuild(
        spine.engine,
        spine.log,
        projection,
        rows_in_memory=rows_in_memory,
        progress=lambda at, total: done.append(at),
    )
    assert report.comparison is not None
    assert report.comparison.equal, report.comparison
    assert done == sorted(done), "it had to begin again"
    assert (report.switched_to, report.records, report.parked) == (2, 200, 0)


async def test_rows_are_held_in_memory_up_to_the_limit_and_a_batch(spine: Spine) -> None:
    await migrate_projections(spine.engine)
    async with spine.engine.begin() as connection:
        number = await generations.make(connection, visit_list, "building")
    sink = HoldingSink(spine.engine, visit_list, number, limit=20)
    async with spine.engine.begin() as connection:
        await sink.begin(connection)
    held = []
    for start in range(0, 100, 5):
        facts = recorded(*((f"v{n}", VisitHeld(minutes=1)) for n in range(start, start + 5)))
        records = [LogRecord(VISITS.topic, 0, 0, "", b"", {}) for _ in facts]
        await sink.apply([Delivery(envelope_of(fact), record) for fact, record in zip(facts, records, strict=True)], [])
        held.append(sink.held)
    assert max(held) <= 20
    assert max(held) > 10
    await sink.flush()
    async with spine.engine.connect() as connection:
        assert len((await rows_of(connection, visit_list, number))["visit"]) == 100


def changed_visit_list() -> tuple[Projection, Any]:
    """The same read model as the next release has it: with a column more."""
    changed = Projection("visit_list", sources=[VISITS])
    table = changed.table("visit", *(column.copy() for column in visit.columns), Column("rounds", Integer))

    @changed.on(VisitHeld)
    def held(rows: Rows, e: Recorded[VisitHeld]) -> None:
        row = rows.one(table, e.entity_id) or {"visit_id": e.entity_id, "minutes": 0, "topics": [], "rounds": 0}
        rows.put(table, row | {"minutes": row["minutes"] + e.event.minutes, "rounds": row["rounds"] + 1})

    return changed, table


async def test_code_with_other_tables_neither_reads_nor_follows_a_generation_until_it_is_rebuilt(spine: Spine) -> None:
    await built(spine, visit_list)
    changed, table = changed_visit_list()
    async with spine.running(visit_list):
        with pytest.raises(NotBuiltError, match="keyfold rebuild <service> visit_list --accept-differences"):
            async with spine.reads.connect(changed):
                pass
        report = await rebuild(spine.engine, spine.log, changed, accept_differences=True)
        assert report.switched_to == 2
        assert report.comparison is not None
        [difference] = report.comparison.differences
        assert difference.columns == ("only the rebuilt visit has the column rounds (integer, may be null)",)
        assert (report.comparison.rows_differing, difference.examples) == (20, ())
        # Side by side: each release reads and follows the generation that it knows.
        assert sum(row["rounds"] for row in await spine.rows(changed, table)) == 80
        assert len(await spine.rows(visit_list, visit)) == 20
        assert await numbers(spine.engine, changed) == {2: True}
        assert await numbers(spine.engine, visit_list) == {1: False}
    assert await spine.rows_in(tables.parked) == []


async def test_a_generation_with_other_tables_need_not_catch_up_to_be_replaced(spine: Spine) -> None:
    facts = [
        *FACTS,
        *recorded(
            *((f"v{n % 20}", VisitHeld(minutes=n, topics=())) for n in range(100)), ("new", VisitHeld(minutes=5))
        ),
    ]
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    changed, table = changed_visit_list()
    await spine.publish([replace(fact, position=n) for n, fact in enumerate(facts, 1)][len(FACTS) :])
    report = await rebuild(spine.engine, spine.log, changed, accept_differences=True)
    assert report.switched_to == 2
    assert len(await spine.rows(changed, table)) == 21


async def test_rows_shared_by_streams_are_rebuilt_equal(spine: Spine) -> None:
    await built(spine, seller_load)
    async with spine.engine.begin() as connection:
        await connection.execute(update(tables.checkpoint).values(updated_at=text("now()")))
    report = await rebuild(spine.engine, spine.log, seller_load)
    assert report.switched_to == 2
    async with spine.engine.connect() as connection:
        assert await rows_of(connection, seller_load, 1) == await rows_of(connection, seller_load, 2)
    assert await spine.rows(seller_load, load) == [{"seller": "li", "visits": 10}, {"seller": "wang", "visits": 10}]


def _rest(fact: Recorded[Any]) -> tuple[Any, ...]:
    """All of a record after its position."""
    return (
        fact.event_id, fact.stream_id, fact.version, fact.event, fact.occurred_at, fact.recorded_at, fact.actor,
        fact.correlation_id, fact.causation_id,
    )  # fmt: skip


async def _reached(spine: Spine, reader: str, generation: int, part: int, position: int) -> bool:
    return any(
        (row["projection"], row["generation"], row["partition"], row["position"])
        == (reader, generation, part, position)
        for row in await spine.rows_in(tables.checkpoint)
    )


async def _followed_alone(spine: Spine, generation: int) -> bool:
    return await numbers(spine.engine, visit_list) == {generation: True}


async def _rows(spine: Spine, at_least: int) -> bool:
    return len(await spine.rows(visit_list, visit)) >= at_least

"""Workers keep read models up to date: on both logs, through duplicates, restarts, rivals and losses."""

import asyncio

from sqlalchemy import insert, text, update

from shared.contracts.event import Recorded
from shared.log.port import LogRecord, LogUnavailableError, NewRecord
from shared.projections import checkpoints, generations, tables
from shared.projections.assignment import Assignment
from shared.projections.checkpoints import Move
from shared.projections.folding import FoldSink
from shared.projections.follower import Delivery
from shared.relay.cursor import Cursor
from shared.testing.projections import envelope_of
from tests.shared.projections.group import committed
from tests.shared.projections.spine import Spine, in_one_partition, partition
from tests.shared.projections.visits import (
    VISITS,
    NoteTaken,
    VisitHeld,
    VisitPlanned,
    load,
    recorded,
    seller_load,
    visit,
    visit_list,
)

FACTS = recorded(
    *((f"v{n}", VisitPlanned(seller="wang" if n % 2 else "li")) for n in range(40)),
    *((f"v{n}", VisitHeld(minutes=n)) for n in range(40)),
    ("v1", NoteTaken(text="call back")),
)
VISITED = {f"v{n}": n for n in range(40)}


async def minutes(spine: Spine) -> dict[str, int]:
    return {row["visit_id"]: row["minutes"] for row in await spine.rows(visit_list, visit)}


async def test_facts_become_rows_and_a_restart_goes_on_where_it_was(either_spine: Spine) -> None:
    spine = either_spine
    await spine.publish(FACTS[:30])
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
        await spine.publish(FACTS[30:60])
        await spine.seen(visit_list, seller_load)
    await spine.publish(FACTS[60:])
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
    assert await minutes(spine) == VISITED
    assert await spine.rows(seller_load, load) == [{"seller": "li", "visits": 20}, {"seller": "wang", "visits": 20}]


async def test_duplicates_are_dropped(either_spine: Spine) -> None:
    spine = either_spine
    await spine.publish(FACTS[:50])
    spine.published = Cursor()
    async with spine.running(visit_list):
        await spine.publish(FACTS)
        await spine.seen(visit_list)
    assert await minutes(spine) == VISITED


async def test_a_checkpoint_that_points_back_in_the_log_applies_nothing_twice(spine: Spine) -> None:
    await spine.publish(FACTS[:60])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    async with spine.engine.begin() as connection:
        await connection.execute(update(tables.checkpoint).values(log_offset=0))
    await spine.publish(FACTS[60:])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert await minutes(spine) == VISITED


async def test_two_workers_share_the_partitions_and_one_takes_over(either_spine: Spine) -> None:
    spine = either_spine
    async with spine.running(visit_list, seller_load, worker="worker-1"):
        async with spine.running(visit_list, seller_load, worker="worker-2"):
            await spine.publish(FACTS[:50])
            await spine.seen(visit_list, seller_load)
        assert [row["worker_id"] for row in await spine.rows_in(tables.worker)] == ["worker-1"]
        await spine.publish(FACTS[50:])
        await spine.seen(visit_list, seller_load)
    assert await minutes(spine) == VISITED
    assert await spine.rows(seller_load, load) == [{"seller": "li", "visits": 20}, {"seller": "wang", "visits": 20}]
    assert await spine.rows_in(tables.parked) == []


async def test_workers_that_both_believe_a_partition_theirs_apply_everything_once(spine: Spine) -> None:
    """Two of one name have the same rank, so each takes every partition: only the checkpoints keep them apart."""
    async with (
        spine.running(visit_list, seller_load, worker="twin"),
        spine.running(visit_list, seller_load, worker="twin"),
    ):
        for start in range(0, len(FACTS), 7):
            await spine.publish(FACTS[start : start + 7])
        await spine.seen(visit_list, seller_load)
    assert await minutes(spine) == VISITED
    assert await spine.rows(seller_load, load) == [{"seller": "li", "visits": 20}, {"seller": "wang", "visits": 20}]
    assert await spine.rows_in(tables.parked) == []


async def test_an_unknown_type_is_passed_over(spine: Spine) -> None:
    facts = spine.encoded(FACTS)
    facts[3] = type(facts[3])(
        facts[3].topic, facts[3].partition, facts[3].key, b"{}", {**facts[3].headers, "ce_type": "visits.visit_dreamt"}
    )
    await spine.send(facts)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert (await minutes(spine)) == VISITED
    assert await spine.rows_in(tables.parked) == []


async def test_a_newer_version_stops_its_partition_alone_until_the_code_knows_it(spine: Spine) -> None:
    facts = spine.encoded(
        recorded(("a", VisitHeld(minutes=5)), ("b", VisitHeld(minutes=6)), ("a", VisitHeld(minutes=7)))
    )
    assert partition("a") != partition("b")
    newer = type(facts[0])(
        facts[0].topic,
        facts[0].partition,
        facts[0].key,
        facts[0].value,
        {**facts[0].headers, "ce_keyfoldtypeversion": "3"},
    )
    await spine.send([newer, facts[1], facts[2]])
    async with spine.running(visit_list):
        await spine.until(lambda: _raised(spine))
        await spine.reads.wait_for(f"visits/{partition('b')}@2", [visit_list], 20)
    assert await minutes(spine) == {"b": 6}
    [alarm] = await spine.rows_in(tables.alarm)
    assert (alarm["kind"], alarm["partition"]) == ("newer_version", partition("a"))
    assert "visits.visit_held v3" in alarm["detail"]
    assert "Upgrade" in alarm["detail"]
    assert await spine.rows_in(tables.parked) == []


async def test_a_missing_record_raises_the_alarm_and_heals_when_it_is_published_again(either_spine: Spine) -> None:
    spine = either_spine
    a, other = in_one_partition(2)
    facts = recorded(*((name, VisitHeld(minutes=1)) for name in (a, other, a, other, "b")))
    await spine.publish(facts, lose={2})
    async with spine.running(visit_list):
        await spine.until(lambda: _raised(spine))
        await spine.reads.wait_for(f"visits/{partition('b')}@5", [visit_list], 20)
        assert await minutes(spine) == {a: 1, "b": 1}
        [alarm] = await spine.rows_in(tables.alarm)
        assert (alarm["kind"], alarm["partition"]) == ("missing", partition(a))
        assert "position 1 comes 3" in alarm["detail"]
    # The alarm outlives the worker; the next one heals it.
    spine.published = Cursor(1, {partition(a): 1})
    async with spine.running(visit_list):
        await spine.publish(facts[1:])
        await spine.seen(visit_list)
        await spine.until(lambda: _quiet(spine))
    assert await minutes(spine) == {a: 2, other: 2, "b": 1}


async def test_an_offset_that_the_log_does_not_hold_raises_the_alarm_and_loses_nothing(spine: Spine) -> None:
    await spine.publish(FACTS[:50])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    async with spine.engine.begin() as connection:
        await connection.execute(text("TRUNCATE log.record"))
        await connection.execute(text("UPDATE log.partition SET next_offset = 0"))
    async with spine.running(visit_list):
        await spine.until(lambda: _raised(spine))
        assert {row["kind"] for row in await spine.rows_in(tables.alarm)} == {"missing"}
        spine.published = Cursor()
        await spine.publish(FACTS)
        await spine.seen(visit_list)
        await spine.until(lambda: _quiet(spine))
    assert await minutes(spine) == VISITED


async def test_offsets_of_a_log_that_is_no_more_lose_nothing(either_spine: Spine) -> None:
    """A log that was filled anew has no duplicates: what comes next lies before the offset that was kept."""
    spine = either_spine
    await spine.publish(FACTS[:40])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    async with spine.engine.begin() as connection:
        await connection.execute(update(tables.checkpoint).values(log_offset=tables.checkpoint.c.log_offset + 2))
    await spine.publish(FACTS[40:])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
        await spine.until(lambda: _quiet(spine))
    assert await minutes(spine) == VISITED


async def test_a_record_of_another_history_stops_the_partition(spine: Spine) -> None:
    facts = recorded(*(("a", VisitHeld(minutes=1)) for _ in range(3)))
    await spine.publish(facts[:2])
    spine.published = Cursor(2, {partition("a"): 1})
    await spine.publish(facts[2:])
    async with spine.running(visit_list):
        await spine.until(lambda: _raised(spine))
    assert [row["kind"] for row in await spine.rows_in(tables.alarm)] == ["other_history"]
    assert await minutes(spine) == {"a": 2}


async def test_a_record_that_is_none_of_ours_stops_the_partition(spine: Spine) -> None:
    [fact] = spine.encoded(recorded(("a", VisitHeld(minutes=1))))
    await spine.send([type(fact)(fact.topic, fact.partition, "x", b"hello", {})])
    async with spine.running(visit_list):
        await spine.until(lambda: _raised(spine))
    [alarm] = await spine.rows_in(tables.alarm)
    assert alarm["kind"] == "unreadable"
    assert "has no header" in alarm["detail"]


async def test_lost_connections_are_survived(spine: Spine) -> None:
    async with spine.running(visit_list):
        for start in range(0, len(FACTS), 20):
            await _send_at_last(spine, spine.encoded(FACTS[start : start + 20]))
            await _cut_connections(spine)
        await spine.until(lambda: _has_all(spine))
    assert await minutes(spine) == VISITED
    assert await spine.rows_in(tables.parked) == []


async def test_the_log_is_told_how_far_the_group_has_read(either_spine: Spine) -> None:
    spine = either_spine
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
        await spine.until(lambda: _told(spine))


async def test_rows_of_long_dead_workers_are_cleared_away(spine: Spine) -> None:
    old = text("now() - interval '2 minutes'")
    recent = text("now() - interval '20 seconds'")
    async with spine.engine.begin() as connection:
        await connection.execute(insert(tables.worker).values(worker_id="long dead", seen_at=old))
        await connection.execute(insert(tables.worker).values(worker_id="dead", seen_at=recent))
    assert len(await Assignment(spine.engine, "living").share()) == 12
    assert [row["worker_id"] for row in await spine.rows_in(tables.worker)] == ["dead", "living"]


async def test_living_workers_have_every_partition_once(spine: Spine) -> None:
    workers = [Assignment(spine.engine, f"w{n}") for n in range(5)]
    for each in workers:
        await each.share()
    shares = [await each.share() for each in workers]
    assert sorted(part for share in shares for part in share) == list(range(12))
    await workers[0].leave()
    shares = [await each.share() for each in workers[1:]]
    assert sorted(part for share in shares for part in share) == list(range(12))


async def test_a_worker_that_is_stopped_finishes_its_batch_and_leaves(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list) as stop:
        stop.set()
    assert await spine.rows_in(tables.worker) == []
    at = {row["partition"]: row["position"] for row in await spine.rows_in(tables.checkpoint)}
    folded = await minutes(spine)
    reached = [fact for fact in FACTS if fact.position <= at[partition(fact.entity_id)]]
    assert set(folded) == {fact.entity_id for fact in reached}


async def _raised(spine: Spine) -> bool:
    return bool(await spine.rows_in(tables.alarm))


async def _quiet(spine: Spine) -> bool:
    return not await spine.rows_in(tables.alarm)


async def _has_all(spine: Spine) -> bool:
    at = {row["partition"]: row["position"] for row in await spine.rows_in(tables.checkpoint)}
    return all(at.get(part, 0) >= position for part, position in spine.published.partitions.items())


async def _send_at_last(spine: Spine, records: list[NewRecord]) -> None:
    """As the relay does: again, until it is in."""
    while True:
        try:
            return await spine.send(records)
        except LogUnavailableError:
            continue


async def _cut_connections(spine: Spine) -> None:
    """The server ends every other session of the database."""
    async with spine.engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


async def _told(spine: Spine) -> bool:
    """Does a lag tool see all that was published as read?"""
    ends = {part: after for part, (_, after) in (await spine.log.bounds(VISITS.topic)).items() if after}
    told = await committed(spine, "keyfold.visit_list")
    return all(told.get(part) == after for part, after in ends.items())


async def test_workers_with_different_partitions_take_turns_at_rows_that_they_share(spine: Spine) -> None:
    """Every visit counts for the same seller, wherever its stream is."""
    number = await generations.ensure_live(spine.engine, seller_load)
    by_partition: dict[int, list[Recorded[VisitPlanned]]] = {}
    for fact in recorded(*((f"v{n}", VisitPlanned(seller="wang")) for n in range(60))):
        by_partition.setdefault(partition(fact.entity_id), []).append(fact)
    async with spine.engine.begin() as connection:
        await checkpoints.load(connection, "seller_load", number, {(VISITS.topic, part): 0 for part in by_partition})

    async def work(part: int, facts: list[Recorded[VisitPlanned]]) -> None:
        sink, at = FoldSink(spine.engine, seller_load, number), 0
        for offset, fact in enumerate(facts, 1):
            delivery = Delivery(envelope_of(fact), LogRecord(VISITS.topic, part, offset - 1, fact.stream_id, b"", {}))
            await sink.apply([delivery], [Move(VISITS.topic, part, at, fact.position, offset)])
            at = fact.position

    await asyncio.gather(*(work(part, facts) for part, facts in by_partition.items()))
    assert await spine.rows(seller_load, load) == [{"seller": "wang", "visits": 60}]
    assert await spine.rows_in(tables.parked) == []

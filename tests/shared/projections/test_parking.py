"""Poison: the stream of a bad event is parked, the others go on; it is replayed or dropped when somebody has looked."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from shared.projections import parked, tables
from shared.projections.tables import migrate_projections
from tests.shared.projections.spine import Spine, in_one_partition
from tests.shared.projections.visits import VisitHeld, VisitPlanned, recorded, visit, visit_list

A, B = in_one_partition(2)
BAD = VisitHeld(minutes=-1)  # the fold refuses it
FACTS = recorded(
    (A, VisitPlanned(seller="wang")),
    (B, VisitPlanned(seller="li")),
    (A, BAD),
    (B, VisitHeld(minutes=10)),
    (A, VisitHeld(minutes=20)),
    (B, VisitHeld(minutes=30)),
)


async def folded(spine: Spine) -> dict[str, int]:
    return {row["visit_id"]: row["minutes"] for row in await spine.rows(visit_list, visit)}


async def test_the_bad_stream_is_parked_and_its_neighbour_goes_on(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert await folded(spine) == {A: 0, B: 40}
    [stream] = await parked.parked_streams(spine.engine)
    assert (stream.projection, stream.stream_id, stream.position, stream.events) == ("visit_list", f"visit-{A}", 3, 2)
    assert stream.error == "ValueError: a visit cannot last less than no time"


async def test_what_comes_after_a_restart_queues_behind(spine: Spine) -> None:
    await spine.publish(FACTS[:4])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    await spine.publish(FACTS[4:])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    rows = await spine.rows_in(tables.parked)
    assert [(row["position"], row["error"] is None) for row in rows] == [(3, False), (5, True)]


async def test_a_row_that_the_database_refuses_is_poison_too(spine: Spine) -> None:
    facts = recorded((A, VisitPlanned(seller="wang")), (A, VisitHeld(minutes=2**40)), (B, VisitHeld(minutes=1)))
    await spine.publish(facts)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert await folded(spine) == {A: 0, B: 1}
    [stream] = await parked.parked_streams(spine.engine)
    assert "out of range" in stream.error or "int32" in stream.error


async def test_data_that_do_not_fit_the_contract_are_poison(spine: Spine) -> None:
    facts = spine.encoded(FACTS[:3])
    await spine.send([facts[0], replace(facts[1], value=b'{"seller": 7, "x": 1}'), facts[2]])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    streams = {stream.stream_id: stream.error for stream in await parked.parked_streams(spine.engine)}
    assert streams.keys() == {f"visit-{A}", f"visit-{B}"}
    assert streams[f"visit-{B}"].startswith("ValidationError")


async def test_a_replay_that_fails_again_changes_nothing(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
        with pytest.raises(ValueError, match="less than no time"):
            await parked.replay(spine.engine, visit_list, f"visit-{A}")
    assert await folded(spine) == {A: 0, B: 40}
    assert len(await spine.rows_in(tables.parked)) == 2


async def test_a_mended_event_is_replayed_with_all_behind_it_and_the_stream_goes_on(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
        await _mend(spine)
        assert await parked.replay(spine.engine, visit_list, f"visit-{A}") == 2
        assert await folded(spine) == {A: 21, B: 40}
        assert await parked.parked_streams(spine.engine) == []
        # The worker that parked it must learn of this by itself.
        more = [replace(fact, position=n, version=9) for n, fact in enumerate(recorded((A, VisitHeld(minutes=5))), 7)]
        await spine.publish(more)
        await spine.seen(visit_list)
    assert await folded(spine) == {A: 26, B: 40}
    assert await spine.rows_in(tables.parked) == []


async def test_a_dropped_event_is_on_record_and_the_rest_is_replayed(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    await parked.drop(spine.engine, visit_list, f"visit-{A}", 3, reason="typing error", actor="operations/zhao")
    [dropped] = await spine.rows_in(tables.dropped)
    assert (dropped["position"], dropped["reason"], dropped["actor"]) == (3, "typing error", "operations/zhao")
    [stream] = await parked.parked_streams(spine.engine)
    assert (stream.position, stream.error) == (5, "queued")
    assert await parked.replay(spine.engine, visit_list, f"visit-{A}") == 1
    assert await folded(spine) == {A: 20, B: 40}


async def test_what_is_not_parked_cannot_be_dropped(spine: Spine) -> None:
    with pytest.raises(LookupError, match="no event of visit-a at position 3 is parked"):
        await parked.drop(spine.engine, visit_list, "visit-a", 3, reason="none", actor="nobody")


async def _mend(spine: Spine) -> None:
    """What stands in for better code: the bad event gets data that the fold takes."""
    async with spine.engine.begin() as connection:
        await connection.execute(
            text("UPDATE projection.parked SET value = convert_to('{\"minutes\": 1}', 'UTF8') WHERE position = 3")
        )


async def test_the_record_of_an_earlier_release_of_what_was_given_up_is_kept_once(spine: Spine) -> None:
    columns = "projection, generation, topic, position, stream_id, reason, actor"
    async with spine.engine.begin() as connection:
        for statement in (
            "ALTER TABLE projection.dropped DROP CONSTRAINT dropped_pkey, ADD COLUMN generation integer",
            "ALTER TABLE projection.dropped ADD PRIMARY KEY (projection, generation, topic, position)",
            "ALTER TABLE projection.parked DROP COLUMN place",
            f"INSERT INTO projection.dropped ({columns}) VALUES ('visit_list', 1, 't', 3, 's', 'r1', 'a')",
            f"INSERT INTO projection.dropped ({columns}) VALUES ('visit_list', 2, 't', 3, 's', 'r2', 'a')",
        ):
            await connection.execute(text(statement))
    for _ in range(2):
        await migrate_projections(spine.engine)
    assert [(row["position"], row["reason"]) for row in await spine.rows_in(tables.dropped)] == [(3, "r2")]
    assert await spine.rows_in(tables.parked) == []

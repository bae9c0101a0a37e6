"""Old generations: kept while somebody may need them, dropped by the workers when nobody does."""

from sqlalchemy import insert, text

from shared.projections import generations, tables
from shared.projections.assignment import Assignment
from shared.projections.definition import Projection
from shared.projections.rebuild import rebuild
from tests.shared.projections.spine import Spine
from tests.shared.projections.test_rebuild import changed_visit_list
from tests.shared.projections.visits import VisitHeld, recorded, visit_list

FACTS = recorded(*((f"v{n}", VisitHeld(minutes=n)) for n in range(10)))


async def rebuilt(spine: Spine, projection: Projection, *, minutes_ago: int) -> None:
    """Generation 1 of `visit_list`, and 2 of the projection, switched to so long ago."""
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert (await rebuild(spine.engine, spine.log, projection, accept_differences=True)).switched_to == 2
    async with spine.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE projection.generation SET old_since = old_since - interval '{minutes_ago} minutes'")
        )


async def kept(spine: Spine) -> list[int]:
    return [row["generation"] for row in await spine.rows_in(tables.generation)]


async def test_a_worker_drops_what_has_been_old_for_long(spine: Spine) -> None:
    await rebuilt(spine, visit_list, minutes_ago=11)

    async def dropped() -> bool:
        return await kept(spine) == [2]

    async with spine.running(visit_list):
        await spine.until(dropped)
    async with spine.engine.connect() as connection:
        schemas = await connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'visit_list%'"))
        assert list(schemas) == ["visit_list_g2"]


async def test_what_was_replaced_just_now_stays_for_those_who_still_read_it(spine: Spine) -> None:
    await rebuilt(spine, visit_list, minutes_ago=9)
    assert await generations.drop_retired(spine.engine, visit_list) == []
    assert await kept(spine) == [1, 2]


async def test_tables_that_a_living_worker_of_the_former_release_has_are_kept_until_it_leaves(spine: Spine) -> None:
    changed, _ = changed_visit_list()
    await rebuilt(spine, changed, minutes_ago=11)
    former = Assignment(spine.engine, "former", {"visit_list": visit_list.shape})
    await former.share()
    await Assignment(spine.engine, "next", {"visit_list": changed.shape}).share()
    for projection in (changed, visit_list):
        assert await generations.drop_retired(spine.engine, projection) == []
    await former.leave()
    assert await generations.drop_retired(spine.engine, changed) == [1]
    assert await kept(spine) == [2]


async def test_a_living_worker_that_does_not_tell_its_tables_may_need_any(spine: Spine) -> None:
    changed, _ = changed_visit_list()
    await rebuilt(spine, changed, minutes_ago=11)
    async with spine.engine.begin() as connection:
        await connection.execute(insert(tables.worker).values(worker_id="silent", seen_at=text("clock_timestamp()")))
    assert await generations.drop_retired(spine.engine, changed) == []

"""Reading what one has written: at once when it is there, refused when nobody works, and cheap while it is awaited."""

import asyncio
from time import monotonic

import pytest
from sqlalchemy import event, insert, text

from shared.projections import generations, tables
from shared.projections.reads import NotBuiltError, NotYetVisibleError, ReadModels
from shared.projections.tokens import BadTokenError, format_token, merge, parse_token
from tests.shared.projections.spine import Spine, partition
from tests.shared.projections.visits import VisitHeld, VisitPlanned, recorded, seller_load, visit, visit_list

FACTS = recorded(("a", VisitPlanned(seller="wang")), ("a", VisitHeld(minutes=30)), ("b", VisitHeld(minutes=5)))


async def test_what_is_there_already_is_answered_although_no_worker_lives(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    assert await spine.rows_in(tables.worker) == []
    assert not await spine.reads.worker_alive()
    await spine.reads.wait_for(spine.token, [visit_list], timeout=0)
    await spine.reads.wait_for(f"visits/{partition('a')}@1", [visit_list], timeout=0)


async def test_what_is_not_there_is_refused_at_once_when_no_worker_lives(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    began = monotonic()
    with pytest.raises(NotYetVisibleError, match="committed, not yet visible: no worker is running"):
        await spine.reads.wait_for(f"visits/{partition('a')}@99", [visit_list], timeout=30)
    assert monotonic() - began < 5


async def test_the_timeout_is_kept_and_names_what_lags(spine: Spine) -> None:
    await generations.ensure_live(spine.engine, visit_list)
    await generations.ensure_live(spine.engine, seller_load)
    async with spine.engine.begin() as connection:
        await connection.execute(insert(tables.worker).values(worker_id="w", seen_at=text("now() + interval '1 hour'")))
    began = monotonic()
    with pytest.raises(NotYetVisibleError, match=r"after 0\.2 s: visit_list, seller_load lag behind"):
        await spine.reads.wait_for("visits/3@1", [visit_list, seller_load], timeout=0.2)
    assert 0.2 <= monotonic() - began < 5


async def test_a_read_waits_for_every_read_model_it_names_and_only_for_its_sources(spine: Spine) -> None:
    await spine.reads.wait_for("orders/3@1000", [visit_list], timeout=0)  # none of its sources
    async with spine.running(visit_list):
        await spine.publish(FACTS)
        await spine.reads.wait_for(spine.token, [visit_list])
        with pytest.raises(NotYetVisibleError, match="seller_load"):
            await spine.reads.wait_for(spine.token, [visit_list, seller_load], timeout=0.1)


async def test_a_malformed_token_is_refused(spine: Spine) -> None:
    with pytest.raises(BadTokenError, match="looks like opportunity/3@1234"):
        await spine.reads.wait_for("visits@3", [visit_list])


async def test_a_hundred_readers_wait_with_the_queries_of_a_few(spine: Spine) -> None:
    reads = ReadModels(spine.engine, spine.bell)
    async with spine.running(visit_list):
        token = format_token({("visits", partition("a")): 2})
        asked = 0

        def count(*_: object) -> None:
            nonlocal asked
            asked += 1

        waiting = [asyncio.create_task(reads.wait_for(token, [visit_list], 20)) for _ in range(100)]
        event.listen(spine.engine.sync_engine, "before_cursor_execute", count)
        await spine.bell.wait(0.3)
        event.remove(spine.engine.sync_engine, "before_cursor_execute", count)
        await spine.publish(FACTS)
        await asyncio.gather(*waiting)
    assert asked < 100


async def test_a_read_model_that_was_never_built_says_so(spine: Spine) -> None:
    with pytest.raises(NotBuiltError, match="visit_list has not been built yet"):
        async with spine.reads.connect(visit_list):
            pass


async def test_a_read_sees_one_moment_of_all_its_read_models_and_cannot_write(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
    async with spine.reads.connect(visit_list, seller_load) as connection:
        assert len((await connection.execute(visit.select())).all()) == 2
        with pytest.raises(Exception, match="read-only transaction"):
            await connection.execute(visit.insert().values(visit_id="x", minutes=1, topics=[]))


def test_tokens() -> None:
    token = {("opportunity", 3): 12, ("account", 0): 7}
    assert format_token(token) == "account/0@7,opportunity/3@12"
    assert parse_token("opportunity/3@12, account/0@7,opportunity/3@9") == token
    assert merge([token, {("account", 0): 9, ("account", 1): 1}]) == token | {("account", 0): 9, ("account", 1): 1}
    for wrong in (
        "",
        "opportunity",
        "opportunity/3",
        "Opportunity/3@1",
        "opportunity/3@-1",
        "a/1@2;b/1@2",
        "a/1@2," * 999,
    ):
        with pytest.raises(BadTokenError):
            parse_token(wrong)

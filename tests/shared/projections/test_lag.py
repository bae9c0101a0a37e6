"""How far behind readers are, what holds them up, and who works."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.projections.lag import lag, workers
from tests.shared.projections.spine import Spine, in_one_partition
from tests.shared.projections.visits import VISITS, VisitHeld, VisitPlanned, recorded, seller_load, visit_list

A, B = in_one_partition(2)
FACTS = recorded((A, VisitPlanned(seller="wang")), (B, VisitPlanned(seller="li")), *(((A, VisitHeld(minutes=1)),) * 3))


async def test_unread_records_are_counted_and_the_oldest_of_them_tells_the_seconds(either_spine: Spine) -> None:
    spine = either_spine
    now = datetime.now(UTC)
    ages = (9_000, 600, 60, 30, 10)
    facts = [replace(fact, recorded_at=now - timedelta(seconds=age)) for fact, age in zip(FACTS, ages, strict=True)]
    await spine.publish(facts[:1])
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
        assert await workers(spine.engine) == ["worker-1"]
    assert await workers(spine.engine) == []
    await spine.publish(facts[1:])
    found = await lag(spine.engine, spine.log)
    assert [(one.reader, one.generation, one.state, one.topic, one.records) for one in found] == [
        ("seller_load", 1, "live", VISITS.topic, 4),
        ("visit_list", 1, "live", VISITS.topic, 4),
    ]
    assert all(600 <= one.seconds < 700 for one in found)
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
    assert [(one.records, one.seconds, one.alarms) for one in await lag(spine.engine, spine.log)] == [(0, 0.0, ())] * 2


async def test_alarms_and_parked_events_are_shown(spine: Spine) -> None:
    facts = recorded((A, VisitHeld(minutes=-1)), (A, VisitHeld(minutes=1)), (B, VisitHeld(minutes=1)))
    await spine.publish(facts, lose={2})

    async def shown() -> bool:
        return bool((await lag(spine.engine, spine.log))[0].alarms)

    async with spine.running(visit_list):
        await spine.until(shown)
    [one] = await lag(spine.engine, spine.log)
    assert one.parked == 1
    assert "missing: after position 1 comes 3" in one.alarms[0]
    assert one.records == 1

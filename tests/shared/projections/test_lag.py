"""How far behind readers are, what holds them up, and who works."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from shared.log.port import Log, LogConsumer
from shared.projections.lag import lag, workers
from shared.projections.rebuild import rebuild
from tests.shared.projections.spine import Spine, in_one_partition, partition
from tests.shared.projections.test_rebuild import changed_visit_list
from tests.shared.projections.visits import (
    VISITS,
    NoteTaken,
    VisitHeld,
    VisitPlanned,
    recorded,
    seller_load,
    visit_list,
)

A, B = in_one_partition(2)
BAD = VisitHeld(minutes=-1)
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
    assert all(600 <= (one.seconds or 0) < 700 for one in found)
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
    assert [(one.records, one.seconds, one.alarms) for one in await lag(spine.engine, spine.log)] == [(0, 0.0, ())] * 2


class Counting:
    """The log, with how many consumers were opened."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.consumers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def consumer(self) -> LogConsumer:
        self.consumers += 1
        return await self._log.consumer()


async def test_one_consumer_tells_the_age_at_every_place_where_a_reader_stands(either_spine: Spine) -> None:
    spine = either_spine
    now = datetime.now(UTC)
    names = [f"v{number}" for number in range(30)]
    ages = {name: 100 * (30 - number) for number, name in enumerate(names)}
    facts = [
        replace(fact, recorded_at=now - timedelta(seconds=ages[name]))
        for name, fact in zip(names, recorded(*((name, VisitPlanned(seller="li")) for name in names)), strict=True)
    ]
    await spine.publish(facts[:10])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    await spine.publish(facts[10:20])
    async with spine.running(seller_load):
        await spine.seen(seller_load)
    await spine.publish(facts[20:])
    log = Counting(spine.log)
    found = {one.reader: one for one in await lag(spine.engine, cast(Log, log))}
    assert log.consumers == 1
    assert {name: one.records for name, one in found.items()} == {"visit_list": 20, "seller_load": 10}
    assert 2_000 <= (found["visit_list"].seconds or 0) < 2_090
    assert 1_000 <= (found["seller_load"].seconds or 0) < 1_090


async def test_what_the_log_does_not_give_in_time_is_unknown_and_never_nothing(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.projections.lag.FETCH_SECONDS", 0.0)
    await spine.publish(FACTS[:1])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    await spine.publish(FACTS[1:])
    [one] = await lag(spine.engine, spine.log)
    assert (one.records, one.seconds) == (4, None)


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


async def test_a_read_model_whose_tables_have_changed_raises_the_alarm_until_it_is_built(spine: Spine) -> None:
    await spine.publish(FACTS)
    async with spine.running(visit_list, seller_load):
        await spine.seen(visit_list, seller_load)
    changed, _ = changed_visit_list()
    async with spine.running(changed, seller_load):
        load, visits = await lag(spine.engine, spine.log)
        assert load.alarms == ()
        assert "keyfold rebuild <service> visit_list --accept-differences" in visits.alarms[0]
        assert visits.alarms[0].startswith("other_tables: ")
        await rebuild(spine.engine, spine.log, changed, accept_differences=True)
        # The old generation, which nobody keeps up to date any more, lags behind nothing that matters.
        shown = [(one.reader, one.generation, one.state, one.alarms) for one in await lag(spine.engine, spine.log)]
        assert shown == [("seller_load", 1, "live", ()), ("visit_list", 2, "live", ())]
        async with spine.running(visit_list, worker="worker-of-the-former-release"):
            assert ("visit_list", 1, "old") in [
                (one.reader, one.generation, one.state) for one in await lag(spine.engine, spine.log)
            ]


async def test_an_event_that_only_newer_code_knows_is_noted_until_that_has_built_the_read_model(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = spine.encoded(recorded((A, VisitPlanned(seller="wang")), (A, VisitHeld(minutes=5)), (A, BAD)))
    renamed = {**facts[1].headers, "ce_type": "visits.visit_dreamt"}
    await spine.send([facts[0], replace(facts[1], headers=renamed), facts[2]])
    async with spine.running(visit_list):
        await spine.seen(visit_list)
    [one] = await lag(spine.engine, spine.log)
    assert (one.records, one.parked, one.alarms) == (0, 1, ())
    assert one.notes == (f"{partition(A)}: unknown_type: visits.visit_dreamt at position 2 was passed over",)
    await rebuild(spine.engine, spine.log, visit_list)  # by code that is as old
    assert [one.notes != () for one in await lag(spine.engine, spine.log)] == [True]
    monkeypatch.setitem(VISITS.events, "visits.visit_dreamt", NoteTaken)
    await rebuild(spine.engine, spine.log, visit_list)
    assert [(one.generation, one.notes) for one in await lag(spine.engine, spine.log)] == [(3, ())]

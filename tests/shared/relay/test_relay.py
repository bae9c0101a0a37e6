"""The relay publishes everything, in order, whatever fails between; duplicates are allowed, gaps never."""

import asyncio
from typing import Any

from shared.eventstore.store import EventStore
from shared.log.cloudevents import decode_record
from shared.log.open import open_log
from shared.relay.relay import Relay
from tests.shared.eventstore.bank import BANK, request
from tests.shared.relay.house import House, until


async def test_events_go_out_in_order_each_naming_the_one_before_it(either_house: House) -> None:
    house = either_house
    await house.append(40)
    await house.append(20, account="one")
    relay = house.relay(batch=7)
    async with house.running(relay):
        await house.published(relay)
        await house.append(30)
        await house.published(relay)
    await house.check_complete()
    chains = await house.chains()
    assert len(chains) > 6
    records = [record for number in range(12) for record in await house.partition(number)]
    assert len(records) == 90
    assert {record.headers["ce_source"] for record in records} == {"/keyfold/bank"}
    assert all(record.key == decode_record(record)[0].stream_id for record in records)
    assert (relay.status().state, relay.status().published, relay.status().failures) == ("stopped", 90, 0)


async def test_a_restart_goes_on_at_the_cursor(either_house: House) -> None:
    house = either_house
    for n in (3, 5, 8):
        await house.append(n)
        await house.publish_all()
    assert sum([len(await house.partition(number)) for number in range(12)]) == 16
    await house.check_complete()


async def test_what_another_process_appends_is_published(house: House) -> None:
    other = await EventStore.open(house.dsn, BANK)
    relay = house.relay()
    async with house.running(relay):
        await other.append(request({"account-other": 0}))
        await house.published(relay)
        assert await house.behind() == 0
    await other.append(request({"account-other": 1}))
    assert await house.behind() == 1
    await other.close()


async def test_connections_that_are_killed_leave_no_gap(house: House) -> None:
    """The log's, the store's and the relay's own, again and again while events are appended."""
    relay = house.relay(batch=5)
    async with house.running(relay):
        for _ in range(8):
            await house.append(12)
            await house.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND application_name IN ('keyfold relay', 'keyfold log')"
            )
        await house.published(relay)
        assert relay.status().failures > 0
        await until(lambda: _state(relay, "publishing"))
        assert relay.status().error is None
    await house.check_complete()


async def test_a_log_that_takes_nothing_is_tried_again_until_it_does(house: House) -> None:
    relay = house.relay()
    async with house.running(relay):
        await until(lambda: _state(relay, "publishing"))
        await house.execute("ALTER TABLE log.record RENAME TO elsewhere")
        await house.append(5)
        await until(lambda: _state(relay, "retrying"))
        assert "record" in str(relay.status().error)
        assert relay.status().position == 0
        await house.execute("ALTER TABLE log.elsewhere RENAME TO record")
        await house.published(relay)
    await house.check_complete()


async def test_a_broker_that_is_killed_and_comes_back_has_missed_nothing(house: House, kafka_broker: Any) -> None:
    log = open_log(f"kafka://{await asyncio.to_thread(kafka_broker.start)}")
    await log.create_topic(BANK.topic)
    there = House(house.dsn, house.store, log)
    relay = there.relay(batch=10)
    try:
        async with there.running(relay):
            await there.append(20)
            await there.published(relay)
            await asyncio.to_thread(kafka_broker.kill)
            await there.append(20)
            await asyncio.to_thread(kafka_broker.start)
            await there.published(relay)
        await there.check_complete()
    finally:
        await log.close()


async def test_one_of_two_relays_leads_and_the_other_takes_over(house: House) -> None:
    first, second = house.relay(), house.relay()
    async with house.running(second):
        async with house.running(first):
            await until(lambda: _leading(first, second))
            await house.append(10)
            await until(lambda: _out(house))
            states = sorted([first.status().state, second.status().state])
            assert states == ["publishing", "standby"]
        await house.append(10)
        await house.published(second)
        assert second.status().state == "publishing"
    await house.check_complete()
    assert sum([len(await house.partition(number)) for number in range(12)]) == 20


async def test_a_leader_whose_session_dies_loses_the_lease(house: House) -> None:
    first, second = house.relay(), house.relay()
    async with house.running(first), house.running(second):
        for _ in range(5):
            await until(lambda: _leading(first, second))
            await house.append(10)
            await house.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND a.application_name = 'keyfold relay' "
                "AND a.datname = current_database() AND l.granted"
            )
        await until(lambda: _out(house))
    await house.check_complete()


async def test_a_relay_that_is_told_to_stop_before_it_leads_stops(house: House) -> None:
    first, second = house.relay(), house.relay()
    async with house.running(first):
        await until(lambda: _state(first, "publishing"))
        async with house.running(second):
            await until(lambda: _state(second, "standby"))
        assert second.status().state == "stopped"


async def _state(relay: Relay, state: str) -> bool:
    return relay.status().state == state


async def _leading(*relays: Relay) -> bool:
    return any(relay.status().state == "publishing" for relay in relays)


async def _out(house: House) -> bool:
    """Is everything published, by whichever?"""
    return await house.behind() == 0

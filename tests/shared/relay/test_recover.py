"""`republish` sends again, `recover` brings back from the log what a restored store has lost."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.eventstore.commands import Commands, IdempotencyMismatchError
from shared.kit.clock import FixedClock
from shared.log.open import open_log
from shared.log.port import LogUnavailableError, NewRecord
from shared.relay.partition import partition_of
from shared.relay.recover import LOST_TYPE, RecoveryRefusedError, recover
from shared.relay.republish import republish
from tests.faults.fake_log import FallingSilent, Hesitant
from tests.shared.eventstore.bank import BANK, NOW, command, context, pay_in, request
from tests.shared.relay.house import House, until

COUNT_OFFSETS = (
    "UPDATE log.partition p SET next_offset = (SELECT count(*) FROM log.record r "
    "WHERE r.topic = p.topic AND r.partition = p.partition)"
)


async def records(house: House) -> int:
    return sum(after for _, after in (await house.log.bounds(BANK.topic)).values())


async def test_republishing_sends_everything_after_a_position_again(either_house: House) -> None:
    house = either_house
    await house.append(30)
    await house.publish_all()
    sent = await republish(house.dsn, house.store, 10)
    assert (sent.topic, sent.first, sent.last) == (BANK.topic, 11, 30)
    await house.publish_all()
    assert await records(house) == 50
    await house.check_complete()


async def test_a_relay_that_runs_notices_that_it_is_to_send_again(house: House) -> None:
    await house.append(30)
    relay = house.relay(batch=4)
    async with house.running(relay):
        await house.published(relay)
        await republish(house.dsn, house.store, 0)
        await house.append(5)
        await until(lambda: _has(house, 65))
        await house.published(relay)
    await house.check_complete()


async def test_a_relay_that_has_nothing_else_to_do_notices_too(house: House) -> None:
    await house.append(30)
    relay = house.relay()
    async with house.running(relay):
        await house.published(relay)
        await republish(house.dsn, house.store, 10)
        await until(lambda: _has(house, 50))
    await house.check_complete()


async def test_a_record_in_the_middle_that_is_lost_is_healed(house: House) -> None:
    """A reader that misses one takes nothing more of the partition until it has met that one, and all after it."""
    await house.append(20, account="one")
    await house.publish_all()
    await house.execute("DELETE FROM log.record WHERE (headers->>'ce_keyfoldposition')::int = 8")
    await republish(house.dsn, house.store, 7)
    await house.publish_all()
    taken = await house.fetch(
        "SELECT (headers->>'ce_keyfoldposition')::int p, (headers->>'ce_keyfoldprevious')::int q "
        "FROM log.record ORDER BY partition, record_offset"
    )
    at = 0
    for record in taken:
        if record["p"] > at and record["q"] == at:
            at = record["p"]
    assert at == 20


@pytest.mark.parametrize("after", [-1, 31])
async def test_what_is_not_published_cannot_be_published_again(house: House, after: int) -> None:
    await house.append(30)
    await house.publish_all()
    with pytest.raises(ValueError, match=r"events 0 to 30 of .* are published"):
        await republish(house.dsn, house.store, after)


async def test_a_restored_store_gets_its_later_events_back(either_house: House) -> None:
    house = either_house
    await house.append(20)
    await house.append(10, account="one")
    await house.publish_all()
    before = await house.store.envelopes(0, 100)
    await house.restore(17)
    report = await recover(house.dsn, house.log, BANK)
    assert (report.before, report.after, report.recovered, report.read, report.lost) == (17, 30, 13, 30, ())
    assert await house.store.envelopes(0, 100) == before
    # And life goes on: what is appended now follows, and is published.
    await house.append(5, account="one")
    assert await house.store.head() == 35
    await house.publish_all()
    await house.check_complete()


async def test_a_store_that_was_empty_is_filled(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    before = await house.store.envelopes(0, 100)
    await house.restore(0)
    assert (await recover(house.dsn, house.log, BANK)).recovered == 20
    assert await house.store.envelopes(0, 100) == before
    [head] = await house.fetch("SELECT position, recorded_at FROM store.head")
    assert (head["position"], head["recorded_at"]) == (20, before[-1].recorded_at)


async def test_a_store_that_has_all_loses_nothing_by_recovery(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await house.append(3)
    report = await recover(house.dsn, house.log, BANK)
    assert (report.before, report.after, report.recovered) == (23, 23, 0)


async def test_duplicates_in_the_log_are_recovered_once(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await republish(house.dsn, house.store, 5)
    await house.publish_all()
    await house.restore(3)
    report = await recover(house.dsn, house.log, BANK)
    assert (report.recovered, report.read) == (17, 35)
    await house.publish_all()
    await house.check_complete()


async def test_events_that_were_never_published_are_named_and_need_consent(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await house.execute("DELETE FROM log.record WHERE (headers->>'ce_keyfoldposition')::int IN (15, 17)")
    await house.restore(12)
    with pytest.raises(RecoveryRefusedError, match="2 events were never published and are lost, positions 15, 17"):
        await recover(house.dsn, house.log, BANK)
    assert await house.store.head() == 12
    report = await recover(house.dsn, house.log, BANK, accept_loss=True)
    assert (report.recovered, report.lost, report.after) == (6, (15, 17), 20)
    envelopes = await house.store.envelopes(0, 100)
    assert [each.position for each in envelopes] == list(range(1, 21))
    assert [each.position for each in envelopes if each.type_name == LOST_TYPE] == [15, 17]
    moments = [each.recorded_at for each in envelopes]
    assert moments == sorted(moments)


async def test_a_slow_log_is_read_to_its_end(house: House) -> None:
    log = Hesitant(1)
    await log.create_topic(BANK.topic)
    there = House(house.dsn, house.store, log)
    await there.append(40)
    await there.publish_all()
    await there.restore(12)
    report = await recover(there.dsn, log, BANK)
    assert (report.recovered, report.read) == (28, 40)


async def test_what_could_not_be_read_is_not_called_lost(house: House) -> None:
    log = FallingSilent(1)
    await log.create_topic(BANK.topic)
    there = House(house.dsn, house.store, log)
    await there.append(20)
    await there.publish_all()
    await there.restore(12)
    with pytest.raises(LogUnavailableError, match="is not read to its end"):
        await recover(there.dsn, log, BANK, accept_loss=True)
    assert await there.store.head() == 12


async def test_two_histories_are_not_mixed(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await house.restore(12)
    await house.append(2)
    with pytest.raises(RecoveryRefusedError, match="at position 13 the log has event"):
        await recover(house.dsn, house.log, BANK)
    assert await house.store.head() == 14


async def test_a_record_that_is_none_of_ours_is_named(house: House) -> None:
    await house.append(5)
    await house.publish_all()
    await house.send(NewRecord(BANK.topic, 5, "stranger", b"hello", {}))
    await house.restore(2)
    with pytest.raises(RecoveryRefusedError, match=r"somebody else writes to .* has no header"):
        await recover(house.dsn, house.log, BANK)
    assert await house.store.head() == 2


async def test_a_log_that_has_lost_its_beginning_cannot_vouch(house: House, kafka: str) -> None:
    log = open_log(f"kafka://{kafka}")
    await log.create_topic(BANK.topic)
    there = House(house.dsn, house.store, log)
    await there.append(5, account="one")
    await there.publish_all()
    await there.restore(2)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    number = partition_of("account-one")
    await admin.delete_records({TopicPartition(BANK.topic, number): RecordsToDelete(before_offset=1)})
    await admin.close()
    with pytest.raises(RecoveryRefusedError, match=rf"the log no longer has its beginning.*{{{number}: 1}}"):
        await recover(there.dsn, log, BANK)
    await log.close()
    assert await there.store.head() == 2


async def test_nothing_is_recovered_while_a_relay_runs(house: House) -> None:
    await house.append(5)
    relay = house.relay()
    async with house.running(relay):
        await house.published(relay)
        with pytest.raises(RecoveryRefusedError, match="is running; stop the service first"):
            await recover(house.dsn, house.log, BANK)


async def test_commands_go_on_with_recovered_streams(house: House) -> None:
    commands = Commands(house.store, b"secret", FixedClock(NOW))
    for _ in range(3):
        await commands.run(context(), {}, pay_in("one", 100))
    await house.publish_all()
    await house.restore(1)
    await recover(house.dsn, house.log, BANK)
    fresh = Commands(house.store, b"secret", FixedClock(NOW))
    outcome = await fresh.run(context(), {}, pay_in("one", 100))
    assert (outcome.answer, outcome.version) == ({"balance": 400}, 4)


async def test_a_command_that_is_given_again_after_a_recovery_gets_its_first_answer(either_house: House) -> None:
    house = either_house
    commands = Commands(house.store, b"secret", FixedClock(NOW))
    first = [await commands.run(context(f"k{n}"), {"n": n}, pay_in("one", 100 + n)) for n in range(3)]
    await commands.run(context(), {}, pay_in("one", 1))
    await house.publish_all()
    await house.restore(1)
    report = await recover(house.dsn, house.log, BANK)
    assert (report.recovered, report.commands) == (3, 2)
    fresh = Commands(house.store, b"secret", FixedClock(NOW))
    for n, outcome in enumerate(first):
        again = await fresh.run(context(f"k{n}"), {"n": n}, pay_in("one", 100 + n))
        assert again.replayed
        assert (again.answer, again.versions) == (outcome.answer, outcome.versions)
        assert (again.first, again.last) == (outcome.first, outcome.last)
    with pytest.raises(IdempotencyMismatchError):
        await fresh.run(context("k1"), {"n": 2}, pay_in("one", 100))
    assert await house.store.head() == 4


async def test_half_of_a_command_is_not_brought_back_as_a_whole(house: House) -> None:
    """Only the first of three events was published."""
    await house.append(4)
    given = command("tester/three")
    await house.store.append(
        request({"account-one": 0, "account-two": 0}, {"account-one": 2, "account-two": 1}, command=given)
    )
    await house.publish_all()
    await house.execute("DELETE FROM log.record WHERE (headers->>'ce_keyfoldposition')::int > 5")
    await house.restore(3)
    with pytest.raises(RecoveryRefusedError, match="2 events were never published and are lost, positions 6, 7"):
        await recover(house.dsn, house.log, BANK)
    assert await house.store.head() == 3
    report = await recover(house.dsn, house.log, BANK, accept_loss=True)
    assert (report.recovered, report.lost, report.after, report.commands) == (2, (6, 7), 7, 0)
    assert await house.store.command("tester/three") is None
    envelopes = await house.store.envelopes(4, 100)
    assert [each.type_name for each in envelopes] == ["bank.paid_in", LOST_TYPE, LOST_TYPE]
    assert len({each.recorded_at for each in envelopes}) == 1
    await house.append(1)
    assert await house.store.head() == 8


async def test_two_recoveries_at_once(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await house.restore(10)
    results = await asyncio.gather(
        recover(house.dsn, house.log, BANK), recover(house.dsn, house.log, BANK), return_exceptions=True
    )
    assert await house.store.head() == 20
    assert sum(isinstance(result, RecoveryRefusedError) for result in results) <= 1
    assert not [result for result in results if isinstance(result, BaseException) and not _refused(result)]


def _refused(result: BaseException) -> bool:
    return isinstance(result, RecoveryRefusedError)


async def _has(house: House, count: int) -> bool:
    return await records(house) >= count

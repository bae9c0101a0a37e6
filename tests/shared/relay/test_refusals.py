"""When a relay must not start, and what it says then."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.kit.postgres_server import start_postgres
from shared.log.cloudevents import encode_record
from shared.log.open import open_log
from shared.log.port import Log, NewRecord, UnknownTopicError
from shared.relay.checks import RelayRefusedError
from shared.relay.partition import partition_of
from shared.relay.relay import Relay
from shared.relay.republish import republish
from tests.shared.eventstore.bank import BANK
from tests.shared.relay.conftest import open_house
from tests.shared.relay.house import House, until


async def refused(house: House, relay: Relay | None = None) -> str:
    """The reason for which a relay does not start: neither when asked nor when run. Nothing is published."""
    relay = relay or house.relay()
    before = await house.log.bounds(BANK.topic)
    with pytest.raises(RelayRefusedError) as asked:
        await relay.start_checks()
    with pytest.raises(RelayRefusedError) as run:
        await relay.run(asyncio.Event())
    assert str(run.value) == str(asked.value)
    assert (relay.status().state, relay.status().error) == ("refused", str(run.value))
    assert await house.log.bounds(BANK.topic) == before
    return str(run.value)


async def test_a_topic_of_another_size(either_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BANK, "topic", f"keyfold.bank-{uuid4().hex}.events")
    await either_house.log.create_topic(BANK.topic, 3)
    assert "has 3 partitions, not 12" in await refused(either_house)


async def test_a_topic_that_does_not_exist(either_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BANK, "topic", f"keyfold.bank-{uuid4().hex}.events")
    with pytest.raises(RelayRefusedError, match="does not exist; `keyfold migrate` creates it"):
        await either_house.relay().start_checks()


async def test_a_store_that_is_behind_the_log(either_house: House) -> None:
    house = either_house
    await house.append(20)
    await house.publish_all()
    await house.restore(12)
    assert "`keyfold recover bank`" in await refused(house)


async def test_a_store_that_is_behind_its_own_cursor(house: House) -> None:
    await house.append(20)
    await house.publish_all()
    await house.restore(12, cursor=False)
    reason = await refused(house)
    assert "20 events" in reason
    assert "has only 12" in reason
    assert "`keyfold recover bank`" in reason


async def test_a_store_that_has_gone_on_by_itself_after_a_restore(either_house: House) -> None:
    house = either_house
    await house.append(20)
    await house.publish_all()
    await house.restore(12)
    await house.append(20)
    reason = await refused(house)
    assert "where the store has another" in reason
    assert "reconciled by hand" in reason


async def test_a_record_that_is_none_of_ours(either_house: House) -> None:
    house = either_house
    await house.append(20)
    await house.publish_all()
    await house.send(NewRecord(BANK.topic, 5, "stranger", b"hello", {"from": "elsewhere"}))
    reason = await refused(house)
    assert f"the last record of {BANK.topic}/5 is none of ours" in reason


async def test_an_event_in_the_wrong_partition(house: House) -> None:
    await house.append(1)
    [envelope] = await house.store.envelopes(0, 1)
    wrong = (partition_of(envelope.stream_id) + 1) % 12
    await house.send(encode_record(envelope, service="bank", topic=BANK.topic, partition=wrong, previous=0))
    assert "belongs to another partition" in await refused(house)


async def test_published_events_that_the_log_has_lost_and_their_healing(house: House) -> None:
    await house.append(40)
    await house.publish_all()
    # A log that is restored to an older moment: the later half is gone.
    await house.execute("DELETE FROM log.record WHERE (headers->>'ce_keyfoldposition')::int > 17")
    await house.execute(
        "UPDATE log.partition p SET next_offset = (SELECT count(*) FROM log.record r "
        "WHERE r.topic = p.topic AND r.partition = p.partition)"
    )
    reason = await refused(house)
    assert "the log has lost published events" in reason
    after = int(reason.split("--after ")[1].split("`")[0])
    assert after <= 17
    await republish(house.dsn, house.store, after)
    await house.publish_all()
    await house.check_complete()


async def test_a_log_that_is_lost_altogether_is_filled_again(house: House, kafka: str) -> None:
    log = open_log(f"kafka://{kafka}")
    await log.create_topic(BANK.topic)
    there = House(house.dsn, house.store, log)
    await there.append(40)
    await there.publish_all()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_topics([BANK.topic])
    await admin.close()
    await until(lambda: _gone(log))
    with pytest.raises(RelayRefusedError, match="does not exist; `keyfold migrate` creates it"):
        await there.relay().start_checks()
    await log.create_topic(BANK.topic)
    assert "`keyfold republish bank --after 0` sends them again" in await refused(there)
    await republish(there.dsn, there.store, 0)
    await there.publish_all()
    await there.check_complete()
    await log.close()


async def _gone(log: Log) -> bool:
    try:
        await log.partitions(BANK.topic)
    except UnknownTopicError:
        return True
    return False


async def test_a_late_duplicate_at_the_end_is_no_loss(house: House) -> None:
    await house.append(40)
    await house.publish_all()
    envelope = (await house.store.envelopes(0, 1))[0]
    number = partition_of(envelope.stream_id)
    record = (await house.partition(number))[0]
    await house.send(NewRecord(record.topic, number, record.key, record.value, record.headers))
    await house.append(1)
    await house.publish_all()
    await house.check_complete()


async def test_positions_that_are_not_dense(house: House) -> None:
    await house.append(5)
    await house.execute("DELETE FROM store.event WHERE position = 3")
    relay = house.relay()
    with pytest.raises(RelayRefusedError, match="has no event 3 but has 4: it is damaged"):
        await relay.run(asyncio.Event())
    assert sum(after for _, after in (await house.log.bounds(BANK.topic)).values()) == 0


async def test_a_session_that_loses_what_it_acknowledged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.execute(f"ALTER DATABASE {urlsplit(house.dsn).path[1:]} SET synchronous_commit = off")
    async with open_house(house.dsn, house.dsn, monkeypatch) as lossy:
        with pytest.raises(RelayRefusedError, match="synchronous_commit = off"):
            await lossy.relay().start_checks()


@pytest.fixture
def lossy_server(tmp_path: Path) -> Iterator[str]:
    server = start_postgres(tmp_path / "postgres")
    try:
        yield server.dsn("postgres")
    finally:
        server.stop()


async def test_a_server_without_fsync(lossy_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await asyncpg.connect(lossy_server)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")

    async def off() -> bool:
        return bool(await connection.fetchval("SELECT current_setting('fsync') = 'off'"))

    await until(off)
    await connection.close()
    async with open_house(lossy_server, lossy_server, monkeypatch) as lossy:
        assert "fsync = off" in await refused(lossy)


async def test_a_relay_that_was_refused_may_start_when_the_cause_is_gone(house: House) -> None:
    await house.append(10)
    await house.publish_all()
    await house.send(NewRecord(BANK.topic, 3, "x", b"x", {}))
    relay = house.relay()
    await refused(house, relay)
    await house.execute("DELETE FROM log.record WHERE key = 'x'")
    await house.execute(
        "UPDATE log.partition p SET next_offset = (SELECT count(*) FROM log.record r "
        "WHERE r.topic = p.topic AND r.partition = p.partition)"
    )
    await house.append(5)
    async with house.running(relay):
        await house.published(relay)
    await house.check_complete()

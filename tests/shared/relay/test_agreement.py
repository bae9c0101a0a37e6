"""Nothing is appended to a store that has not been seen to agree with its log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.contracts.refusal import RefusedError
from shared.eventstore.commands import Commands
from shared.eventstore.store import EventStore
from shared.eventstore.types import AppendsRefusedError
from shared.kit.clock import FixedClock
from shared.kit.postgres_server import start_postgres
from shared.log.open import open_log
from shared.log.port import Log
from shared.relay.agreement import Agreement
from shared.relay.recover import recover
from tests.e2e.conftest import free_port
from tests.shared.eventstore.bank import BANK, NOW, PaidIn, command, context, pay_in, pay_out, request
from tests.shared.relay.conftest import open_house
from tests.shared.relay.house import House


@asynccontextmanager
async def guarded(house: House, log: Log | None = None) -> AsyncIterator[EventStore]:
    """The store as a process has it that starts now."""
    agreement = Agreement(house.dsn, log or house.log, BANK)
    store = await EventStore.open(house.dsn, BANK, guard=agreement)
    try:
        yield store
    finally:
        await store.close()
        await agreement.close()


async def refused(store: EventStore, stream: str = "account-new") -> str:
    """What is said against an append, alone, as one of many, and in bulk."""
    head = await store.head()
    wanted = [request({f"{stream}-{number}": 0}) for number in range(3)]
    told = await asyncio.gather(*(store.append(one) for one in wanted), return_exceptions=True)
    with pytest.raises(AppendsRefusedError) as bulk:
        await store.append_bulk(wanted)
    assert {(type(one), str(one)) for one in told} == {(AppendsRefusedError, str(bulk.value))}
    assert await store.head() == head
    return str(bulk.value)


async def forget(house: House) -> None:
    """What a restore brings along: the mark of a server's run that is over."""
    await house.execute("UPDATE store.agreement SET incarnation = 'that of a backup'")


async def test_a_restored_store_takes_nothing_before_it_is_recovered(either_house: House) -> None:
    house = either_house
    await house.append(20)
    await house.publish_all()
    await house.restore(12)
    await forget(house)
    async with guarded(house) as store:
        reason = await refused(store)
        assert "the store has only 12" in reason
        assert "`keyfold recover bank`" in reason
        assert len(await store.envelopes(0, 100)) == 12
        await recover(house.dsn, house.log, BANK)
    async with guarded(house) as store:
        assert (await store.append(request({"account-new": 0}))).first == 21
    await house.publish_all()
    await house.check_complete()


async def test_a_new_store_and_one_that_agrees_are_appended_to(either_house: House) -> None:
    house = either_house
    async with guarded(house) as store:
        assert (await store.append(request({"account-one": 0}))).first == 1
    await house.append(10)
    await house.publish_all()
    await forget(house)
    async with guarded(house) as store:
        assert (await store.append_bulk([request({"account-two": 0})]))[0].first == 12


async def test_a_log_that_is_away_stops_nobody_who_was_compared_before(house: House) -> None:
    await house.append(3)
    await house.publish_all()
    away = open_log(f"kafka://127.0.0.1:{free_port()}")
    async with guarded(house, away) as store:
        assert (await store.append(request({"account-one": 0}))).first == 4
        await forget(house)
        assert (await store.append(request({"account-one": 1}))).first == 5
    async with guarded(house, away) as store:
        reason = await refused(store)
        assert "cannot be compared now" in reason
        assert "reads go on" in reason
        assert len(await store.envelopes(0, 100)) == 5
    async with guarded(house) as store:
        await store.append(request({"account-one": 2}))
    await away.close()


async def test_a_process_notices_that_what_it_acknowledged_is_gone(house: House) -> None:
    """A fail-over to a server that lags: the events that it lacks had not been published either."""
    async with guarded(house) as store:
        for number in range(5):
            await store.append(request({f"account-{number}": 0}))
        await house.restore(3)
        await house.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(AppendsRefusedError, match=r"acknowledged events up to position 5 .* the store has only 3"):
            await store.append(request({"account-new": 0}, command=command("tester/1")))
    async with guarded(house) as store:
        assert (await store.append(request({"account-new": 0}))).first == 4


DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def test_a_process_notices_that_another_event_is_where_it_appended(house: House) -> None:
    """As above, and another process has appended to the new server before this one is back."""
    async with guarded(house) as store:
        for number in range(5):
            await store.append(request({f"account-{number}": 0}))
        await house.restore(3)
        await house.append(4)
        await house.execute(DISCONNECT)
        with pytest.raises(AppendsRefusedError, match="at position 5 the store has another than this process appended"):
            await store.append(request({"account-new": 0}, command=command("tester/1")))
    async with guarded(house) as store:
        assert (await store.append(request({"account-new": 0}))).first == 8


async def test_nothing_is_decided_on_what_was_read_from_another_server(house: House) -> None:
    """A stream has the same version on both, and another balance."""
    async with guarded(house) as store:
        commands = Commands(store, b"secret", FixedClock(NOW))
        await house.store.append(request({"account-one": 0}, event=PaidIn(minor=500)))
        await commands.run(context("k1"), {}, pay_in("one", 0))
        await house.execute("UPDATE store.event SET data = '{\"minor\": 7}' WHERE position = 1")
        await house.execute(_TABLES_OF_ITS_OWN)
        await house.execute(DISCONNECT)
        with pytest.raises(RefusedError, match="the balance is too low"):
            await commands.run(context("k2"), {}, pay_out("one", 100))
        assert await store.head() == 1


_TABLES_OF_ITS_OWN = """
CREATE TABLE store.copy (LIKE store.event INCLUDING ALL);
INSERT INTO store.copy SELECT * FROM store.event;
DROP TABLE store.event;
ALTER TABLE store.copy RENAME TO event
"""


async def test_each_run_of_the_server_is_compared_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose files were put back to an older moment is the same server to itself: only its log knows."""
    server = await asyncio.to_thread(start_postgres, tmp_path / "server")
    try:
        async with open_house(server.dsn(), database, monkeypatch) as house, guarded(house) as store:
            await store.append(request({"account-one": 0}))
            [before] = await house.fetch("SELECT incarnation, agreed_at FROM store.agreement")
            async with guarded(house) as another:
                await another.append(request({"account-one": 1}))
            assert await house.fetch("SELECT incarnation, agreed_at FROM store.agreement") == [before]
            await asyncio.to_thread(server.stop)
            server = await asyncio.to_thread(start_postgres, tmp_path / "server")
            again = request(
                {"account-one": 2}, command=command("tester/1")
            )  # may be sent again: the connection is gone
            assert (await store.append(again)).first == 3
            [after] = await house.fetch("SELECT incarnation, agreed_at FROM store.agreement")
            assert after["incarnation"] != before["incarnation"]
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_relay_that_has_compared_leaves_the_mark(house: House) -> None:
    await house.append(3)
    await house.publish_all()
    away = open_log(f"kafka://127.0.0.1:{free_port()}")
    async with guarded(house, away) as store:
        await store.append(request({"account-one": 0}))
    await away.close()

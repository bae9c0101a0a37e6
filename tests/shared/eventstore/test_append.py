"""Appending: dense positions and versions, all or nothing, whoever else writes."""

import asyncio
from collections import defaultdict

import asyncpg
import pytest

from shared.eventstore.store import EventStore, NotDurableError
from shared.eventstore.types import (
    CommandSeenError,
    EventTooLargeError,
    StoreBusyError,
    VersionConflictError,
)
from tests.shared.eventstore.bank import PaidIn, command, request
from tests.shared.eventstore.conftest import OpenStore


async def assert_dense(store: EventStore) -> int:
    """Positions 1…n, versions 1…n of each stream, `recorded_at` never decreasing; n."""
    envelopes = await store.envelopes(0, 100_000)
    versions: dict[str, list[int]] = defaultdict(list)
    for envelope in envelopes:
        versions[envelope.stream_id].append(envelope.version)
    assert [e.position for e in envelopes] == list(range(1, len(envelopes) + 1))
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    moments = [e.recorded_at for e in envelopes]
    assert moments == sorted(moments)
    assert await store.head() == len(envelopes)
    return len(envelopes)


async def test_events_come_back_as_they_were_appended(store: EventStore) -> None:
    asked = request({"account-1": 0}, {"account-1": 2}, event=PaidIn(minor=5, note="工商银行"))
    appended = await store.append(asked)
    assert (appended.first, appended.last, appended.versions) == (1, 2, {"account-1": 2})
    first, second = await store.load("account-1")
    assert (first.position, first.version, first.event) == (1, 1, PaidIn(minor=5, note="工商银行"))
    assert (first.event_id, first.correlation_id) == (asked.events[0].event_id, asked.correlation_id)
    assert (first.occurred_at, first.recorded_at) == (asked.events[0].occurred_at, appended.recorded_at)
    assert await store.load("account-1", after_version=1) == [second]
    assert await store.version("account-1") == 2
    assert await store.version("account-2") == 0


async def test_a_wrong_expectation_writes_nothing_and_names_the_true_versions(store: EventStore) -> None:
    await store.append(request({"account-1": 0}, {"account-1": 3}))
    with pytest.raises(VersionConflictError) as conflict:
        await store.append(request({"account-1": 2, "account-2": 1, "account-3": 0}))
    assert conflict.value.actual == {"account-1": 3, "account-2": 0}
    assert await assert_dense(store) == 3


async def test_several_streams_are_written_together_and_others_only_asserted(store: EventStore) -> None:
    await store.append(request({"account-asserted": 0}))
    appended = await store.append(
        request({"account-a": 0, "account-b": 0, "account-asserted": 1}, {"account-a": 1, "account-b": 2})
    )
    assert appended.versions == {"account-a": 1, "account-b": 2}
    with pytest.raises(VersionConflictError) as conflict:
        await store.append(request({"account-c": 0, "account-asserted": 0}, {"account-c": 1}))
    assert conflict.value.actual == {"account-asserted": 1}
    assert await store.version("account-c") == 0
    only_asserted = await store.append(request({"account-asserted": 1}, {}))
    assert (only_asserted.first, only_asserted.last) == (0, 0)
    assert await assert_dense(store) == 4


async def test_requests_that_wait_together_do_not_spoil_each_other(store: EventStore) -> None:
    """One statement carries good ones, stale ones, ones on a shared stream, and one that the database cannot take."""
    await store.append(request({"account-old": 0}))
    results = await asyncio.gather(
        store.append(request({"account-1": 0})),
        store.append(request({"account-1": 0})),
        store.append(request({"account-old": 0})),
        store.append(request({"account-zero\0": 0})),
        store.append(request({"account-2": 0}, {"account-2": 3})),
        store.append(request({"account-1": 1})),
        return_exceptions=True,
    )
    kinds = [type(result).__name__ for result in results]
    assert kinds[1:5] == ["VersionConflictError", "VersionConflictError", "CharacterNotInRepertoireError", "Appended"]
    assert {kinds[0], kinds[5]} == {"Appended"}
    assert await assert_dense(store) == 6


async def test_of_two_that_each_assert_what_the_other_writes_one_succeeds(store: EventStore) -> None:
    both = {"account-1": 0, "account-2": 0}
    results = await asyncio.gather(
        store.append(request(both, {"account-1": 1})),
        store.append(request(both, {"account-2": 1})),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Appended", "VersionConflictError"]
    assert await assert_dense(store) == 1


async def test_of_one_command_sent_twice_at_once_one_is_carried_out(store: EventStore) -> None:
    results = await asyncio.gather(
        *(store.append(request({f"account-{n}": 0}, command=command("tester/1"))) for n in range(5)),
        return_exceptions=True,
    )
    seen = [result for result in results if isinstance(result, CommandSeenError)]
    assert len(seen) == 4
    assert {(found.record.first, found.record.last) for found in seen} == {(1, 1)}
    assert await assert_dense(store) == 1


async def test_two_writers_racing_on_the_same_streams(open_store: OpenStore) -> None:
    """Two stores, as two processes: every success is one event more on its stream, and nothing has a hole."""
    stores = [await open_store(), await open_store()]
    moved: list[bool] = []

    async def writer(store: EventStore, number: int) -> int:
        written = 0
        for turn in range(30):
            streams = {f"account-{(number + turn) % 5}": 0, f"account-{(number * 3 + turn * 7) % 5}": 0}
            expected = await store.versions(list(streams))
            try:
                await store.append(request(expected, dict.fromkeys(streams, 1)))
            except VersionConflictError as conflict:
                moved.append(all(actual > expected[stream] for stream, actual in conflict.actual.items()))
            else:
                written += len(streams)
        return written

    written = await asyncio.gather(*(writer(stores[n % 2], n) for n in range(16)))
    assert await assert_dense(stores[0]) == sum(written)
    assert all(sum(written[half::2]) > 0 for half in (0, 1))
    assert moved
    assert all(moved)


async def test_a_full_queue_refuses_at_once(open_store: OpenStore) -> None:
    store = await open_store(queue_limit=3)
    results = await asyncio.gather(
        *(store.append(request({f"account-{n}": 0})) for n in range(8)), return_exceptions=True
    )
    busy = [result for result in results if isinstance(result, StoreBusyError)]
    assert len(busy) == 5
    assert await assert_dense(store) == 3


async def test_closing_writes_what_waits_and_takes_nothing_more(open_store: OpenStore) -> None:
    store, other = await open_store(), await open_store()
    waiting = [asyncio.ensure_future(store.append(request({f"account-{n}": 0}))) for n in range(20)]
    await asyncio.wait(waiting[:1], return_when=asyncio.FIRST_COMPLETED)
    await store.close()
    assert all(not future.exception() for future in waiting)
    with pytest.raises(StoreBusyError):
        await store.append(request({"account-late": 0}))
    assert await assert_dense(other) == 20


async def test_a_lost_connection_is_replaced_and_nothing_is_written_twice(
    open_store: OpenStore, store_dsn: str
) -> None:
    store = await open_store()
    await store.append(request({"account-1": 0}))
    control = await asyncpg.connect(store_dsn)
    try:
        lock = control.transaction()
        await lock.start()
        await control.execute("SELECT FROM store.head FOR UPDATE")
        waiting = asyncio.ensure_future(store.append(request({"account-1": 1}, command=command("tester/lost"))))
        killed = False
        while not killed:
            killed = await control.fetchval(
                "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        await lock.rollback()
        assert (await waiting).last == 2
    finally:
        await control.close()
    assert await assert_dense(store) == 2


async def test_what_can_never_be_appended_is_refused_before_it_is_sent(store: EventStore) -> None:
    with pytest.raises(EventTooLargeError):
        await store.append(request({"account-1": 0}, event=PaidIn(minor=1, note="x" * 256 * 1024)))
    with pytest.raises(ValueError, match="expected"):
        await store.append(request({}, {"account-1": 1}))
    stranger = type("Stranger", (PaidIn,), {"type_name": "bank.stranger"})
    with pytest.raises(ValueError, match="Stranger"):
        await store.append(request({"account-1": 0}, event=stranger(minor=1)))
    assert await store.head() == 0


async def test_older_versions_are_upcast_when_loaded(store: EventStore, store_dsn: str) -> None:
    await store.append(request({"account-1": 0}))
    connection = await asyncpg.connect(store_dsn)
    try:
        await connection.execute("""UPDATE store.event SET type_version = 1, data = '{"yuan": 7}'""")
    finally:
        await connection.close()
    assert [recorded.event for recorded in await store.load("account-1")] == [PaidIn(minor=700)]
    assert [envelope.data for envelope in await store.envelopes(0, 10)] == [b'{"yuan": 7}']


async def test_appending_wakes_this_process_and_others(store: EventStore, store_dsn: str) -> None:
    heard = asyncio.Event()
    listener = await asyncpg.connect(store_dsn)
    try:
        await listener.add_listener("keyfold_appended", lambda *_: heard.set())
        await store.append(request({"account-1": 0}))
        assert store.appended.is_set()
        await asyncio.wait_for(heard.wait(), 5)
    finally:
        await listener.close()


async def test_a_server_that_forgets_is_refused(store: EventStore, open_store: OpenStore, store_dsn: str) -> None:
    await store.check_durability()
    connection = await asyncpg.connect(store_dsn)
    try:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    finally:
        await connection.close()
    forgetful = await open_store()
    with pytest.raises(NotDurableError, match="synchronous_commit"):
        await forgetful.check_durability()

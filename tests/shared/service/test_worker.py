"""The worker: ends with the bare reason of its relay, stops in time while its servers are away, keeps to its connections."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared.contracts.event import Envelope
from shared.kit.calendar import BusinessCalendar
from shared.kit.postgres_server import start_postgres
from shared.log.open import open_log
from shared.projections.tokens import format_token
from shared.relay.checks import RelayRefusedError
from shared.relay.partition import partition_of
from shared.service.backend import API, WORKER, migrate_service, open_backend
from shared.service.worker import Worker
from shared.testing.apps import SECRET, working
from tests.shared.web.desk import SERVICE, desk, enquiry_list


async def test_a_relay_that_refuses_ends_the_worker_with_its_reason(database: str) -> None:
    async with desk(database, worker=False) as service, service.client() as client:
        await client.post("/enquiries", json={"id": "e1", "title": "x"})
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(
                "INSERT INTO store.relay (topic, position, partitions) VALUES ($1, 99, '{}')", SERVICE.contract.topic
            )
        finally:
            await connection.close()
        with pytest.raises(RelayRefusedError, match="keyfold recover"):
            await asyncio.wait_for(Worker(service.backend, "refused").run(asyncio.Event()), 10)


async def test_it_stops_in_time_while_its_servers_are_away(tmp_path: Path) -> None:
    server = start_postgres(tmp_path / "postgres")
    try:
        async with desk(server.dsn("postgres"), worker=False) as service:
            stop = asyncio.Event()
            running = asyncio.create_task(Worker(service.backend, "w1").run(stop))
            while not await service.backend.reads.worker_alive():
                assert not running.done()
            server.stop()
            await asyncio.wait({running}, timeout=1)
            assert not running.done(), "a server that goes away is waited for"
            stop.set()
            await asyncio.wait_for(running, 8)
    finally:
        server.stop()


async def test_a_worker_that_is_cancelled_leaves_nothing_running(database: str) -> None:
    async with desk(database, worker=False) as service:
        before = asyncio.all_tasks()
        running = asyncio.create_task(Worker(service.backend, "w1").run(asyncio.Event()))
        while not await service.backend.reads.worker_alive():
            assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        left = {task for task in asyncio.all_tasks() - before if task.get_name() != "notifier"}
        # A connection that is given back by somebody who was cancelled is closed by a task of the driver's, which ends by itself.
        _, running_on = await asyncio.wait(left, timeout=10) if left else (set(), set())
        assert not running_on


async def test_processes_keep_to_their_connections(database: str) -> None:
    """An API that is asked by everybody at once, and a worker that has all of it to publish and to fold."""
    log, calendar = open_log(database), BusinessCalendar()
    try:
        await migrate_service(SERVICE, database, log, SECRET, calendar)
        async with desk(database, worker=False) as api, api.client() as client:
            names = [f"e{n}" for n in range(200)]
            await asyncio.gather(*(client.post("/enquiries", json={"id": name, "title": "x"}) for name in names))
            await asyncio.gather(*(client.get(f"/enquiries/{name}") for name in names[:50]))
            assert 2 <= await _connections(database) <= API.store + API.reads + 2
        async with open_backend(
            SERVICE, database, log, SECRET, calendar,
            store_connections=WORKER.store, read_connections=WORKER.reads,
        ) as backend, working(backend):  # fmt: skip
            head = await backend.store.head()
            await backend.reads.wait_for(
                format_token(dict(_reached(await backend.store.envelopes(0, head)))), [enquiry_list]
            )
            assert 2 <= await _connections(database) <= WORKER.store + WORKER.reads + 2
    finally:
        await log.close()


def _reached(envelopes: list[Envelope]) -> Iterator[tuple[tuple[str, int], int]]:
    for envelope in envelopes:
        yield ("desk", partition_of(envelope.stream_id)), envelope.position


async def _connections(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND application_name IN ('keyfold-store', 'keyfold-reads', 'keyfold relay')"
            )
        )
    finally:
        await connection.close()

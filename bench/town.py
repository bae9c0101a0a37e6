"""An opportunity service with many opportunities: store, log and read models, all of them made from facts."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from bench import facts
from bench.servers import Servers, child
from services.opportunity.app import SERVICE
from services.opportunity.projections.timeline import timeline
from shared.eventstore.store import EventStore
from shared.kit.settings import Settings
from shared.log.open import open_log
from shared.log.port import Log
from shared.relay.cursor import Cursor
from shared.relay.relay import chained
from shared.service.backend import migrate_service

BULK = 200  # opportunities in one append
READ = 2_000


@dataclass(frozen=True, slots=True)
class Town:
    """`rebuilt`: what the process that built the read models told of itself (see bench/worker.py)."""

    dsn: str
    log_dsn: str
    opportunities: int
    rebuilt: dict[str, Any]


@asynccontextmanager
async def open_town(servers: Servers, opportunities: int) -> AsyncIterator[Town]:
    """So many opportunities of ten events each: stored, published as the relay would, folded from the log."""
    dsn, log_dsn = await servers.database("town"), await servers.database("log")
    log = open_log(log_dsn)
    try:
        unread = replace(
            SERVICE, projections=()
        )  # no generation yet, so there is nothing to compare the rebuilt one with
        await migrate_service(unread, dsn, log, b"bench", Settings(_env_file=None).calendar)
        await _fill(dsn, log, opportunities)
    finally:
        await log.close()
    async with child(sys.executable, "-m", "bench.worker", dsn, log_dsn) as worker:
        rebuilt = await worker.answer()
    await _settle(dsn)
    yield Town(dsn, log_dsn, opportunities, rebuilt)
    for name in (dsn, log_dsn):
        await servers.drop(name)


async def _fill(dsn: str, log: Log, opportunities: int) -> None:
    for topic in SERVICE.topics + tuple(one for model in SERVICE.projections for one in model.topics):
        await log.create_topic(topic)
    store = await EventStore.open(dsn, SERVICE.contract)
    try:
        for start in range(0, opportunities, BULK):
            await store.append_bulk(list(facts.history_requests(min(BULK, opportunities - start), start)))
        producer, cursor = await log.producer(), Cursor()
        while batch := await store.envelopes(cursor.position, READ):
            records, cursor = chained(SERVICE.contract, cursor, batch)
            await producer.send(records)
        await producer.close()
    finally:
        await store.close()


async def multiply(town: Town, times: int) -> Town:
    """The same opportunities so many times over, under ids of their own, in the read model alone: as folding them would make it,
    in a tenth of the time."""
    connection = await asyncpg.connect(town.dsn)
    try:
        schema = await connection.fetchval(
            "SELECT projection || '_g' || generation FROM projection.generation WHERE projection = $1 AND state = 'live'",
            timeline.name,
        )
        for table in timeline.tables:
            others = ", ".join(f'"{column.name}"' for column in list(table.columns)[1:])
            await connection.execute(
                f'INSERT INTO "{schema}"."{table.name}" (opportunity_id, {others}) '
                f"SELECT md5(opportunity_id::text || copy)::uuid, {others} "
                f'FROM "{schema}"."{table.name}", generate_series(2, {times}) AS copy'
            )
    finally:
        await connection.close()
    await _settle(town.dsn)
    return replace(town, opportunities=town.opportunities * times)


async def _settle(dsn: str) -> None:
    """As autovacuum leaves it after a while."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()

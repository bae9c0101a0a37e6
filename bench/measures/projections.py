"""Keeping a read model: a live worker, a rebuild, the library's runner, and what decoding, folding and COPY alone cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.appending import CALLERS
from bench.harness import Bench, Row, interleaved, rate
from bench.logged import Logged, open_logged, read_all
from bench.servers import library
from bench.tally import row, tally
from shared.contracts.opportunity import CONTRACT
from shared.log.cloudevents import decode_record
from shared.log.port import LogRecord
from shared.projections.bell import Bell
from shared.projections.follower import BATCH
from shared.projections.generations import ensure_live
from shared.projections.reads import ReadModels
from shared.projections.rebuild import rebuild
from shared.projections.runner import Runner
from shared.projections.tables import migrate_projections
from shared.service.backend import WORKER, open_engine

COLUMNS = [column.name for column in row.columns]


async def measure(bench: Bench) -> Sequence[Row]:
    count = bench.size(40_000, 400)
    log = await bench.servers.database("log")
    theirs = await bench.servers.database("library")
    async with open_logged(log, count) as logged, library(theirs) as peer:
        batches = await read_all(logged, BATCH)
        await peer.ask(do="load", work="append", callers=CALLERS, seconds=bench.seconds(3.0))

        async def runner() -> float:
            return float((await peer.ask(do="project"))["rate"])

        found = await interleaved(
            bench,
            {
                "live": lambda: _live(bench, logged),
                "rebuild": lambda: _rebuild(bench, logged),
                "library": runner,
                "limit": lambda: _limit(bench, batches),
            },
        )
    for name in (log, theirs):
        await bench.servers.drop(name)
    live, built, others, limit = (found[name] for name in ("live", "rebuild", "library", "limit"))
    of_others, of_limit, of_live, of_limit_too = (
        live.over(others),
        live.over(limit),
        built.over(live),
        built.over(limit),
    )
    physics = f"decode + fold + COPY {rate(limit.median)}"
    return [
        Row(
            "projections", "live projection", rate(live.median), f"eventsourcing {rate(others.median)}",
            of_others.median, "≥ 25", bench.judge(of_others.median >= 25), f"ratio {of_others.spread}",
        ),
        Row(
            "projections", "live projection against physics", rate(live.median), physics, of_limit.median, "≥ 0.3",
            bench.judge(of_limit.median >= 0.3), f"ratio {of_limit.spread}",
        ),
        Row(
            "projections", "rebuild", rate(built.median), f"live {rate(live.median)}", of_live.median, "≥ 1.5",
            bench.judge(of_live.median >= 1.5), f"ratio {of_live.spread}",
        ),
        Row(
            "projections", "rebuild against physics", rate(built.median), physics, of_limit_too.median, "≥ 0.6",
            bench.judge(of_limit_too.median >= 0.6), f"ratio {of_limit_too.spread}",
        ),
    ]  # fmt: skip


@asynccontextmanager
async def _read_models(bench: Bench) -> AsyncIterator[AsyncEngine]:
    """A fresh database for them, with the connections of a worker."""
    dsn = await bench.servers.database("tally")
    engine = open_engine(dsn, WORKER.reads)
    try:
        await migrate_projections(engine)
        yield engine
    finally:
        await engine.dispose()
        await bench.servers.drop(dsn)


async def _live(bench: Bench, logged: Logged) -> float:
    """A worker that has the whole history before it, into a live generation with its indexes."""
    async with _read_models(bench) as engine:
        await ensure_live(engine, tally)
        bell, stop = Bell(), asyncio.Event()
        runner = Runner(engine, logged.log, [tally], "bench", bell)
        began = time.perf_counter()
        running = asyncio.create_task(runner.run(stop))
        try:
            await _applied(ReadModels(engine, bell), bell, logged)
            seconds = time.perf_counter() - began
        finally:
            stop.set()
            await running
    return logged.events / seconds


async def _applied(reads: ReadModels, bell: Bell, logged: Logged) -> None:
    while not await reads.worker_alive():
        await bell.wait(0.005)
    await reads.wait_for(logged.token, [tally], timeout=600)


async def _rebuild(bench: Bench, logged: Logged) -> float:
    """From the first record to the switch, with nothing to compare with."""
    async with _read_models(bench) as engine:
        began = time.perf_counter()
        await rebuild(engine, logged.log, tally)
        return logged.events / (time.perf_counter() - began)


async def _limit(bench: Bench, batches: Sequence[Sequence[LogRecord]]) -> float:
    """The records in memory, the fold a dictionary; each batch's changed rows by COPY, into a table without any index."""
    dsn = await bench.servers.database("limit")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE row (opportunity_id uuid, events int, amount_minor bigint, currency varchar(3), "
            "updated_at timestamptz)"
        )
        began = time.perf_counter()
        rows: dict[str, tuple[Any, ...]] = {}
        for batch in batches:
            changed: dict[str, tuple[Any, ...]] = {}
            for record in batch:
                event = CONTRACT.open(decode_record(record)[0])
                entity, amount = event.entity_id, event.event.amount  # type: ignore[attr-defined]
                events = rows[entity][1] + 1 if entity in rows else 1
                rows[entity] = changed[entity] = (entity, events, amount.minor, amount.currency, event.occurred_at)
            async with connection.transaction():
                await connection.copy_records_to_table("row", columns=COLUMNS, records=changed.values())
        return sum(map(len, batches)) / (time.perf_counter() - began)
    finally:
        await connection.close()
        await bench.servers.drop(dsn)

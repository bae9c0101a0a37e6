"""Appending as the store grows: 10 k, 100 k, 1 M, 5 M events, each time against COPY at the same size."""

from collections.abc import Sequence

import asyncpg

from bench import facts
from bench.appending import CALLERS, EACH, Copy, append, fresh_store, open_store
from bench.harness import Bench, Row, Samples, interleaved, rate

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
BAND = 0.15
FILL_EVENTS = """
INSERT INTO store.event (
    position, stream_id, version, event_id, type_name, type_version, data, occurred_at, recorded_at, actor, correlation_id
)
SELECT n, 'opportunity-' || md5((n / $3::bigint)::text)::uuid, n % $3::bigint + 1, gen_random_uuid(), $4, 1, $5::json, now(),
       now(), 'bench', gen_random_uuid()
FROM generate_series($1::bigint, $2::bigint) AS n
"""
FILL_COMMANDS = """
INSERT INTO store.command (command_id, input_hash, answer, versions, first_position, last_position, recorded_at)
SELECT gen_random_uuid()::text, '', '{"opportunity_id": "0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d"}',
       '{"opportunity-0195f3a0-5a5e-7c3e-9d52-3f1f6a1b2c3d": 7}', n, n, now()
FROM generate_series($1::bigint, $2::bigint) AS n
"""


async def measure(bench: Bench) -> Sequence[Row]:
    ours, theirs = await fresh_store(bench.servers, "growth"), await fresh_store(bench.servers, "copy")
    ratios: dict[int, Samples] = {}
    figures: dict[int, float] = {}
    async with open_store(ours) as store, Copy.open(theirs) as copy:

        async def appends() -> float:
            return (await append(store, CALLERS, bench.size(EACH, 10)))[0]

        for size in SIZES[:1] if bench.quick else SIZES:
            for dsn in (ours, theirs):
                await _fill(dsn, bench.size(size, 200))
            contenders = {"append": appends, "copy": lambda: copy.rate(bench.size(20_000, 300))}
            found = await interleaved(bench, contenders)
            ratios[size], figures[size] = found["append"].over(found["copy"]), found["append"].median
    for dsn in (ours, theirs):
        await bench.servers.drop(dsn)
    base = ratios[SIZES[0]].median
    rows = []
    for size, ratio in ratios.items():
        drift = ratio.median / base
        first = size == SIZES[0]
        rows.append(
            Row(
                "growth",
                f"growth: append at {size:,} events",
                rate(figures[size]),
                f"of COPY there {ratio.median:.2f}",
                None if first else drift,
                "" if first else f"{1 - BAND:.2f}–{1 + BAND:.2f} of the ratio at {SIZES[0]:,}",
                None if first else bench.judge(abs(drift - 1) <= BAND),
                f"ratio to COPY {ratio.spread}",
            )
        )
    return rows


async def _fill(dsn: str, size: int) -> None:
    """Up to so many events, made by the server itself, spread over streams as ours are."""
    connection = await asyncpg.connect(dsn)
    try:
        head = await connection.fetchval("SELECT position FROM store.head")
        event = facts.amount_raised(100_000)
        data = event.model_dump_json()
        for start in range(head + 1, size + 1, 250_000):
            end = min(start + 249_999, size)
            await connection.execute(FILL_EVENTS, start, end, facts.LENGTH, event.type_name, data)
            await connection.execute(FILL_COMMANDS, start, end)
            await connection.execute("UPDATE store.head SET position = $1", end)
        await connection.execute("VACUUM (ANALYZE) store.event, store.command")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()

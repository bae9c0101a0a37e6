"""Appending one event at a time from 64 callers: against the library, and against COPY of the same rows."""

from collections.abc import Sequence

from bench.appending import CALLERS, EACH, Copy, append, fresh_store, open_store
from bench.harness import Bench, Row, interleaved, percentile, rate
from bench.servers import library


async def measure(bench: Bench) -> Sequence[Row]:
    seconds = bench.seconds(3.0)
    dsn = await fresh_store(bench.servers, "append")
    theirs = await bench.servers.database("library")
    taken: list[float] = []
    async with (
        open_store(dsn) as store,
        Copy.open(await fresh_store(bench.servers, "copy")) as copy,
        library(theirs) as peer,
    ):
        tuned = await peer.ask(do="tune", work="append", callers=CALLERS, seconds=bench.seconds(1.0, 0.05))

        async def ours() -> float:
            figure, calls = await append(store, CALLERS, bench.size(EACH, 10))
            taken.extend(calls)
            return figure

        async def library_appends() -> float:
            return float((await peer.ask(do="load", work="append", callers=CALLERS, seconds=seconds))["rate"])

        async def copies() -> float:
            return await copy.rate(bench.size(40_000, 500))

        found = await interleaved(bench, {"ours": ours, "library": library_appends, "copy": copies})
    for name in (dsn, theirs):
        await bench.servers.drop(name)
    mine, others, physics = found["ours"], found["library"], found["copy"]
    p99 = percentile(taken, 0.99) * 1000
    beyond, share = mine.over(others), mine.over(physics)
    return [
        Row(
            "append", f"append, 1 event a command, {CALLERS} callers", rate(mine.median),
            f"eventsourcing {rate(others.median)}", beyond.median, "≥ 10", bench.judge(beyond.median >= 10),
            f"ratio {beyond.spread}; p99 {p99:.1f} ms; library at its best: {tuned['setting']}",
        ),
        Row(
            "append", "append against physics", rate(mine.median),
            f"COPY, 100 a commit {rate(physics.median)}", share.median, "≥ 0.5", bench.judge(share.median >= 0.5),
            f"ratio {share.spread}; events and commands, same tables and indexes",
        ),
    ]  # fmt: skip

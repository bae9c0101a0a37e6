"""Two processes that write to one store, 32 callers each, against one with 64."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bench.appending import CALLERS, EACH, fresh_store
from bench.harness import Bench, Row, Samples, interleaved, milliseconds, rate
from bench.servers import Child, child


async def measure(bench: Bench) -> Sequence[Row]:
    each = bench.size(EACH, 10)
    dsn = await fresh_store(bench.servers, "writers")
    late: dict[str, list[float]] = {"one": [], "two": []}

    async def load(name: str, writers: list[Child]) -> float:
        answers = await asyncio.gather(*(writer.ask(each=each) for writer in writers))
        late[name].append(max(answer["p99"] for answer in answers))
        return float(sum(answer["rate"] for answer in answers))

    async with AsyncExitStack() as stack:

        async def writer(callers: int) -> Child:
            return await stack.enter_async_context(child(sys.executable, "-m", "bench.writer", dsn, str(callers)))

        one, two = [await writer(CALLERS)], [await writer(CALLERS // 2), await writer(CALLERS // 2)]
        found = await interleaved(bench, {"one": lambda: load("one", one), "two": lambda: load("two", two)})
    await bench.servers.drop(dsn)
    share = found["two"].over(found["one"])
    alone, together = (Samples(tuple(late[name][-bench.rounds :])) for name in ("one", "two"))
    longer = together.over(alone)
    return [
        Row(
            "writers", "append, 2 writers × 32 callers", rate(found["two"].median),
            f"1 writer × 64 {rate(found['one'].median)}", share.median, "≥ 0.7", bench.judge(share.median >= 0.7),
            f"ratio {share.spread}",
        ),
        Row(
            "writers", "the same, p99 of a call", milliseconds(together.median),
            f"1 writer × 64 {milliseconds(alone.median)}", longer.median, "≤ 2", bench.judge(longer.median <= 2),
            f"ratio {longer.spread}",
        ),
    ]  # fmt: skip

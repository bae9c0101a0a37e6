"""A thousand events at once, as one append and as a bulk append: against the library, and against COPY of the same rows."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from bench import facts
from bench.appending import Copy, fresh_store, open_store
from bench.harness import Bench, Row, interleaved, rate
from bench.servers import library
from shared.eventstore.types import AppendRequest, CommandRecord, Pending
from shared.kit.ids import new_id


async def measure(bench: Bench) -> Sequence[Row]:
    size, times = bench.size(1_000, 50), bench.size(20, 2)
    dsn, theirs = await fresh_store(bench.servers, "batches"), await bench.servers.database("library")
    async with (
        open_store(dsn) as store,
        Copy.open(await fresh_store(bench.servers, "copy")) as copy,
        library(theirs) as peer,
    ):

        async def repeated(append: Callable[[AppendRequest], Awaitable[object]]) -> float:
            made = [_request(size) for _ in range(times)]
            began = time.perf_counter()
            for request in made:
                await append(request)
            return size * times / (time.perf_counter() - began)

        async def library_batch() -> float:
            return float((await peer.ask(do="batch", size=size, times=times))["rate"])

        contenders = {
            "bulk": lambda: repeated(lambda request: store.append_bulk([request])),
            "append": lambda: repeated(store.append),
            "library": library_batch,
            "copy": lambda: copy.rate(size * times, size, size),
        }
        found = await interleaved(bench, contenders)
    for name in (dsn, theirs):
        await bench.servers.drop(name)
    rows: list[Row] = []
    for name, what in (("bulk", "in bulk (imports)"), ("append", "in one command")):
        mine = found[name]
        beyond, share = mine.over(found["library"]), mine.over(found["copy"])
        rows += [
            Row(
                "batches", f"1,000 events at once, {what}", rate(mine.median),
                f"eventsourcing {rate(found['library'].median)}", beyond.median, "≥ 1.4",
                bench.judge(beyond.median >= 1.4), f"ratio {beyond.spread}",
            ),
            Row(
                "batches", f"1,000 events at once, {what}", rate(mine.median),
                f"COPY {rate(found['copy'].median)}", share.median, "≥ 0.8", bench.judge(share.median >= 0.8),
                f"ratio {share.spread}",
            ),
        ]  # fmt: skip
    return rows


def _request(size: int) -> AppendRequest:
    """A command that appends so many events to one stream."""
    stream, at = facts.stream(), datetime.now(UTC)
    events = tuple(Pending(stream, facts.amount_raised(number), at, new_id()) for number in range(size))
    command = CommandRecord(str(new_id()), b"", {"id": stream}, {stream: size})
    return AppendRequest(events, {stream: 0}, facts.ACTOR, new_id(), command=command)

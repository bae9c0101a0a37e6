"""Reading over HTTP as the history grows: as-of funnel, list, page; and what rebuilding it holds in memory."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import facts
from bench.client import Client, expect, open_client
from bench.harness import Bench, Row, Samples, milliseconds
from bench.servers import child
from bench.town import Town, multiply, open_town

SIZES = (1_000, 10_000, 100_000)  # opportunities, of ten events each
LARGEST = 5  # times the last of them, for list and page
AS_OF = "2025-03-31"
FLAT = 1.25  # the largest over the smallest: what noise alone does to figures of some milliseconds
QUESTIONS = {
    "funnel": f"/funnel?group_by=state&as_of={AS_OF}",
    "list": "/opportunities?limit=50",
    "own": f"/opportunities?limit=50&owner={facts.owner(7)}",
    "page": "",
}


@dataclass(slots=True)
class Size:
    """`answered`: per question the median seconds of each round."""

    events: int
    answered: dict[str, Samples] = field(default_factory=dict)
    rebuilt: dict[str, float] = field(default_factory=dict)


async def measure(bench: Bench) -> Sequence[Row]:
    sizes: list[Size] = []
    for opportunities in SIZES[:1] if bench.quick else SIZES:
        async with open_town(bench.servers, bench.size(opportunities, 20)) as town:
            sizes.append(await _asked(bench, town))
            sizes[-1].rebuilt = town.rebuilt
            if opportunities == SIZES[-1]:
                sizes.append(await _asked(bench, await multiply(town, LARGEST)))
    return [_funnel(bench, sizes), *_flat(bench, sizes), _memory(bench, sizes)]


async def _asked(bench: Bench, town: Town) -> Size:
    found = Size(town.opportunities * facts.HISTORY)
    folder = bench.servers.folder / "reads"
    async with child(sys.executable, "-m", "bench.api", town.dsn, town.log_dsn, folder) as server:
        told = await server.answer()
        async with open_client("127.0.0.1", told["port"], told["token"], 1) as client:
            paths = dict(QUESTIONS)
            listed = expect(await client.get(paths["own"]), 200)
            paths["page"] = f"/opportunities/{json.loads(listed.body)['items'][0]['id']}"
            for name, path in paths.items():
                found.answered[name] = await _answered(bench, client, path)
    return found


async def _answered(bench: Bench, client: Client, path: str) -> Samples:
    rounds: list[float] = []
    for _ in range(bench.rounds):
        taken: list[float] = []
        for _ in range(bench.size(11, 1)):
            began = time.perf_counter()
            expect(await client.get(path), 200)
            taken.append(time.perf_counter() - began)
        rounds.append(Samples(tuple(taken)).median)
    return Samples(tuple(rounds))


def _funnel(bench: Bench, sizes: Sequence[Size]) -> Row:
    size = sizes[len(SIZES) - 1 if not bench.quick else 0]
    taken = size.answered["funnel"]
    return Row(
        "reads", f"as-of funnel, {size.events // facts.HISTORY:,} opportunities, {size.events:,} events",
        milliseconds(taken.median), "", None, "< 200 ms", bench.judge(taken.median < 0.2),
        f"over HTTP, one request at a time; {_by_size(sizes, 'funnel')}",
    )  # fmt: skip


def _flat(bench: Bench, sizes: Sequence[Size]) -> list[Row]:
    names: Mapping[str, str] = {
        "page": "page of an opportunity", "own": "list of one seller's, 1 in 200", "list": "list of everything",
    }  # fmt: skip
    rows = []
    for name, what in names.items():
        first, last = sizes[0].answered[name].median, sizes[-1].answered[name].median
        rows.append(
            Row(
                "reads",
                f"growth: {what}",
                milliseconds(last),
                f"at {sizes[0].events:,} events {milliseconds(first)}",
                last / first,
                f"flat (≤ {FLAT})",
                bench.judge(last / first <= FLAT),
                _by_size(sizes, name),
            )
        )
    return rows


def _by_size(sizes: Sequence[Size], name: str) -> str:
    return ", ".join(f"{size.events:,} events {milliseconds(size.answered[name].median)}" for size in sizes)


def _memory(bench: Bench, sizes: Sequence[Size]) -> Row:
    built = [size for size in sizes if size.rebuilt]
    # Of the smaller ones the first is less than what a rebuild holds at most: it says nothing about growth with the log.
    smaller, last = built[max(0, len(built) - 2)], built[-1].rebuilt
    grown = last["largest"] / smaller.rebuilt["largest"]
    told = ", ".join(
        f"{size.events:,} events {size.rebuilt['largest'] / 2**20:.0f} MiB "
        f"({size.rebuilt['records'] / size.rebuilt['seconds']:,.0f} events/s)"
        for size in built
    )
    return Row(
        "memory", f"memory: rebuilding the timeline of {built[-1].events:,} events", f"{last['largest'] / 2**20:.0f} MiB",
        f"of {smaller.events:,} events {smaller.rebuilt['largest'] / 2**20:.0f} MiB", grown, f"not by log length (≤ {FLAT})",
        bench.judge(grown <= FLAT), told,
    )  # fmt: skip

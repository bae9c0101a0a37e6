"""A second pair of hands: one API and two, one worker and three, and what restarts and deaths do to those who work meanwhile.

Load through HAProxy: so many commands a second with keys, each looked for with the position of its answer, and as many plain reads,
at their times. Whatever goes wrong is asked again under its key and counted. A phase has what was due while it lasted. In the end
every comment must be in the store once.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Protocol

import asyncpg

from bench.client import expect
from bench.fleet import Fleet, open_fleet
from bench.going import Going, Kind, Lasting, Phase, phase_of
from bench.harness import Bench, Row, Samples, interleaved, milliseconds, percentile, rate
from shared.kit.ids import new_id

A_SECOND = 20  # commands and as many reads: what two cores keep up with beside three workers and the load itself
STEADY_SECONDS = 10.0
AFTER_SECONDS = 3.0  # what a change leaves behind counts as the change's
CALLERS = 16
BACKLOG = 2_000  # opportunities, two events each
Change = Callable[[], Awaitable[None]]


class Scaled(Protocol):
    """Processes here, containers in bench/composed.py. `dsn`: of the opportunity service's database."""

    dsn: str

    async def scale_workers(self, number: int) -> None: ...

    async def scale_apis(self, number: int) -> None: ...

    async def restart_workers(self) -> None: ...

    async def restart_apis(self) -> None: ...

    async def kill_an_api(self) -> None: ...

    async def kill_the_relay(self) -> None: ...


async def measure(bench: Bench) -> Sequence[Row]:
    async with open_fleet(bench) as fleet:
        client = Lasting(fleet.port, fleet.token)
        try:
            paths = await opened(client, bench.size(200, 20))
            rows = await phases(bench, fleet, client, paths)
            rows.append(await _two_apis(bench, fleet, client, paths))
            rows.append(await _three_workers(bench, fleet, client))
        finally:
            client.close()
    return rows


async def opened(client: Lasting, number: int) -> list[str]:
    """Shown, too."""
    items = [{"name": f"Line {n}", "amount": {"minor": 100_000, "currency": "CNY"}} for n in range(number)]
    body = json.dumps({"items": items}).encode()
    answer = json.loads(expect(await client.send("POST", "/opportunities:batch", body), 200).body)
    await _shown(client, "/opportunities?limit=1", answer["position"])
    return [f"/opportunities/{item['answer']['id']}" for item in answer["items"]]


async def _shown(client: Lasting, path: str, token: str) -> None:
    answer = await client.send("GET", path, Keyfold_Position=token)
    while answer.status == 503:
        await asyncio.sleep(0.02)
        answer = await client.send("GET", path, Keyfold_Position=token)
    expect(answer, 200)


async def phases(bench: Bench, fleet: Scaled, client: Lasting, paths: list[str]) -> list[Row]:
    going = Going(client, paths, A_SECOND, f"going-{new_id()}")
    spans: list[tuple[str, float, float]] = []
    loop = asyncio.get_running_loop()

    async def phase(what: str, change: Change) -> None:
        begun = loop.time()
        await change()
        print(f"scaling: {what}", file=sys.stderr, flush=True)
        spans.append((what, begun, loop.time()))

    async def steady() -> None:
        await asyncio.sleep(bench.seconds(STEADY_SECONDS, 1.0))

    def settled(change: Change) -> Change:
        async def changed() -> None:
            await change()
            await asyncio.sleep(bench.seconds(AFTER_SECONDS, 1.0))

        return changed

    async with going.on(fleet.dsn):
        await asyncio.sleep(bench.seconds(2.0))
        await phase("1 API, 1 worker", steady)
        await fleet.scale_apis(2)
        await phase("2 APIs, 1 worker", steady)
        await phase("workers 1 → 3", settled(lambda: fleet.scale_workers(3)))
        await phase("2 APIs, 3 workers", steady)
        await phase("restart of each API (SIGTERM)", settled(fleet.restart_apis))
        await phase("restart of each worker (SIGTERM)", settled(fleet.restart_workers))
        await phase("an API killed", settled(fleet.kill_an_api))
        await phase("the worker that publishes killed", settled(fleet.kill_the_relay))
        await phase("workers 3 → 1", settled(lambda: fleet.scale_workers(1)))
    phases = [phase_of(going, *span) for span in spans]
    steadily = phases[3]
    return [*(_row(one, steadily) for one in phases), await _once(bench, fleet, going)]


def _row(phase: Phase, steadily: Phase) -> Row:
    def told(kind: Kind) -> str:
        taken = phase.taken(kind)
        return f"p50 {milliseconds(percentile(taken, 0.5))}, p99 {milliseconds(percentile(taken, 0.99))}"

    commands, reads, seen = phase.taken("command"), phase.taken("read"), phase.taken("visible")
    late, usual = percentile(seen, 0.99), percentile(steadily.taken("visible"), 0.99)
    return Row(
        "scaling", f"{phase.what}, {A_SECOND} commands/s", f"visible p99 {milliseconds(late)}",
        "" if phase is steadily else f"2 APIs, 3 workers {milliseconds(usual)}",
        None if phase is steadily else late / usual, "", None,
        f"{phase.seconds:.0f} s: {len(commands) / phase.seconds:.0f} commands/s, {told('command')}; visible "
        f"{told('visible')}, longest {milliseconds(max(seen))}; {len(reads) / phase.seconds:.0f} reads/s, {told('read')}, "
        f"longest gap {milliseconds(phase.gap)}; relay stood still {milliseconds(phase.stall)} at the most; "
        f"asked again: {phase.troubles}",
    )  # fmt: skip


async def _once(bench: Bench, fleet: Scaled, going: Going) -> Row:
    connection = await asyncpg.connect(fleet.dsn)
    try:
        [(there, texts)] = await connection.fetch(
            "SELECT count(*), count(DISTINCT data->>'text') FROM store.event "
            "WHERE type_name = 'opportunity.commented' AND data->>'text' LIKE $1",
            f"remark {going.name}-%",
        )
    finally:
        await connection.close()
    lost, twice = going.sent - texts, there - texts
    return Row(
        "scaling", f"all of this, {going.sent:,} commands", f"{lost} lost, {twice} twice", "", None, "0 lost, 0 twice",
        bench.judge(lost == twice == 0), "every one acknowledged, in the end, under its first key",
    )  # fmt: skip


async def _two_apis(bench: Bench, fleet: Fleet, client: Lasting, paths: list[str]) -> Row:
    """As fast as they will go; the worker works beside them."""
    numbers, loop = count(), asyncio.get_running_loop()

    async def commands() -> float:
        ends, done = loop.time() + bench.seconds(4.0), 0

        async def call() -> None:
            nonlocal done
            while loop.time() < ends:
                path, body = paths[next(numbers) % len(paths)], b'{"text": "They want a second exchange."}'
                expect(await client.send("POST", f"{path}/comments", body), 200)
                done += 1

        began = loop.time()
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return done / (loop.time() - began)

    async def of(apis: int) -> float:
        await fleet.scale_apis(apis)
        await asyncio.sleep(bench.seconds(3.0, 1.5))  # the gateway looks once a second
        return await commands()

    found = await interleaved(bench, {"two": lambda: of(2), "one": lambda: of(1)}, warm_up=False)
    share = found["two"].over(found["one"])
    return Row(
        "scaling", f"HTTP commands through HAProxy, {CALLERS} callers, 2 APIs", rate(found["two"].median, "commands/s"),
        f"1 API {rate(found['one'].median, 'commands/s')}", share.median, "", None,
        f"ratio {share.spread}; a worker, the servers and the load on the same cores",
    )  # fmt: skip


async def _three_workers(bench: Bench, fleet: Fleet, client: Lasting) -> Row:
    """The same backlog, written while the workers are frozen; from when they go on until everything shows."""
    loop = asyncio.get_running_loop()

    async def of(workers: int) -> float:
        await fleet.scale_workers(workers)
        await asyncio.sleep(2.0)  # beats of a heart: everybody knows of everybody
        for worker in fleet.workers:
            worker.send(signal.SIGSTOP)
        try:
            token = await _backlog(client, bench.size(BACKLOG, 200))
        finally:
            for worker in fleet.workers:
                worker.send(signal.SIGCONT)
        began = loop.time()
        await _shown(client, "/funnel", token)
        return loop.time() - began

    found = await interleaved(bench, {"one": lambda: of(1), "three": lambda: of(3)}, warm_up=False)
    share: Samples = found["one"].over(found["three"])
    events = 2 * bench.size(BACKLOG, 200)
    return Row(
        "scaling", f"a backlog of {events:,} events, 3 workers", f"{found['three'].median:.1f} s",
        f"1 worker {found['one'].median:.1f} s", share.median, "", None,
        f"times as fast {share.spread}; until all eight read models show it; partitions go by rank, 12 in all",
    )  # fmt: skip


async def _backlog(client: Lasting, opportunities: int) -> str:
    """The token of all of it."""
    token = ""
    for start in range(0, opportunities, 200):
        items = [
            {"name": f"Backlog {n}", "amount": {"minor": 100_000, "currency": "CNY"}, "close_date": "2027-06-30"}
            for n in range(start, min(start + 200, opportunities))
        ]
        body = json.dumps({"items": items}).encode()
        answer = json.loads(expect(await client.send("POST", "/opportunities:batch", body), 200).body)
        token = f"{token},{answer['position']}" if token else answer["position"]
    return _latest(token)


def _latest(token: str) -> str:
    """One place a partition."""
    reached: dict[str, int] = {}
    for part in token.split(","):
        where, _, at = part.partition("@")
        reached[where] = max(reached.get(where, 0), int(at))
    return ",".join(f"{where}@{at}" for where, at in reached.items())

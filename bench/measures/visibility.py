"""From the command to the funnel that shows it, both over HTTP, while 500 commands a second come in: embedded and through Kafka.

Commands come at their times, whether or not those before them are answered (an open loop). One in twenty is followed by the funnel,
asked for with the position of its answer; what counts is the time from when the command was due to when the funnel is there. A
funnel that is turned away (503) counts as never. What has not been sent a second after a round's end is not sent at all: where the
rate is not kept, the round ends all the same, and the row says what was reached. A lower rate shows the latency without the crowd.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.apart import AUDIENCE, migrated
from bench.client import Client, expect, open_client
from bench.harness import Bench, Row, Samples, percentile
from bench.ports import free_port
from bench.servers import keyfold
from shared.kit.permissions import ROLES
from shared.web.own_issuer import OwnIssuer

A_SECOND = 500
LOWER = 100  # commands a second that any machine keeps up with
KEPT = 0.9  # of the rate: the last answers of a round come after its end
GRACE_SECONDS = 1.0
SAMPLED = 20  # one command in so many is followed to the funnel
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Town:
    """Where the opportunity service is reached: port, and what stands before its paths."""

    port: int
    prefix: str
    token: str


@dataclass(slots=True)
class Round:
    """Seconds from when commands were due: until the funnel showed them, until they were answered. `unsent`: for want of a
    connection, until the round was over. `lasted`: from the first command to the last answer, in seconds."""

    seen: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: int = 0
    unsent: int = 0
    lasted: float = 0.0


async def measure(bench: Bench) -> Sequence[Row]:
    rows = []
    async with _embedded(bench) as town:
        rows += await _rows(bench, town, "embedded", 0.050)
    async with _through_kafka(bench) as town:
        rows += await _rows(bench, town, "through Kafka", 0.100)
    return rows


async def _rows(bench: Bench, town: Town, how: str, limit: float) -> list[Row]:
    async with open_client("127.0.0.1", town.port, town.token, CONNECTIONS) as client:
        opportunities = await _opened(client, town.prefix, bench.size(2_000, 200))
        if not bench.quick:
            await _round(client, town.prefix, opportunities, 2.0, A_SECOND)
        rows = []
        for rate in (A_SECOND, LOWER):
            rounds = [
                await _round(client, town.prefix, opportunities, bench.seconds(10.0, 0.5), rate)
                for _ in range(bench.rounds)
            ]
            rows.append(_row(bench, rounds, how, rate, limit))
    return rows


def _row(bench: Bench, rounds: Sequence[Round], how: str, rate: int, limit: float) -> Row:
    late = Samples(tuple(percentile(one.seen or [math.inf], 0.99) for one in rounds))
    half = Samples(tuple(percentile(one.seen or [math.inf], 0.5) for one in rounds))
    answered = Samples(tuple(percentile(one.answered or [math.inf], 0.99) for one in rounds))
    done, unsent = sum(len(one.answered) for one in rounds), sum(one.unsent for one in rounds)
    refused = sum(one.refused for one in rounds)
    reached = done / sum(one.lasted for one in rounds)
    kept = reached >= KEPT * rate
    return Row(
        "visibility", f"command → visible in the funnel, {rate} commands/s, {how}", f"p99 {late.median * 1000:.0f} ms",
        "", None, f"p99 < {limit * 1000:.0f} ms" if rate == A_SECOND else "",
        bench.judge(kept and late.median < limit) if rate == A_SECOND else None,
        f"{'rate kept' if kept else f'rate NOT kept: {reached:.0f} commands/s reached, {unsent} not sent'}; "
        f"p50 {half.median * 1000:.0f} ms; p99 by round {', '.join(f'{one * 1000:.0f}' for one in late.figures)} ms; "
        f"command answered p99 {answered.median * 1000:.0f} ms; {done} commands, {refused} turned away (409, 503)",
    )  # fmt: skip


async def _opened(client: Client, prefix: str, count: int) -> list[str]:
    ids: list[str] = []
    for start in range(0, count, 200):
        items = [
            {"name": f"Line {n}", "amount": {"minor": 100_000, "currency": "CNY"}}
            for n in range(start, min(start + 200, count))
        ]
        body = json.dumps({"items": items}).encode()
        answer = json.loads(expect(await client.post(f"{prefix}/opportunities:batch", body), 200).body)
        ids += [item["answer"]["id"] for item in answer["items"]]
        await client.get(f"{prefix}/funnel", Keyfold_Position=answer["position"])
    return ids


async def _round(client: Client, prefix: str, opportunities: list[str], seconds: float, rate: int) -> Round:
    loop = asyncio.get_running_loop()
    taken = Round()
    free = asyncio.Semaphore(CONNECTIONS)
    begin = loop.time() + 0.05

    async def command(number: int) -> None:
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        async with free:
            if loop.time() > begin + seconds + GRACE_SECONDS:
                taken.unsent += 1
                return
            await send(number, due)

    async def send(number: int, due: float) -> None:
        path = f"{prefix}/opportunities/{opportunities[number % len(opportunities)]}/amount"
        body = json.dumps({"amount": {"minor": 100_001 + round(due * 1_000_000) % 10_000_000, "currency": "CNY"}})
        answer = await client.post(path, body.encode())
        if answer.status in (409, 503):  # it cannot keep up, and says so: counted and shown
            taken.refused += 1
            return
        expect(answer, 200)
        taken.answered.append(loop.time() - due)
        if number % SAMPLED == 0:
            token = answer.header("Keyfold-Position")
            shown = await client.get(f"{prefix}/funnel?group_by=state", Keyfold_Position=token)
            if shown.status == 503:
                taken.refused += 1
                taken.seen.append(math.inf)
                return
            expect(shown, 200)
            taken.seen.append(loop.time() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            group.create_task(command(number))
    taken.lasted = loop.time() - begin
    return taken


@asynccontextmanager
async def _embedded(bench: Bench) -> AsyncIterator[Town]:
    data, port = bench.servers.folder / "embedded", free_port()
    environment = {"KEYFOLD_DATA": str(data), "KEYFOLD_PORT": str(port)}
    async with keyfold("up", "--no-demo", says="Ctrl-C", **environment):
        yield Town(port, "/opportunity", OwnIssuer.open(data).mint("bench", ROLES, AUDIENCE))


@asynccontextmanager
async def _through_kafka(bench: Bench) -> AsyncIterator[Town]:
    """The API and the worker of the opportunity service, each a process; PostgreSQL and Kafka are servers of their own."""
    port = str(free_port())
    async with (
        migrated(bench) as (environment, token),
        keyfold("serve", "opportunity", says='"ready"', **environment | {"KEYFOLD_PORT": port}),
        keyfold("work", "opportunity", says='"working"', **environment),
    ):
        yield Town(int(port), "", token)

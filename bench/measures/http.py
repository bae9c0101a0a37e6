"""A command over HTTP, with a token that is checked, against a route behind the same middleware that sends its body back."""

import json
import sys
from collections.abc import Sequence

from bench.appending import Call, load
from bench.client import Client, expect, open_client
from bench.harness import Bench, Row, interleaved, percentile, rate
from bench.servers import child

CONNECTIONS = 32
BODY = json.dumps({"text": "The steering group met; they want a second technical exchange in March."}).encode()


async def measure(bench: Bench) -> Sequence[Row]:
    seconds = bench.seconds(3.0)
    dsn, log = await bench.servers.database("http"), await bench.servers.database("log")
    folder = bench.servers.folder / "http"
    taken: list[float] = []
    async with child(sys.executable, "-m", "bench.api", dsn, log, folder) as server:
        told = await server.answer()
        async with open_client("127.0.0.1", told["port"], told["token"], CONNECTIONS) as client:

            async def commands() -> float:
                paths = iter([await _opened(client) for _ in range(CONNECTIONS)])
                figure, calls = await load(CONNECTIONS, seconds, lambda: _posting(client, next(paths)))
                taken.extend(calls)
                return figure

            async def echoes() -> float:
                return (await load(CONNECTIONS, seconds, lambda: _posting(client, "/echo")))[0]

            found = await interleaved(bench, {"commands": commands, "echoes": echoes})
    for name in (dsn, log):
        await bench.servers.drop(name)
    share = found["commands"].over(found["echoes"])
    return [
        Row(
            "http", f"HTTP command, authorised, {CONNECTIONS} connections", rate(found["commands"].median, "commands/s"),
            f"echo {rate(found['echoes'].median, 'requests/s')}", share.median, "≥ 0.45",
            bench.judge(share.median >= 0.45),
            f"ratio {share.spread}; p99 {percentile(taken, 0.99) * 1000:.1f} ms; one process, and the client beside it",
        )
    ]  # fmt: skip


async def _opened(client: Client) -> str:
    """The path of the comments of a new opportunity."""
    answer = expect(await client.post("/opportunities", b'{"name": "Bottling line 3"}'), 201)
    return f"/opportunities/{json.loads(answer.body)['id']}/comments"


def _posting(client: Client, path: str) -> Call:
    async def call() -> None:
        expect(await client.post(path, BODY), 200)

    return call

"""What an idle `keyfold up` holds in memory."""

import asyncio
from collections.abc import Sequence

import psutil

from bench.harness import Bench, Row, Samples
from bench.ports import free_port
from bench.servers import keyfold


async def measure(bench: Bench) -> Sequence[Row]:
    ours, theirs = [], []
    data = bench.servers.folder / "idle"
    async with keyfold("up", says="Ctrl-C", KEYFOLD_DATA=str(data), KEYFOLD_PORT=str(free_port())) as process:
        for _ in range(bench.rounds):
            await asyncio.sleep(bench.seconds(3.0))
            top = psutil.Process(process.pid)
            ours.append(float(top.memory_full_info().uss))
            theirs.append(float(sum(one.memory_full_info().pss for one in top.children(recursive=True))))
    python, database = Samples(tuple(ours)).median / 2**20, Samples(tuple(theirs)).median / 2**20
    return [
        Row(
            "memory", "memory: idle, embedded, the invented company loaded", f"{python + database:.0f} MiB",
            "", None, "stated", None, f"Keyfold's process {python:.0f} MiB, PostgreSQL's together {database:.0f} MiB",
        )
    ]  # fmt: skip

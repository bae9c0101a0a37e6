"""A writing process of its own: `python -m bench.writer DSN CALLERS`. Asked {"each": n}, it tells its rate and its p99."""

import asyncio
import json
import sys

import uvloop

from bench.appending import append, open_store
from bench.harness import percentile
from shared.kit.garbage import collect_seldom


async def main(dsn: str, callers: int) -> None:
    collect_seldom()  # as every process of Keyfold
    async with open_store(dsn) as store:
        while line := await asyncio.to_thread(sys.stdin.readline):
            rate, taken = await append(store, callers, json.loads(line)["each"])
            print(json.dumps({"rate": rate, "p99": percentile(taken, 0.99)}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))

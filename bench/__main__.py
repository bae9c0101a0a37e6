"""`python -m bench`, or `make bench`: measure, show, and with --write put the figures into docs/performance.md."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import uvloop

from bench import report
from bench.harness import Bench, Row
from bench.machine import machine
from bench.measures import MEASURES
from bench.servers import PeerMissing, open_servers
from shared.kit.garbage import collect_seldom
from shared.kit.telemetry import configure_logging


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Keyfold's speed, against peers and against physics.")
    parser.add_argument(
        "--only", action="append", choices=list(MEASURES), help="this measure; several times for several"
    )
    parser.add_argument("--quick", action="store_true", help="sizes too small to judge by: does everything work?")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    chosen = parser.parse_args(words)
    if chosen.write and (chosen.quick or chosen.only):
        parser.error("--write wants everything at full size")
    return chosen


async def measure(names: Sequence[str], *, quick: bool) -> tuple[list[Row], dict[str, str], list[str]]:
    """(rows, the machine, what could not be measured and why)."""
    rows: list[Row] = []
    missing: list[str] = []
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # servers are stopped in order
    async with open_servers() as servers:
        named = await machine(await servers.postgres())
        for name in names:
            began = time.monotonic()
            try:
                rows += await MEASURES[name](Bench(servers, quick))
            except PeerMissing as reason:
                missing.append(f"{name}: {reason}")
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, named, missing


def main() -> int:
    chosen = arguments(sys.argv[1:])
    collect_seldom()  # as every process of Keyfold
    configure_logging("error", "text")
    rows, named, missing = uvloop.run(measure(chosen.only or list(MEASURES), quick=chosen.quick))
    day = datetime.now(UTC).date().isoformat()
    if chosen.json:
        print(report.as_json(rows, named, day))
    else:
        for what, value in named.items():
            print(f"{what}: {value}")
        report.show(rows)
    if chosen.write:
        report.write_page(rows, named, day, missing)
    for reason in missing:
        print(f"not measured: {reason}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

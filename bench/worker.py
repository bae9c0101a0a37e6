"""All read models of the opportunity service, rebuilt by a process of its own: `python -m bench.worker DSN LOG_DSN`.

Tells as a line of JSON: its memory before and at the most (bytes), the records it read, and the seconds that it took.
"""

import asyncio
import json
import resource
import sys

import psutil
import uvloop

from services.opportunity.app import SERVICE
from shared.kit.garbage import collect_seldom
from shared.kit.telemetry import configure_logging
from shared.log.open import open_log
from shared.projections.rebuild import rebuild
from shared.service.backend import WORKER, open_engine


async def main(dsn: str, log_dsn: str) -> None:
    collect_seldom()  # as every process of Keyfold
    configure_logging("error", "text")
    before = psutil.Process().memory_info().rss
    engine, log = open_engine(dsn, WORKER.reads), open_log(log_dsn)
    clock, records, seconds = asyncio.get_running_loop().time, 0, 0.0
    try:
        for projection in SERVICE.projections:
            began = clock()
            report = await rebuild(engine, log, projection)
            if report.records > records:
                records, seconds = report.records, clock() - began
    finally:
        await log.close()
        await engine.dispose()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"before": before, "largest": largest, "records": records, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))

"""A worker of the invented service: relay, read models, or both."""

import asyncio
import signal
import sys
from collections.abc import Sequence

import uvloop
from pydantic import BaseModel

from shared.kit.calendar import BusinessCalendar
from shared.kit.telemetry import configure_logging
from shared.log.open import open_log
from shared.log.port import LogProducer, NewRecord
from shared.projections.runner import Runner
from shared.relay.relay import Relay
from shared.service.backend import WORKER, open_backend
from tests.faults import tally


class WorkerOptions(BaseModel):
    """`broken`: this release cannot take bad events. `knows`: the version of `tally.graded` that it knows. `batch`: how many
    events the relay sends at once.
    """

    dsn: str
    log: str
    topic: str
    name: str
    relay: bool = True
    fold: bool = True
    broken: bool = False
    knows: int = 2
    batch: int = 100


class TellingProducer:
    """Says when a batch is sent and when it is acknowledged: between the two is where a relay can be killed in the middle."""

    def __init__(self, producer: LogProducer) -> None:
        self._producer = producer

    async def send(self, records: Sequence[NewRecord]) -> None:
        print("sending", flush=True)
        await self._producer.send(records)
        print("sent", flush=True)

    async def close(self) -> None:
        await self._producer.close()


async def main() -> None:
    options = WorkerOptions.model_validate_json(sys.argv[1])
    configure_logging("info", "json")
    tally.use_topic(options.topic)
    tally.broken = options.broken
    tally.Graded.type_version = options.knows
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = open_log(options.log)
    open_producer = log.producer

    async def telling() -> LogProducer:
        return TellingProducer(await open_producer())

    log.producer = telling  # type: ignore[method-assign]
    backend = open_backend(
        tally.SERVICE,
        options.dsn,
        log,
        b"",
        BusinessCalendar(),
        store_connections=WORKER.store,
        read_connections=WORKER.reads,
    )
    async with backend as opened, asyncio.TaskGroup() as group:
        if options.relay:
            relay = Relay(opened.dsn, opened.store, log, tally.TALLY, batch=options.batch, standby_seconds=0.2)
            group.create_task(relay.run(stop))
        if options.fold:
            runner = Runner(opened.engine, log, tally.PROJECTIONS, options.name, opened.bell)
            group.create_task(runner.run(stop))
        print("working", flush=True)
    await log.close()


if __name__ == "__main__":
    uvloop.run(main())

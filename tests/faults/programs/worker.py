"""A worker of the invented service: relay, read models, or both."""

import asyncio
import os
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
    events the relay sends at once. `dies`: in which of these batches the process is killed, and how much of that batch (0 to 1)
    the log has acknowledged by then.
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
    dies: tuple[int, float] | None = None


class MortalProducer:
    """SIGKILL from outside meets the middle of a batch, which takes a few milliseconds, only by luck."""

    def __init__(self, producer: LogProducer, dies: tuple[int, float] | None) -> None:
        self._producer = producer
        self._last, self._share = dies or (0, 0.0)
        self._batches = 0

    async def send(self, records: Sequence[NewRecord]) -> None:
        self._batches += 1
        if self._batches == self._last:
            await self._producer.send(records[: round(len(records) * self._share)])
            os.kill(os.getpid(), signal.SIGKILL)
        await self._producer.send(records)

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

    async def mortal() -> LogProducer:
        return MortalProducer(await open_producer(), options.dies)

    log.producer = mortal  # type: ignore[method-assign]
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

"""How long the event loop lets others wait: one task that sleeps, and sees how much later it is woken."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shared.kit.figures import Figures

INTERVAL = 0.25


@asynccontextmanager
async def watched(several: Sequence[Figures]) -> AsyncIterator[None]:
    """Until the block is left, into the figures of every service of this process."""
    task = asyncio.create_task(_watch(several), name="watch the event loop")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(several: Sequence[Figures]) -> None:
    delays = [
        figures.histogram("keyfold_event_loop_delay_seconds", "How much later than due the event loop came to a task.")
        for figures in several
    ]
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        for delay in delays:
            delay.observe(max(0.0, loop.time() - due))

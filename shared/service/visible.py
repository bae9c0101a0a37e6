"""Waiting until all that is recorded shows, for imports and for the first look."""

import asyncio
import contextlib
from collections.abc import Sequence

from shared.projections.tokens import format_token
from shared.relay.cursor import cursor_at
from shared.service.backend import Backend

VISIBLE_SECONDS = 120.0
FIRST_BEAT_SECONDS = 10.0  # a worker that has to build its read models on a busy machine
FIRST_BEAT_LOOK_SECONDS = 0.05


async def wait_until_visible(backends: Sequence[Backend], seconds: float = VISIBLE_SECONDS) -> None:
    """Until everything that is recorded now shows in every read model. Raises NotYetVisibleError.

    Workers that have just been started are given time for their first sign of life.
    """
    for backend in backends:
        await _alive(backend)
    reached: dict[tuple[str, int], int] = {}
    for backend in backends:
        cursor = await cursor_at(backend.store, await backend.store.head())
        reached |= {(backend.service.name, partition): at for partition, at in cursor.partitions.items()}
    if reached:
        for backend in backends:
            await backend.reads.wait_for(format_token(reached), backend.service.projections, seconds)


async def _alive(backend: Backend) -> None:
    """Until a worker of the service is alive, or has had time enough to be."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_BEAT_SECONDS):
            while not await backend.reads.worker_alive():
                await backend.bell.wait(FIRST_BEAT_LOOK_SECONDS)

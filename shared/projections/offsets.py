"""Tell the log how far a group has read, for lag tools alone: about once a second, and never in the way of reading."""

import asyncio
from collections.abc import Mapping

import structlog

from shared.log.port import LogConsumer
from shared.projections.checkpoints import TopicPartition

EVERY_SECONDS = 1.0
CLOSE_SECONDS = 20.0  # a driver gives up after 15; to cut it off in the middle would leave its connections open
log = structlog.get_logger(__name__)


class GroupOffsets:
    """Checkpoints are the truth: an offset that cannot be told is only a line in the log. `group` None: nothing is told."""

    def __init__(self, consumer: LogConsumer, group: str | None) -> None:
        self._consumer = consumer
        self._group = group
        self._told: Mapping[TopicPartition, int] = {}
        self._last = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def tell(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Start telling them in the background, unless nothing has changed or it is too soon: then the next call will."""
        now = asyncio.get_running_loop().time()
        busy = self._task is not None and not self._task.done()
        if self._group is None or busy or now - self._last < EVERY_SECONDS or offsets == self._told:
            return
        self._last = now
        self._task = asyncio.create_task(self._commit(self._group, offsets), name=f"offsets of {self._group}")

    async def close(self) -> None:
        if self._task is not None:
            _, waiting = await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(group, offsets)
            self._told = offsets
        except Exception as error:  # noqa: BLE001 — whatever a driver raises: reading goes on without it
            log.warning("lag tools are not told", group=group, error=f"{type(error).__name__}: {error}")

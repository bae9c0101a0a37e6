"""Who reads which partitions: heartbeat rows of live workers, partition = rank modulo their number. For both log drivers."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

import structlog
from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.log.port import PARTITIONS
from shared.projections.database_errors import DATABASE_ERRORS
from shared.projections.tables import worker

BEAT_SECONDS = 1.0
DEAD_SECONDS = 5.0
FORGOTTEN_SECONDS = 60.0
log = structlog.get_logger(__name__)


class Assignment:
    """One worker's heartbeat and its share. A share that is out of date does no harm: checkpoints fence. `shapes` tells the
    others which tables its code has, by projection.
    """

    def __init__(self, engine: AsyncEngine, worker_id: str, shapes: Mapping[str, str] | None = None) -> None:
        self._engine = engine
        self.worker_id = worker_id
        self._shapes = dict(shapes or {})
        self.current: frozenset[int] = frozenset()
        self._beaten = float("-inf")

    async def share(self) -> frozenset[int]:
        """Beat once, and look who else lives."""
        await self._beat()
        return self.current

    @property
    def beats(self) -> bool:
        """Has the heart beaten lately? If not, the others have taken over."""
        return time.monotonic() - self._beaten < DEAD_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`; then leave, so that the others take over at once."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BEAT_SECONDS)
            try:
                await self._beat()
            except DATABASE_ERRORS as error:
                log.warning("no heartbeat", worker=self.worker_id, error=str(error))

    async def leave(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(worker).where(worker.c.worker_id == self.worker_id))

    async def _beat(self) -> None:
        now = func.clock_timestamp()
        signs = {"seen_at": now, "shapes": self._shapes}
        beat = insert(worker).values(worker_id=self.worker_id, **signs)
        async with self._engine.begin() as connection:
            await connection.execute(beat.on_conflict_do_update(index_elements=["worker_id"], set_=signs))
            living = await connection.execute(select(worker.c.worker_id).where(alive()))
            workers = sorted({self.worker_id, *living.scalars()})
            await connection.execute(_FORGET_DEAD)
        self._beaten = time.monotonic()
        rank = workers.index(self.worker_id)
        self.current = frozenset(p for p in range(PARTITIONS) if p % len(workers) == rank)


def alive() -> ColumnElement[bool]:
    """The workers whose heart has beaten lately, by the database's clock."""
    return worker.c.seen_at > func.clock_timestamp() - text(f"interval '{DEAD_SECONDS} seconds'")


# Rows of workers that died without leaving. One that was only frozen beats again and is back.
_FORGET_DEAD = delete(worker).where(
    worker.c.worker_id.in_(
        select(worker.c.worker_id)
        .where(worker.c.seen_at < func.clock_timestamp() - text(f"interval '{FORGOTTEN_SECONDS} seconds'"))
        .with_for_update(skip_locked=True)
    )
)

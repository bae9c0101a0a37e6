"""A worker of a service: keeps its share of every read model up to date, and lets its reactors act."""

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.log.port import Log
from shared.projections import generations
from shared.projections.assignment import Assignment
from shared.projections.bell import Bell
from shared.projections.definition import Projection
from shared.projections.folding import FoldSink
from shared.projections.follower import Follower, Sink

LOOK_SECONDS = 1.0


class Runner:
    """`worker_id` must be unique among living workers of the service."""

    def __init__(
        self,
        engine: AsyncEngine,
        source: Log,
        projections: Sequence[Projection],
        worker_id: str,
        bell: Bell,
        acting: Sequence[Sink] = (),
    ) -> None:
        self._engine = engine
        self._log = source
        self._projections = projections
        self._assignment = Assignment(engine, worker_id)
        self._bell = bell
        self._acting = acting

    async def run(self, stop: asyncio.Event) -> None:
        """Follow every live generation, and the old one until it is dropped; new ones as they are switched to."""
        for projection in self._projections:
            await generations.ensure_live(self._engine, projection)
        await self._assignment.share()
        followers: dict[tuple[str, int], tuple[asyncio.Event, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._assignment.run(stop), name="heartbeat")
            for sink in self._acting:
                group.create_task(self._follower(sink).run(stop), name=f"react {sink.name}")
            while not stop.is_set():
                wanted = await self._wanted()
                for key in followers.keys() - wanted.keys():
                    followers.pop(key)[0].set()
                for key in wanted.keys() - followers.keys():
                    ended = asyncio.Event()
                    sink = FoldSink(self._engine, wanted[key], key[1])
                    task = group.create_task(self._follower(sink).run(ended), name=f"fold {key[0]}_g{key[1]}")
                    followers[key] = (ended, task)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            for ended, _ in followers.values():
                ended.set()
        await self._assignment.leave()

    def _follower(self, sink: Sink) -> Follower:
        return Follower(self._engine, self._log, sink, self._assignment, self._bell)

    async def _wanted(self) -> dict[tuple[str, int], Projection]:
        async with self._engine.connect() as connection:
            return {
                (projection.name, number): projection
                for projection in self._projections
                for number in await generations.followed(connection, projection)
            }

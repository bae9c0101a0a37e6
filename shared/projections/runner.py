"""A worker of a service: keeps its share of every read model up to date, drops generations that nobody needs any more, and lets
its reactors act."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.figures import Figures
from shared.kit.tracing import OFF, Tracing
from shared.log.port import Log
from shared.projections import generations
from shared.projections.assignment import Assignment
from shared.projections.bell import Bell
from shared.projections.booking import Booking
from shared.projections.database_errors import DATABASE_ERRORS
from shared.projections.definition import Projection
from shared.projections.folding import FoldSink
from shared.projections.follower import Follower, Sink

LOOK_SECONDS = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """A generation that is kept up to date; `live` tells whether it is the one that is read."""

    projection: Projection
    generation: int
    live: bool


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
        figures: Figures | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._engine = engine
        self._log = source
        self._projections = projections
        shapes = {projection.name: projection.shape for projection in projections}
        self._assignment = Assignment(engine, worker_id, shapes)
        self._bell = bell
        self._acting = acting
        self._figures = figures
        self._booking = Booking(engine)
        self._missed: set[str] = set()

    @property
    def beats(self) -> bool:
        """Do the other workers know that this one lives?"""
        return self._assignment.beats

    async def run(self, stop: asyncio.Event) -> None:
        """Follow every generation of the shape that this code has, new ones as they are switched to. At `stop`: finish the
        batches that have begun, and leave, so that the others take over at once.
        """
        for projection in self._projections:
            await generations.ensure_live(self._engine, projection)
        try:
            await self._assignment.share()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._assignment.run(stop), name="heartbeat")
                for sink in self._acting:
                    follower = self._follower(sink, f"keyfold.{sink.name}")
                    group.create_task(follower.run(stop), name=f"react {sink.name}")
                await self._follow(group, stop)
        finally:
            try:
                await self._assignment.leave()
            except DATABASE_ERRORS as error:
                log.warning("could not leave; the others wait for the heart to stop", error=str(error))

    async def _follow(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        followers: dict[Followed, asyncio.Event] = {}
        while not stop.is_set():
            try:
                await self._drop_retired()
                wanted = await self._wanted()
            except DATABASE_ERRORS as error:
                log.warning("cannot look for new generations", error=f"{type(error).__name__}: {error}")
            else:
                for followed in followers.keys() - wanted:
                    followers.pop(followed).set()
                for followed in wanted - followers.keys():
                    followers[followed] = asyncio.Event()
                    sink = FoldSink(
                        self._engine, followed.projection, followed.generation, self._booking,
                        self._tracing if followed.live else OFF,
                    )  # fmt: skip

                    # A group of the log is named for the read model; its old generation must not speak in its name.
                    follower = self._follower(sink, f"keyfold.{sink.name}" if followed.live else None)
                    name = f"fold {sink.name}_g{sink.generation}"
                    group.create_task(follower.run(followers[followed]), name=name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        for ended in followers.values():
            ended.set()

    def _follower(self, sink: Sink, group: str | None) -> Follower:
        return Follower(self._engine, self._log, sink, self._assignment, self._bell, group, self._figures)

    async def _drop_retired(self) -> None:
        for projection in self._projections:
            for number in await generations.drop_retired(self._engine, projection):
                log.info("old generation dropped", projection=projection.name, generation=number)

    async def _wanted(self) -> set[Followed]:
        wanted: set[Followed] = set()
        async with self._engine.connect() as connection:
            for projection in self._projections:
                found = await generations.followed(connection, projection)
                wanted |= {Followed(projection, number, live) for number, live in found.items()}
                if not found and projection.name not in self._missed:
                    self._missed.add(projection.name)
                    log.error("read model is not kept up to date", reason=str(generations.ShapeError(projection)))
        return wanted

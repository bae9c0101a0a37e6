"""Reading read models: the live generation, and waiting for one's own writes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import and_, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.projections import generations, tables
from shared.projections.assignment import alive
from shared.projections.bell import Bell
from shared.projections.definition import Projection
from shared.projections.tokens import parse_token

LOOK_SECONDS = (0.05, 0.1, 0.25)  # between looks, unless the bell rings


class NotYetVisibleError(Exception):
    """The write of the token is committed; the read model does not show it yet. Read again later (HTTP 503)."""


class NotBuiltError(Exception):
    """The read model has no generation that this code can read: no worker has ever run for this service, or its tables have
    changed and it was not rebuilt (HTTP 503).
    """


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the generations of a database are: (projection, generation) → (topic, partition) → position."""

    positions: Mapping[tuple[str, int], Mapping[tuple[str, int], int]] = field(default_factory=dict)
    shapes: Mapping[tuple[str, int], str] = field(default_factory=dict)
    worker_alive: bool = False

    def of(self, projection: Projection) -> Mapping[tuple[str, int], int]:
        """Of the generation that this code reads; empty when there is none."""
        numbers = [
            number
            for (name, number), shape in self.shapes.items()
            if name == projection.name and shape == projection.shape
        ]
        return self.positions.get((projection.name, max(numbers)), {}) if numbers else {}


class ReadModels:
    """`engine` is that of the service's database; `bell` is shared with the runner where both are one process."""

    def __init__(self, engine: AsyncEngine, bell: Bell | None = None) -> None:
        self._engine = engine
        self._bell = bell or Bell()
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._seen = Progress()

    @asynccontextmanager
    async def connect(self, *projections: Projection) -> AsyncIterator[AsyncConnection]:
        """A read-only connection on which the projections' tables mean their live generation; all reads see one moment.

        Raises NotBuiltError.
        """
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            translated: dict[str, str | None] = {}
            try:
                numbers = await generations.readable(connection, projections)
            except generations.ShapeError as error:
                raise NotBuiltError(str(error)) from error
            for projection in projections:
                number = numbers[projection.name]
                if number is None:
                    raise NotBuiltError(f"{projection.name} has not been built yet; is a worker running?")
                translated |= generations.translation(projection, number)
            yield await connection.execution_options(schema_translate_map=translated)

    async def wait_for(self, token: str, projections: Sequence[Projection], timeout: float = 5.0) -> None:
        """Until the projections have applied what the token names of their sources. Raises BadTokenError, NotYetVisibleError.

        Already applied: returns at once, also while no worker runs. Effects that reach a read model only through a reactor are
        not covered.
        """
        positions = parse_token(token)
        topics = {source.service: source.topic for projection in projections for source in projection.sources}
        wanted = {(topics[service], part): at for (service, part), at in positions.items() if service in topics}
        loop = asyncio.get_running_loop()
        deadline, looks = loop.time() + timeout, 0
        while wanted:
            progress = await self._look()
            lacking = [
                projection.name for projection in projections if _lacks(progress.of(projection), projection, wanted)
            ]
            if not lacking:
                return
            if not progress.worker_alive:
                raise NotYetVisibleError("committed, not yet visible: no worker is running for this read model")
            left = deadline - loop.time()
            if left <= 0:
                raise NotYetVisibleError(
                    f"committed, not yet visible after {timeout:g} s: {', '.join(lacking)} lag behind"
                )
            await self._bell.wait(min(LOOK_SECONDS[min(looks, len(LOOK_SECONDS) - 1)], left))
            looks += 1

    async def worker_alive(self) -> bool:
        return (await self._look()).worker_alive

    async def _look(self) -> Progress:
        """The progress at a moment after the call. All who wait are served by one query at a time: waiting stays cheap."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._looking:
            if self._looked_at <= asked:
                began = loop.time()
                self._seen = await self._query()
                self._looked_at = began
            return self._seen

    async def _query(self) -> Progress:
        point, made = tables.checkpoint, tables.generation
        statement = (
            select(
                made.c.projection, made.c.generation, made.c.shape, point.c.topic, point.c.partition, point.c.position,
                select(func.count()).select_from(tables.worker).where(alive()).scalar_subquery().label("workers"),
            )
            .select_from(tables.generation)
            .outerjoin(
                point, and_(point.c.projection == made.c.projection, point.c.generation == made.c.generation)
            )
            .where(made.c.state != "building")
        )  # fmt: skip
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        positions: dict[tuple[str, int], dict[tuple[str, int], int]] = {}
        for row in rows:
            if row.topic is not None:
                key = (row.projection, row.generation)
                positions.setdefault(key, {})[row.topic, row.partition] = row.position
        shapes = {(row.projection, row.generation): row.shape for row in rows}
        return Progress(positions, shapes, any(row.workers for row in rows))


def _lacks(
    reached: Mapping[tuple[str, int], int], projection: Projection, wanted: Mapping[tuple[str, int], int]
) -> bool:
    return any(
        topic in projection.topics and reached.get((topic, part), 0) < at for (topic, part), at in wanted.items()
    )

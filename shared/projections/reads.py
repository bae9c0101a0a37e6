"""Reading read models: the live generation, and waiting for one's own writes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.projections import generations, tables
from shared.projections.assignment import alive
from shared.projections.bell import Bell
from shared.projections.definition import Projection
from shared.projections.tokens import parse_token

LOOK_SECONDS = 0.05


class NotYetVisibleError(Exception):
    """The write of the token is committed; the read model does not show it yet. Read again later (HTTP 503)."""


class NotBuiltError(Exception):
    """The read model has no generation: no worker has ever run for this service (HTTP 503)."""


class ReadModels:
    """`engine` is that of the service's database; `bell` is shared with the runner where both are one process."""

    def __init__(self, engine: AsyncEngine, bell: Bell | None = None) -> None:
        self._engine = engine
        self._bell = bell or Bell()

    @asynccontextmanager
    async def connect(self, *projections: Projection) -> AsyncIterator[AsyncConnection]:
        """A read-only connection on which the projections' tables mean their live generation; all reads see one moment.

        Raises NotBuiltError.
        """
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            translated: dict[str, str | None] = {}
            for projection in projections:
                number = await generations.live(connection, projection)
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
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            lacking = await self._lacking(positions, projections)
            if not lacking:
                return
            if not await self.worker_alive():
                raise NotYetVisibleError("committed, not yet visible: no worker is running for this read model")
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise NotYetVisibleError(
                    f"committed, not yet visible after {timeout:g} s: {', '.join(lacking)} lag behind"
                )
            await self._bell.wait(min(LOOK_SECONDS, left))

    async def worker_alive(self) -> bool:
        async with self._engine.connect() as connection:
            found = await connection.scalar(select(func.count()).select_from(tables.worker).where(alive()))
        return bool(found)

    async def _lacking(self, positions: dict[tuple[str, int], int], projections: Sequence[Projection]) -> list[str]:
        """The projections whose live generation has not reached a position of the token."""
        topics = {source.service: source.topic for projection in projections for source in projection.sources}
        wanted = {(topics[service], part): at for (service, part), at in positions.items() if service in topics}
        if not wanted:
            return []
        point, live = tables.checkpoint, tables.generation
        of_token = or_(*(and_(point.c.topic == topic, point.c.partition == part) for topic, part in wanted))
        statement = (
            select(point.c.projection, point.c.topic, point.c.partition, point.c.position)
            .join(live, and_(live.c.projection == point.c.projection, live.c.generation == point.c.generation))
            .where(live.c.state == "live", of_token)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        reached = {(row.projection, row.topic, row.partition): row.position for row in rows}
        return [
            projection.name
            for projection in projections
            if any(
                topic in projection.topics and reached.get((projection.name, topic, part), 0) < at
                for (topic, part), at in wanted.items()
            )
        ]

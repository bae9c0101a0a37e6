"""Folding events into the rows of one generation: rows and checkpoint in one transaction, poison parked."""

from collections.abc import Sequence

import asyncpg
import orjson
import structlog
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Envelope
from shared.projections import checkpoints, tables
from shared.projections.checkpoints import FencedError, Move
from shared.projections.definition import Projection
from shared.projections.follower import Delivery, StopPartitionError
from shared.projections.generations import schema_of
from shared.projections.rows import RowBatch

TRANSIENT_CLASSES = {"08", "40", "53", "55", "57", "58"}  # of SQLSTATE
log = structlog.get_logger(__name__)


class FoldSink:
    """Folds into one generation of a projection. A stream whose event cannot be taken is parked, and later events of it queue
    behind; all others go on."""

    def __init__(self, engine: AsyncEngine, projection: Projection, generation: int) -> None:
        self._engine = engine
        self.projection = projection
        self.name = projection.name
        self.generation = generation
        self.topics = projection.topics
        self._schema = schema_of(projection, generation)
        self._parked: set[str] = set()

    async def begin(self, connection: AsyncConnection) -> None:
        rows = await connection.execute(
            select(tables.parked.c.stream_id).where(
                tables.parked.c.projection == self.name, tables.parked.c.generation == self.generation
            )
        )
        self._parked = set(rows.scalars())

    def admit(self, envelope: Envelope) -> bool:
        if self.projection.handling(envelope.type_name) is None:
            return False
        known = self.projection.contract(envelope.type_name).events[envelope.type_name]
        if envelope.type_version > known.type_version:
            raise StopPartitionError(
                "newer_version",
                f"{envelope.type_name} v{envelope.type_version} at position {envelope.position}: this code knows up to "
                f"v{known.type_version}. Upgrade this worker",
            )
        return True

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        try:
            await self._transaction(deliveries, moves)
        except FencedError:
            raise
        except Exception as error:
            if transient(error):
                raise
            await self._bisect(deliveries, moves, error)

    async def _bisect(self, deliveries: Sequence[Delivery], moves: Sequence[Move], error: Exception) -> None:
        """Halve a failed batch until the bad event stands alone, and park its stream."""
        if len(deliveries) <= 1:
            await self._transaction((), moves, bad=deliveries[0] if deliveries else None, error=error)
            return
        middle = len(deliveries) // 2
        first, second = deliveries[:middle], deliveries[middle:]
        halfway, rest = _split(moves, first, second)
        await self.apply(first, halfway)
        await self.apply(second, rest)

    async def _transaction(
        self,
        deliveries: Sequence[Delivery],
        moves: Sequence[Move],
        *,
        bad: Delivery | None = None,
        error: Exception | None = None,
    ) -> None:
        queued = [one for one in deliveries if one.envelope.stream_id in self._parked]
        due = [one for one in deliveries if one.envelope.stream_id not in self._parked]
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self.name, self.generation, moves)
            if due:
                await fold(connection, self.projection, self._schema, [one.envelope for one in due])
            parked = [self._row(one, None) for one in queued]
            if bad is not None and error is not None:
                parked.append(self._row(bad, f"{type(error).__name__}: {error}"[:4_000]))
            if parked:
                await connection.execute(insert(tables.parked), parked)
        if bad is not None:
            self._parked.add(bad.envelope.stream_id)
            log.error(
                "stream parked",
                projection=self.name,
                stream=bad.envelope.stream_id,
                position=bad.envelope.position,
                error=f"{type(error).__name__}: {error}",
            )

    def _row(self, delivery: Delivery, error: str | None) -> dict[str, object]:
        record, envelope = delivery.record, delivery.envelope
        return {
            "projection": self.name,
            "generation": self.generation,
            "topic": record.topic,
            "position": envelope.position,
            "partition": record.partition,
            "stream_id": envelope.stream_id,
            "type_name": envelope.type_name,
            "headers": orjson.dumps(dict(record.headers)),
            "value": record.value,
            "error": error,
        }


async def fold(connection: AsyncConnection, projection: Projection, schema: str, envelopes: Sequence[Envelope]) -> None:
    """Load the groups that the events touch, run the handlers in order, write what changed."""
    work = []
    groups: dict[object, None] = {}
    for envelope in envelopes:
        handling = projection.handling(envelope.type_name)
        if handling is None:
            continue
        event = projection.contract(envelope.type_name).open(envelope)
        work.append((handling.handler, event))
        groups.update(dict.fromkeys(handling.key(event)))
    rows = RowBatch(projection, schema)
    translated = await connection.execution_options(schema_translate_map={projection.name: schema})
    await rows.load(translated, groups)
    for handler, event in work:
        handler(rows, event)
    await rows.flush(connection)


def transient(error: BaseException) -> bool:
    """Will the same attempt succeed later? Lost connections, shutdowns, deadlocks, time-outs, full disks: yes."""
    cause: BaseException | None = error
    if isinstance(error, DBAPIError):
        cause = getattr(error.orig, "__cause__", None) or error.orig
    if isinstance(cause, asyncpg.PostgresError):
        return str(cause.sqlstate or "")[:2] in TRANSIENT_CLASSES
    if isinstance(cause, asyncpg.InterfaceError):
        return not isinstance(cause, ValueError)  # the driver calls a value that it cannot send an interface error, too
    return isinstance(cause, OSError | TimeoutError)


def _split(
    moves: Sequence[Move], first: Sequence[Delivery], second: Sequence[Delivery]
) -> tuple[list[Move], list[Move]]:
    """Moves up to the last event of the first half, and from there on."""
    last = {(one.record.topic, one.record.partition): one for one in first}
    later = {(one.record.topic, one.record.partition) for one in second}
    halfway, rest = [], []
    for move in moves:
        key = (move.topic, move.partition)
        if key not in later:
            halfway.append(move)
        elif key not in last:
            rest.append(move)
        else:
            at = last[key].envelope.position
            # The offset stays behind: what lies between is dropped as had already if it is read again.
            halfway.append(Move(move.topic, move.partition, move.before, at, last[key].record.offset + 1))
            rest.append(Move(move.topic, move.partition, at, move.position, move.offset))
    return halfway, rest

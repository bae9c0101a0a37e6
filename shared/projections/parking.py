"""Where the events of a stream wait that a reader could not take: the bad one, and in order behind it those that came later."""

import sysconfig
import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import asyncpg
import orjson
import structlog
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.log.port import LogUnavailableError
from shared.projections import checkpoints, tables
from shared.projections.checkpoints import FencedError, Move
from shared.projections.follower import Delivery, TryAgainError, split

LONGEST_ERROR = 4_000
TRANSIENT_CLASSES = {"08", "40", "53", "55", "57", "58"}  # of SQLSTATE
log = structlog.get_logger(__name__)

Take = Callable[[Sequence[Delivery], Sequence[Move]], Awaitable[None]]


class Parking:
    """The parked streams of one reader and generation. Partitions keep others away, so memory may be trusted to know them all;
    that a stream has left, replayed by some other process, only the table tells. An event that was given up is given up for
    every generation: a rebuild passes over it."""

    def __init__(self, engine: AsyncEngine, reader: str, generation: int) -> None:
        self._engine = engine
        self._reader = reader
        self._generation = generation
        self._streams: set[str] = set()

    async def load(self, connection: AsyncConnection) -> None:
        self._streams = set(await self._stored(connection))

    async def divide(
        self, connection: AsyncConnection, deliveries: Sequence[Delivery]
    ) -> tuple[list[Delivery], list[Delivery]]:
        """(due, to be queued). To be called with the checkpoints locked, as a replay does."""
        if any(one.envelope.stream_id in self._streams for one in deliveries):
            self._streams = set(await self._stored(connection))
        given_up = await self._given_up_of(connection, deliveries)
        left = [one for one in deliveries if (one.record.topic, one.envelope.position) not in given_up]
        due = [one for one in left if one.envelope.stream_id not in self._streams]
        queued = [one for one in left if one.envelope.stream_id in self._streams]
        return due, queued

    async def queue(self, connection: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
        """Behind the bad event of their stream."""
        if deliveries:
            await connection.execute(insert(tables.parked), [self._row(one, None) for one in deliveries])

    async def apply(self, take: Take, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        """Take a batch; halve a failed one until the bad event stands alone, and park its stream. Raises FencedError, and
        whatever will pass by itself.
        """
        try:
            await take(deliveries, moves)
        except FencedError:
            raise
        except Exception as error:
            if transient(error) or not deliveries:
                raise
            if len(deliveries) == 1:
                await self._park(deliveries[0], moves, error)
                return
            middle = len(deliveries) // 2
            halfway, rest = split(moves, deliveries[:middle], deliveries[middle:])
            await self.apply(take, deliveries[:middle], halfway)
            await self.apply(take, deliveries[middle:], rest)

    async def _park(self, bad: Delivery, moves: Sequence[Move], error: Exception) -> None:
        detail, place = f"{type(error).__name__}: {error}"[:LONGEST_ERROR], place_of(error)
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self._reader, self._generation, moves)
            await connection.execute(insert(tables.parked), [self._row(bad, detail, place)])
        self._streams.add(bad.envelope.stream_id)
        log.error(
            "stream parked",
            reader=self._reader,
            generation=self._generation,
            stream=bad.envelope.stream_id,
            position=bad.envelope.position,
            error=detail,
            place=place,
        )

    async def given_up(self, connection: AsyncConnection) -> Collection[tuple[str, int]]:
        """(topic, position) of all events of this reader that an operator has dropped."""
        one = tables.dropped.c
        rows = await connection.execute(select(one.topic, one.position).where(one.projection == self._reader))
        return {(row.topic, row.position) for row in rows}

    async def _given_up_of(
        self, connection: AsyncConnection, deliveries: Sequence[Delivery]
    ) -> Collection[tuple[str, int]]:
        """(topic, position) of those that an operator has dropped."""
        if not deliveries:
            return ()
        positions = [each.envelope.position for each in deliveries]
        one = tables.dropped.c
        rows = await connection.execute(
            select(one.topic, one.position).where(
                one.projection == self._reader, one.position.between(min(positions), max(positions))
            )
        )
        return {(row.topic, row.position) for row in rows}

    async def _stored(self, connection: AsyncConnection) -> Collection[str]:
        rows = await connection.execute(
            select(tables.parked.c.stream_id)
            .distinct()
            .where(tables.parked.c.projection == self._reader, tables.parked.c.generation == self._generation)
        )
        return rows.scalars().all()

    def _row(self, delivery: Delivery, error: str | None, place: str | None = None) -> dict[str, object]:
        record, envelope = delivery.record, delivery.envelope
        return {
            "projection": self._reader,
            "generation": self._generation,
            "topic": record.topic,
            "position": envelope.position,
            "partition": record.partition,
            "stream_id": envelope.stream_id,
            "type_name": envelope.type_name,
            "headers": orjson.dumps(dict(record.headers)),
            "value": record.value,
            "error": error,
            "place": place,
        }


_ROOT = Path(__file__).parents[2]
_OURS = ("services", "shared")
_FOREIGN = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def place_of(error: BaseException) -> str | None:
    """`file:line` of the innermost frame in our code, or None when there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name, file = str(frame.f_globals.get("__name__")), Path(frame.f_code.co_filename)
        if file.is_absolute() and (name.split(".", maxsplit=1)[0] in _OURS or not str(file).startswith(_FOREIGN)):
            return f"{file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else file}:{line}"
    return None


def transient(error: BaseException) -> bool:
    """Will the same attempt succeed later? Lost connections, shutdowns, deadlocks, time-outs, full disks: yes."""
    cause: BaseException | None = error
    if isinstance(error, DBAPIError):
        cause = getattr(error.orig, "__cause__", None) or error.orig
    if isinstance(cause, asyncpg.PostgresError):
        return str(cause.sqlstate or "")[:2] in TRANSIENT_CLASSES
    if isinstance(cause, asyncpg.InterfaceError):
        return not isinstance(cause, ValueError)  # the driver calls a value that it cannot send an interface error, too
    passing = (
        OSError | TimeoutError | PoolTimeoutError | asyncpg.InternalClientError | TryAgainError | LogUnavailableError
    )
    return isinstance(cause, passing)

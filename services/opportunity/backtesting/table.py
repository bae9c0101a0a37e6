"""Back-tests as rows: what was asked, how far it is, what came out. No facts: they may be thrown away and asked again."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Table,
    Text,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as KEY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.eventstore.types import IdempotencyMismatchError

SCHEMA = "backtest"
SILENT = text("interval '30 seconds'")  # a process that has not said anything for so long is gone
AT_ONCE = 2
KEPT = 200  # the oldest give way
AT_A_TIME = 500  # rows of one statement
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('keyfold backtest schema', 0))")

metadata = MetaData(schema=SCHEMA)
trial = Table(
    "trial",
    metadata,
    Column("id", KEY(as_uuid=False), primary_key=True),
    Column("sent", JSONB, nullable=False),  # the request as it was sent, to know it again
    Column("ask", JSONB, nullable=False),  # what it came to
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("total", Integer),
    Column("ended", Text),  # done, failed, broken_off; null: it goes on
    Column("finished_at", DateTime(timezone=True)),
    Column("result", JSONB(none_as_null=True)),  # figures alone
    Column("error", Text),
    Index("trial_by_time", "requested_at", "id"),
)
act = Table(
    "act",
    metadata,
    Column("trial_id", KEY(as_uuid=False), ForeignKey(trial.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("told", JSONB, nullable=False),
)


class TooManyRunningError(Exception):
    """As many back-tests as may be are under way: wait for one of them."""


class GivenUpError(Exception):
    """The back-test does not go on: it fell silent, or whoever asked is gone."""


async def migrate_backtests(engine: AsyncEngine) -> None:
    """Make schema and tables where they are missing; safe to call from several processes at once."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        await connection.run_sync(metadata.create_all)


async def known(connection: AsyncConnection, run_id: str, sent: dict[str, Any]) -> bool:
    """Was it asked for before? Raises IdempotencyMismatchError where something else was asked under this id."""
    before = await connection.scalar(select(trial.c.sent).where(trial.c.id == run_id))
    if before is not None and before != sent:
        raise IdempotencyMismatchError(run_id)
    return before is not None


async def enter(
    engine: AsyncEngine, run_id: UUID, sent: dict[str, Any], ask: dict[str, Any], by: str, now: datetime
) -> bool:
    """False when it is there already. What has fallen silent is given up, for another one may run in its place.

    Raises TooManyRunningError, IdempotencyMismatchError as `known`.
    """
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        if await known(connection, str(run_id), sent):
            return False
        silent = trial.c.ended.is_(None) & (trial.c.beat_at < func.clock_timestamp() - SILENT)
        given_up = {"ended": "broken_off", "finished_at": func.clock_timestamp(), "error": "its process fell silent"}
        await connection.execute(update(trial).where(silent).values(**given_up))
        running = select(func.count()).where(trial.c.ended.is_(None))
        if (await connection.scalar(running) or 0) >= AT_ONCE:
            raise TooManyRunningError
        asked = {"id": str(run_id), "sent": sent, "ask": ask, "requested_by": by, "requested_at": now}
        await connection.execute(insert(trial).values(**asked))
        oldest = select(trial.c.id).order_by(trial.c.requested_at.desc(), trial.c.id.desc()).offset(KEPT)
        await connection.execute(trial.delete().where(trial.c.id.in_(oldest)))
    return True


async def beat(engine: AsyncEngine, run_id: str) -> None:
    """Say that it goes on. Raises GivenUpError."""
    await _set(engine, run_id, beat_at=func.clock_timestamp())


async def advance(engine: AsyncEngine, run_id: str, done: int, total: int) -> None:
    """Raises GivenUpError."""
    await _set(engine, run_id, done=done, total=total, beat_at=func.clock_timestamp())


async def finish(engine: AsyncEngine, run_id: str, figures: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """The figures and the acts behind them, together. Raises GivenUpError."""
    async with engine.begin() as connection:
        ended = {"ended": "done", "finished_at": func.clock_timestamp(), "result": figures}
        if not (await connection.execute(_mine(run_id).values(**ended))).rowcount:
            raise GivenUpError(run_id)
        for some in _numbered(run_id, rows):
            await connection.execute(insert(act), some)


def _numbered(run_id: str, rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for begin in range(0, len(rows), AT_A_TIME):
        yield [
            {"trial_id": run_id, "number": number, "outcome": row["outcome"], "told": row}
            for number, row in enumerate(rows[begin : begin + AT_A_TIME], begin)
        ]


async def fail(engine: AsyncEngine, run_id: str, error: str) -> None:
    """Unless it has come to an end already."""
    await _end(engine, run_id, "failed", error)


async def break_off(engine: AsyncEngine, run_id: str, why: str) -> None:
    """Unless it has come to an end already."""
    await _end(engine, run_id, "broken_off", why)


async def _end(engine: AsyncEngine, run_id: str, how: str, error: str) -> None:
    async with engine.begin() as connection:
        ended = {"ended": how, "error": error[:2_000], "finished_at": func.clock_timestamp()}
        await connection.execute(_mine(run_id).values(**ended))


async def _set(engine: AsyncEngine, run_id: str, **values: Any) -> None:
    async with engine.begin() as connection:
        if not (await connection.execute(_mine(run_id).values(**values))).rowcount:
            raise GivenUpError(run_id)


def _mine(run_id: str) -> Any:
    return update(trial).where(trial.c.id == run_id, trial.c.ended.is_(None))


def _columns() -> list[Any]:
    silent = (trial.c.ended.is_(None) & (trial.c.beat_at < func.clock_timestamp() - SILENT)).label("silent")
    return [*trial.c, silent]


async def one(connection: AsyncConnection, run_id: str) -> RowMapping | None:
    """With `silent`: its process is gone."""
    found = await connection.execute(select(*_columns()).where(trial.c.id == run_id))
    return found.mappings().one_or_none()


async def latest(
    connection: AsyncConnection, limit: int, after: tuple[datetime, str] | None = None
) -> Sequence[RowMapping]:
    """Newest first."""
    order = (trial.c.requested_at, trial.c.id)
    newest = select(*_columns()).order_by(*(column.desc() for column in order)).limit(limit)
    if after is not None:
        bound = [literal(value, column.type) for value, column in zip(after, order, strict=True)]
        newest = newest.where(tuple_(*order) < tuple_(*bound))
    return (await connection.execute(newest)).mappings().all()


async def acts(
    connection: AsyncConnection, run_id: str, outcome: str | None, limit: int, after: int | None = None
) -> Sequence[RowMapping]:
    """Those that it would have fired on, by their numbers."""
    statement = select(act.c.number, act.c.told).where(act.c.trial_id == run_id).order_by(act.c.number).limit(limit)
    if outcome is not None:
        statement = statement.where(act.c.outcome == outcome)
    if after is not None:
        statement = statement.where(act.c.number > after)
    return (await connection.execute(statement)).mappings().all()

"""Back-tests as rows: what was asked, how far it is, what came out. No facts: they may be thrown away and asked again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, MetaData, RowMapping, Table, Text, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as KEY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.eventstore.types import IdempotencyMismatchError

SCHEMA = "backtest"
SILENT = text("interval '30 seconds'")  # a process that has not said anything for so long is gone
AT_ONCE = 2
KEPT = 200  # the oldest give way
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('keyfold backtest schema', 0))")

metadata = MetaData(schema=SCHEMA)
backtest = Table(
    "run",
    metadata,
    Column("id", KEY(as_uuid=False), primary_key=True),
    Column("ask", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("total", Integer),
    Column("finished_at", DateTime(timezone=True)),
    Column("result", JSONB(none_as_null=True)),
    Column("error", Text),
)


class TooManyRunningError(Exception):
    """As many back-tests as may be are under way: wait for one of them."""


async def migrate_backtests(engine: AsyncEngine) -> None:
    """Make schema and table where they are missing; safe to call from several processes at once."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        await connection.run_sync(metadata.create_all)


async def enter(engine: AsyncEngine, run_id: UUID, ask: dict[str, Any], by: str, now: datetime) -> bool:
    """False when it is there already. Raises TooManyRunningError, IdempotencyMismatchError where another one has this id."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        known = await connection.scalar(select(backtest.c.ask).where(backtest.c.id == str(run_id)))
        if known is not None:
            if known != ask:
                raise IdempotencyMismatchError(str(run_id))
            return False
        running = backtest.c.finished_at.is_(None) & (backtest.c.beat_at > func.now() - SILENT)
        if (await connection.scalar(select(func.count()).where(running)) or 0) >= AT_ONCE:
            raise TooManyRunningError
        await connection.execute(insert(backtest).values(id=str(run_id), ask=ask, requested_by=by, requested_at=now))
        oldest = select(backtest.c.id).order_by(backtest.c.requested_at.desc()).offset(KEPT)
        await connection.execute(backtest.delete().where(backtest.c.id.in_(oldest)))
    return True


async def advance(engine: AsyncEngine, run_id: str, done: int, total: int) -> None:
    await _set(engine, run_id, done=done, total=total, beat_at=func.now())


async def finish(engine: AsyncEngine, run_id: str, result: dict[str, Any]) -> None:
    await _set(engine, run_id, result=result, finished_at=func.now())


async def fail(engine: AsyncEngine, run_id: str, error: str) -> None:
    """Unless it has come to an end already."""
    await _set(engine, run_id, error=error[:2_000], finished_at=func.now())


async def _set(engine: AsyncEngine, run_id: str, **values: Any) -> None:
    async with engine.begin() as connection:
        mine = (backtest.c.id == run_id) & backtest.c.finished_at.is_(None)
        await connection.execute(update(backtest).where(mine).values(**values))


def _columns() -> list[Any]:
    silent = (backtest.c.finished_at.is_(None) & (backtest.c.beat_at < func.now() - SILENT)).label("silent")
    return [*backtest.c, silent]


async def one(connection: AsyncConnection, run_id: str) -> RowMapping | None:
    """With `silent`: its process is gone."""
    found = await connection.execute(select(*_columns()).where(backtest.c.id == run_id))
    return found.mappings().one_or_none()


async def latest(connection: AsyncConnection, limit: int) -> list[RowMapping]:
    newest = select(*_columns()).order_by(backtest.c.requested_at.desc(), backtest.c.id).limit(limit)
    return list((await connection.execute(newest)).mappings())

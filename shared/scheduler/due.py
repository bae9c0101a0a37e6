"""Due dates as rows: (rule, stream, moment), once each. What is not done may be changed or cancelled; what is done stays.

The functions take the caller's connection and join its transaction: a reactor's, or that of whoever keeps due dates in step
with a state. None of them asks whether the worker runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, Table, Text, delete, func, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

JsonObject = dict[str, Any]

CHANNEL = "keyfold_due"
MAX_COMMAND_ID = 500  # bytes; what the event store takes as the id of a command
_MIGRATION_LOCK = 0x6B65_7966_0001

metadata = MetaData(schema="scheduler")
due_table = Table(
    "due",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("stream_id", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), primary_key=True),
    Column("payload", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("retry_at", DateTime(timezone=True)),
    Column("done_at", DateTime(timezone=True)),
    Column("outcome", Text),  # done | refused
    Column("detail", Text),  # why it was refused, or the last error of one that is tried again
)
Index("due_open", due_table.c.due_at, postgresql_where=due_table.c.done_at.is_(None))
_OPEN = due_table.c.done_at.is_(None)


@dataclass(frozen=True, slots=True)
class DueItem:
    """One due date: `due_at` (UTC) of `rule` for `stream_id`, with what the rule wants to remember."""

    rule: str
    stream_id: str
    due_at: datetime
    payload: JsonObject

    @property
    def command_id(self) -> str:
        """The same for every attempt, so that there is one effect however often it is tried."""
        return f"{self.rule}/{self.stream_id}/{self.due_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class DueStatus:
    """`waiting`: not done, due or not; `overdue`: of them due; `failing`: of them failed at least once."""

    waiting: int
    overdue: int
    failing: int
    next_due_at: datetime | None
    last_error: str | None


async def migrate_scheduler(engine: AsyncEngine) -> None:
    """Create the schema and its table where they are missing. Safe to call from several processes."""
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        await connection.execute(text("CREATE SCHEMA IF NOT EXISTS scheduler"))
        await connection.run_sync(metadata.create_all)


async def schedule(
    connection: AsyncConnection, rule: str, stream_id: str, due_at: datetime, payload: JsonObject | None = None
) -> None:
    """Make it due. Again with the same moment: the payload is replaced, unless it is done already, then nothing changes.

    Raises ValueError for a moment without time zone or names too long for a command id.
    """
    item = _checked(DueItem(rule, stream_id, due_at, payload or {}))
    statement = insert(due_table).values(
        rule=item.rule, stream_id=item.stream_id, due_at=item.due_at, payload=item.payload
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[due_table.c.rule, due_table.c.stream_id, due_table.c.due_at],
            set_={"payload": statement.excluded.payload},
            where=_OPEN,
        )
    )
    await _wake(connection)


async def cancel(connection: AsyncConnection, rule: str, stream_id: str, due_at: datetime | None = None) -> int:
    """Take back what is not done: this moment's, or all of the rule for the stream. Returns how many.

    A worker that has just begun with one carries on: its command decides on the state it finds.
    """
    wanted = delete(due_table).where(_OPEN, due_table.c.rule == rule, due_table.c.stream_id == stream_id)
    if due_at is not None:
        wanted = wanted.where(due_table.c.due_at == due_at)
    return (await connection.execute(wanted)).rowcount


async def set_due(
    connection: AsyncConnection, rule: str, stream_id: str, wanted: Mapping[datetime, JsonObject]
) -> None:
    """Let exactly these moments be due for the rule and stream: others that are not done are taken back.

    For keeping due dates in step with a state, as a projection does: the same call twice changes nothing. Errors as `schedule`.
    """
    stale = delete(due_table).where(
        _OPEN,
        due_table.c.rule == rule,
        due_table.c.stream_id == stream_id,
        due_table.c.due_at.not_in(list(wanted)),
    )
    await connection.execute(stale)
    for due_at, payload in sorted(wanted.items()):
        await schedule(connection, rule, stream_id, due_at, payload)


async def due_status(connection: AsyncConnection, now: datetime) -> DueStatus:
    """The state of the queue as of `now`."""
    failing = due_table.c.attempts > 0
    row = (
        await connection.execute(
            select(
                func.count(),
                func.count().filter(due_table.c.due_at <= now),
                func.count().filter(failing),
                func.min(due_table.c.due_at),
            ).where(_OPEN)
        )
    ).one()
    newest = select(due_table.c.detail).where(_OPEN, failing).order_by(due_table.c.retry_at.desc()).limit(1)
    return DueStatus(row[0], row[1], row[2], row[3], (await connection.execute(newest)).scalar())


async def _wake(connection: AsyncConnection) -> None:
    await connection.execute(select(func.pg_notify(CHANNEL, "")))


def _checked(item: DueItem) -> DueItem:
    if item.due_at.tzinfo is None:
        raise ValueError(f"{item.due_at.isoformat()} has no time zone; a due date is a moment")
    if len(item.command_id.encode()) > MAX_COMMAND_ID:
        raise ValueError(f"rule and stream of a due date are too long together: {item.command_id[:80]}…")
    return item

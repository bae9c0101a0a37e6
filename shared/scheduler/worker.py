"""The worker that makes the clock's verdicts facts: whatever is due becomes a command, with the due time as business time.

One worker at a time: it holds a session advisory lock on a connection of its own, and does all its bookkeeping on that
connection, so whoever loses the lock can book nothing. An item whose command was carried out but not yet booked comes
again; the event store knows its command id and gives the first answer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import and_, exists, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.refusal import RefusedError
from shared.eventstore.types import IdempotencyMismatchError
from shared.eventstore.work import CommandContext
from shared.kit.clock import Clock
from shared.kit.figures import Figures
from shared.kit.ids import derived_id
from shared.kit.tracing import OFF, SpanKind, Tracing
from shared.scheduler.due import CHANNEL, DueItem, due_table

DueHandler = Callable[[CommandContext, DueItem], Awaitable[None]]

LOCK = 0x6B65_7966_0002
POLL_SECONDS = 0.25
BATCH = 100
LONGEST_RETRY = timedelta(hours=1)
# A holder whose machine vanished must not keep the lease for the two hours of the system's default.
KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
_NAMESPACE = UUID("4d6d3d0e-6c53-4f0b-9f0e-2a0f6a3f7c11")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DueRule:
    """A rule by its stable `name`, and what is done when one of its due dates has come.

    The handler issues commands with the context it is given (several: with ``command_id + "/2"`` …). It returns when all is
    appended; RefusedError is an outcome; anything else it raises is tried again later, and later ones of the rule and stream wait.
    """

    name: str
    handler: DueHandler


class Scheduler:
    """Raises ValueError when two rules have one name."""

    def __init__(
        self,
        engine: AsyncEngine,
        rules: Sequence[DueRule],
        clock: Clock,
        figures: Figures | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        figures = figures or Figures()
        self._carried_out = figures.counter(
            "keyfold_due_carried_out", "Due dates carried out: done, refused (by the business), failed (again later).",
            "rule", "outcome",
        )  # fmt: skip
        figures.gauge("keyfold_due_leading", "1 where this process carries out due dates.").set_function(
            lambda: self.leading
        )
        self._engine = engine
        self._clock = clock
        self._rules = {rule.name: rule for rule in rules}
        self._wake = asyncio.Event()
        self.leading = False
        if len(self._rules) != len(rules):
            raise ValueError("two due rules have the same name")

    def wake(self) -> None:
        """Look again now: a due date was added in this process, or the clock was set."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: wait for the lease, carry out what is due, sleep until the next. Database failures are waited out."""
        pause = POLL_SECONDS
        while not stop.is_set():
            try:
                async with self._connection() as connection:
                    while not stop.is_set():
                        self._wake.clear()
                        if await connection.scalar(select(func.pg_try_advisory_lock(LOCK))):
                            self.leading = True
                            pause = POLL_SECONDS
                            await self._lead(connection, stop)
                        else:
                            await self._sleep(POLL_SECONDS, stop)
            except (DBAPIError, PoolTimeoutError, OSError) as error:
                log.warning("the scheduler lost its database and starts again", error=str(error).split("\n")[0])
                self.leading = False
                await self._sleep(pause, stop)
                pause = min(pause * 2, 10.0)
            finally:
                self.leading = False

    async def _lead(self, connection: AsyncConnection, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            now = self._clock.now()
            items = await self._due(connection, now)
            failed: set[tuple[str, str]] = set()
            for item, attempts in items:
                if stop.is_set():
                    return
                queue = (item.rule, item.stream_id)
                if queue not in failed and not await self._carry_out(connection, item, attempts):
                    failed.add(queue)
            if not items:
                await self._sleep(await self._until_next(connection, now), stop)

    async def _due(self, connection: AsyncConnection, now: datetime) -> list[tuple[DueItem, int]]:
        """What is due, oldest first, with the number of failed attempts; not what waits behind one that is to be retried."""
        due, earlier = due_table.c, due_table.alias("earlier").c
        held_up = exists().where(
            earlier.rule == due.rule,
            earlier.stream_id == due.stream_id,
            earlier.due_at <= due.due_at,
            earlier.done_at.is_(None),
            earlier.retry_at > now,
        )
        statement = (
            select(due.rule, due.stream_id, due.due_at, due.payload, due.attempts)
            .where(due.done_at.is_(None), due.due_at <= now, due.rule.in_(list(self._rules)), ~held_up)
            .order_by(due.due_at, due.rule, due.stream_id)
            .limit(BATCH)
        )
        rows = (await connection.execute(statement)).all()
        return [(DueItem(row[0], row[1], row[2].astimezone(UTC), row[3]), row[4]) for row in rows]

    async def _until_next(self, connection: AsyncConnection, now: datetime) -> float:
        """Seconds until something is due; at most the poll interval, for a notification may be lost and a clock be set."""
        moment = func.greatest(due_table.c.due_at, due_table.c.retry_at)
        next_at = await connection.scalar(
            select(func.min(moment)).where(
                due_table.c.done_at.is_(None),
                due_table.c.rule.in_(list(self._rules)),
                moment > now,  # what was due by now was tried; what is left of it waits behind a failed one
            )
        )
        if next_at is None:
            return POLL_SECONDS
        return float(min(max((next_at - now).total_seconds(), 0.001), POLL_SECONDS))

    async def _carry_out(self, connection: AsyncConnection, item: DueItem, attempts: int) -> bool:
        """Run the rule and book the outcome. False when it failed and is to be tried again."""
        span = self._tracing.begin(f"due {item.rule}", None, SpanKind.INTERNAL, {})
        context = CommandContext(
            actor=f"scheduler/{item.rule}",
            now=self._clock.now(),
            correlation_id=derived_id(_NAMESPACE, item.command_id),
            command_id=item.command_id,
            occurred_at=item.due_at,
            traceparent=None if span is None else span.traceparent,
        )
        try:
            await self._rules[item.rule].handler(context, item)
        except RefusedError as refusal:
            await self._book(connection, item, outcome="refused", detail=str(refusal))
        except IdempotencyMismatchError:
            # An earlier attempt was carried out and not booked, and its payload was changed since. It happened: once.
            await self._book(connection, item, outcome="done", detail="carried out earlier, with other details")
        except Exception as error:
            if span is not None:
                span.failed(type(error).__name__)
            self._carried_out.labels(item.rule, "failed").inc()
            log.exception("a due date failed and is tried again", rule=item.rule, stream_id=item.stream_id)
            delay = min(timedelta(seconds=2 ** min(attempts, 20)), LONGEST_RETRY)
            await self._update(
                connection,
                item,
                attempts=attempts + 1,
                retry_at=self._clock.now() + delay,
                detail=f"{type(error).__name__}: {error}"[:500],
            )
            return False
        else:
            await self._book(connection, item, outcome="done", detail=None)
        finally:
            if span is not None:
                span.end()
        return True

    async def _book(self, connection: AsyncConnection, item: DueItem, *, outcome: str, detail: str | None) -> None:
        log.info("due", rule=item.rule, stream_id=item.stream_id, due_at=item.due_at.isoformat(), outcome=outcome)
        self._carried_out.labels(item.rule, outcome).inc()
        await self._update(connection, item, done_at=self._clock.now(), outcome=outcome, detail=detail)

    async def _update(self, connection: AsyncConnection, item: DueItem, **values: Any) -> None:
        due = due_table.c
        this = and_(due.rule == item.rule, due.stream_id == item.stream_id, due.due_at == item.due_at)
        await connection.execute(update(due_table).where(this, due.done_at.is_(None)).values(**values))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection outside of the pool, listening; closing it gives the lease back."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await connection.run_sync(lambda inner: inner.detach())
            for name, value in KEEPALIVE.items():
                await connection.execute(select(func.set_config(name, value, False)))
            await driver.add_listener(CHANNEL, lambda *_: self._wake.set())
            yield connection

    async def _sleep(self, seconds: float, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._wake.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

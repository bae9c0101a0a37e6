"""When an API key was last used here: neither a fact nor a read model, and it can be lost without harm.

Every secret of a key is told apart, so that an operator sees whether anybody still shows the old one after a rotation.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, func, select, text
from sqlalchemy.dialects.postgresql import UUID, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.projections.parking import transient

SCHEMA = "api_key_uses"
EVERY_SECONDS = 60.0
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('keyfold api key uses schema', 0))")

log = structlog.get_logger(__name__)

metadata = MetaData(schema=SCHEMA)
key_use = Table(
    "key_use",
    metadata,
    Column("key_id", UUID(as_uuid=False), primary_key=True),
    Column("secret", Integer, primary_key=True),  # the number of the secret within the key
    Column("used_at", DateTime(timezone=True), nullable=False),
)


async def migrate_key_uses(engine: AsyncEngine) -> None:
    """Make schema and table where they are missing; safe to call from several processes at once."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        await connection.run_sync(metadata.create_all)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """`secret`: the number of the secret that was shown."""

    key_id: str
    secret: int
    used_at: datetime


async def uses(connection: AsyncConnection, key_ids: Sequence[str] | None = None) -> list[KeyUse]:
    """Of these keys, or of all: one for each secret, in order."""
    statement = select(key_use).order_by(key_use.c.key_id, key_use.c.secret)
    if key_ids is not None:
        statement = statement.where(key_use.c.key_id.in_(key_ids))
    return [KeyUse(row.key_id, row.secret, row.used_at) for row in await connection.execute(statement)]


class KeyUses:
    """Notes uses in memory and writes them beside requests: the first at once, then once a minute what has come meanwhile.

    `close` writes what is left. A process that is killed loses a minute at most.
    """

    def __init__(self, engine: AsyncEngine, every_seconds: float = EVERY_SECONDS) -> None:
        self._engine = engine
        self._every = every_seconds
        self._waiting: dict[tuple[str, int], datetime] = {}
        self._wrote = float("-inf")
        self._writing: asyncio.Task[None] | None = None

    def note(self, use: KeyUse) -> None:
        key = (use.key_id, use.secret)
        self._waiting[key] = max(use.used_at, self._waiting.get(key, use.used_at))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_in_time(), name="api key uses")

    async def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._flush_or_tell()

    async def flush(self) -> None:
        """Write what waits; what cannot be written goes on waiting."""
        taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            await self._write(taken)
        except BaseException:
            for key, used_at in taken.items():
                self._waiting[key] = max(used_at, self._waiting.get(key, used_at))
            raise

    async def _write_in_time(self) -> None:
        """Until nothing waits; never more often than every minute."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(max(0.0, self._wrote + self._every - loop.time()))
            self._wrote = loop.time()
            await self._flush_or_tell()

    async def _flush_or_tell(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - beside requests and at the end there is nobody else to tell
            write = log.warning if transient(error) else log.error
            write(
                "when API keys were used is not written",
                keys=len(self._waiting),
                error=f"{type(error).__name__}: {error}",
            )

    async def _write(self, taken: dict[tuple[str, int], datetime]) -> None:
        """Several processes write the same row: the latest use stays. In order of the key, so that none waits for another in a
        circle."""
        rows = [{"key_id": key, "secret": number, "used_at": at} for (key, number), at in sorted(taken.items())]
        new = insert(key_use)
        latest = func.greatest(key_use.c.used_at, new.excluded.used_at)
        statement = new.on_conflict_do_update(index_elements=["key_id", "secret"], set_={"used_at": latest})
        async with self._engine.begin() as connection:
            await connection.execute(statement, rows)
